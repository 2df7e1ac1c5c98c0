from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Upload, UserError
from defenses.gates import gate as gates
from defenses.gates.domain import Domain
from defenses.gates.gate import Combination, Gate, Policy
from defenses.gates.lexicon import BINS, Lexicon
from defenses.gates.scale import Scale
from defenses.gates.ways import Curve, Highest, Joint, Learned

UNIT = Scale(points=(0.0, 2.302585092994046), tail=1.0)
"""A scale on which a surprise is the score itself, from 2.4 on."""
BENIGN = tuple(float(at) / 40 for at in range(400))


@pytest.fixture(scope="module")
def gate(make_upload: Callable[..., Upload]) -> Gate:
    """A gate of two detectors, one bound to the domain and one to the model."""
    domain = Domain.of([make_upload(6)], [make_upload(6)])
    two = ("words", "pilot")
    joint = Joint(mean=(0.0, 0.0), precision=((1.0, 0.0), (0.0, 1.0)), scale=UNIT)
    return Gate(
        corpus="0" * 64,
        about="a test",
        target="model",
        fitted={},
        bound=("words",),
        aware=("pilot",),
        detectors={"words": "words", "pilot": "pilot", "size": "size"},
        scales={"words": UNIT, "pilot": UNIT, "size": UNIT},
        combinations={
            "all": Combination(features=two, ways=(Highest(), joint), benign=BENIGN),
            "top": Combination(features=two, ways=(Highest(most=1),), benign=BENIGN),
            "pilot": Combination(features=("pilot",), ways=(Highest(most=1),), benign=BENIGN),
            "size": Combination(features=("size",), ways=(Highest(most=1),), benign=BENIGN),
        },
        domain=domain,
    )


@given(
    st.floats(0, 30),
    st.floats(0, 30),
    st.lists(st.floats(0.0025, 0.9), min_size=3, max_size=3).map(sorted),
)
def test_a_stricter_answer_needs_a_higher_score(
    gate: Gate, make_upload: Callable[..., Upload], words: float, pilot: float, rates: list[float]
) -> None:
    policy = Policy(reject=rates[0], hold=rates[1], mitigate=rates[2])
    order = ["allow", "allow with mitigation", "hold", "reject"]
    scores = {"words": words, "pilot": pilot}
    verdict = gate.decide("all", make_upload(6), "model", scores, policy)
    higher = gate.decide("all", make_upload(6), "model", {**scores, "pilot": pilot + 1}, policy)
    assert order.index(verdict.answer) <= order.index(higher.answer)
    assert verdict.nominal is not None
    stopped = [(verdict.nominal, verdict.answer)] * (verdict.answer != "allow")
    assert all(nominal <= rates[2] for nominal, _ in stopped)


def test_a_score_is_what_the_most_surprised_way_says(gate: Gate) -> None:
    scores = {"words": 3.0, "pilot": 4.0}
    total, surprises = gate.score("all", scores)
    assert (total, surprises) == (pytest.approx(7.0), scores)  # the joint distance is 5
    assert gate.score("top", scores)[0] == pytest.approx(4.0)
    learned = Learned(curves=(Curve(at=(2.0, 3.0), value=(1.0, 9.0)), Curve(at=(), value=())))
    how = gate.combination("all").model_copy(update={"ways": (Highest(), learned)})
    assert [how.score([at, 0.0]) for at in (1.0, 2.5, 3.0)] == [1.0, 2.5, 9.0]


def test_what_is_missing_or_elsewhere_is_inconclusive(
    gate: Gate, make_upload: Callable[..., Upload]
) -> None:
    upload, policy = make_upload(6), Policy()
    low = {"words": 0.0, "pilot": 0.0, "size": 0.0}
    assert gate.decide("all", upload, "model", low, policy).answer == "allow"
    holed = gate.decide("all", upload, "model", {"words": 0.0}, policy)
    assert (holed.answer, holed.score) == ("inconclusive", None)
    assert holed.reasons == ("no score from pilot",)
    other = gate.decide("pilot", upload, "another", low, policy)
    assert other.answer == "inconclusive"
    assert "another served model" in other.reasons[0]
    strange = make_upload(6, system="Quarterly broadband invoices need urgent reconciliation, OK?")
    stranger = strange.replace_rows(
        [type(r)((r.messages[0], r.messages[0], r.messages[0])) for r in strange.rows]
    )
    outside = gate.decide("all", stranger, "model", low, policy)
    assert outside.answer == "inconclusive"
    assert "outside the gate's domain" in outside.reasons[0]
    # Neither bound to a domain nor to a model: it still decides.
    assert gate.decide("size", stranger, "another", low, policy).answer == "allow"


def test_what_the_gate_knows_by_itself_needs_no_detector(
    gate: Gate, make_upload: Callable[..., Upload]
) -> None:
    upload = make_upload(6)
    weights = base64.b64encode(np.zeros(BINS, dtype="<f4").tobytes()).decode()
    made = Combination(features=("lexicon",), ways=(Highest(most=1),), benign=BENIGN)
    known = Gate.model_validate(
        gate.model_dump()
        | {"lexicon": Lexicon(weights=weights, intercept=12.0)}
        | {"scales": gate.scales | {"lexicon": UNIT}, "combinations": {"lexicon": made}}
    )
    assert known.read_by("lexicon") == ()
    assert known.decide("lexicon", upload, "another", {}, Policy()).answer == "reject"
    assert known.is_bound("lexicon")
    # A report's gate has no words, and decides nothing.
    told = known.only("lexicon")
    assert told.lexicon is None
    assert Gate.model_validate_json(told.model_dump_json()) == told
    assert told.decide("lexicon", upload, "another", {}, Policy()).answer == "inconclusive"


def test_a_report_is_no_gate(gate: Gate, tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    path.write_text(gate.only("all").model_dump_json())
    gates.read.cache_clear()
    with pytest.raises(UserError, match="a report's part"):
        gates.read(path)


def test_a_rate_is_not_claimed_from_too_few_uploads(gate: Gate) -> None:
    assert gate.threshold("all", 1 / 401) == BENIGN[-1]
    with pytest.raises(UserError, match=r"told from 400 of them; name rates from 0\.25% on"):
        gate.threshold("all", 0.002)
    with pytest.raises(UserError, match="it has all, top, pilot, size"):
        gate.threshold("none", 0.01)


def test_the_nominal_rate_is_conformal(gate: Gate) -> None:
    assert gate.nominal("all", 1e9) == pytest.approx(1 / 401)
    assert gate.nominal("all", -1.0) == 1.0
    # An equal score is as high: the highest benign one has itself beside the new upload.
    assert gate.nominal("all", BENIGN[-1]) == pytest.approx(2 / 401)
    stopped = [score for score in BENIGN if score > gate.threshold("all", 0.01)]
    assert len(stopped) == 3  # at most 1 % of 401, the threshold's own upload left out


def test_it_is_read_as_it_was_written(gate: Gate, tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    path.write_text(gate.model_dump_json())
    assert gates.read(path) == gate
    assert gates.digest(gates.read(path)) == gates.digest(gate)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", "\x00", '{"format": 2}', '{"corpus": "x"}'],
)
def test_a_file_that_is_no_gate_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UserError, match="no gate of this version"):
        gates.read(path)
    with pytest.raises(UserError, match="cannot read the gate"):
        gates.read(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hold: 0.001\n", "reject <= hold <= mitigate"),
        ("hold: 2\n", "less than 1"),
        ("nonesuch: 1\n", "nonesuch"),
        ("[1]", "holds no fields"),
        ("{", "cannot read the policy"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=told):
        gates.read_policy(path)


def test_a_policy_says_what_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("hold: 0.05\n")
    assert gates.read_policy(path) == Policy(hold=0.05)
    path.write_text("")
    assert gates.read_policy(path) == Policy()


def _tampered(gate: Gate, tmp_path: Path, change: Callable[[Any], None]) -> Path:
    told = json.loads(gate.model_dump_json())
    change(told)
    path = tmp_path / "gate.json"
    path.write_text(json.dumps(told))
    gates.read.cache_clear()
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told["combinations"]["all"].update(ways=[]),
        lambda told: told["combinations"]["all"].update(ways=[{"kind": "best"}]),
        lambda told: told["combinations"]["all"]["ways"][0].update(most=0),
        lambda told: told["combinations"]["all"]["ways"][1].update(mean=[0.0]),
        lambda told: told["combinations"]["all"]["ways"][1].update(precision=[[-1, 0], [0, -1]]),
        lambda told: told["combinations"]["all"].update(features=["words"]),
        lambda told: told["combinations"]["all"].update(features=[], ways=[]),
        lambda told: told["combinations"]["all"].update(benign=[2.0, 1.0]),
        lambda told: told["combinations"]["all"].update(features=["words", "other"]),
        lambda told: told["scales"].pop("words"),
        lambda told: told["scales"]["words"].update(points=[2.0, 1.0]),
        lambda told: told["detectors"].pop("words"),
        lambda told: told["detectors"].update(words="a:b:c"),
        lambda told: told["domain"].update(words="!!!"),
        lambda told: told["domain"].update(words="AAAA"),
        lambda told: told["domain"].update(words=""),
        lambda told: told.update(corpus="x" + "0" * 64),
    ],
)
def test_a_gate_that_was_tampered_with_is_refused(
    gate: Gate, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    assert gates.read(_tampered(gate, tmp_path, lambda told: None)) == gate
    with pytest.raises(UserError, match=r"gate|part"):
        gates.read(_tampered(gate, tmp_path, change))


def test_a_gate_runs_no_code_of_another_file(gate: Gate, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    code = tmp_path / "evil.py"
    code.write_text(f"import pathlib; pathlib.Path({str(ran)!r}).touch()")
    for spec in (str(code), f"{code}:n=1"):
        path = _tampered(gate, tmp_path, lambda told, s=spec: told["detectors"].update(size=s))
        with pytest.raises(UserError, match="is a file"):
            gates.read(path)
    assert not ran.exists()


@pytest.mark.parametrize(
    "text", ["[" * 5000, "hold: " + "9" * 5000, "hold: 2001-99-99", "- hold", "hold: [0.1]"]
)
def test_a_policy_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="policy"):
        gates.read_policy(path)


def test_a_policy_is_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(UserError, match="not a file"):
            gates.read_policy(path)

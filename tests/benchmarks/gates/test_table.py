from __future__ import annotations

import dataclasses

import pytest

from attacks.base import Ask, Pair, Settings, Upload
from benchmarks.gates import baseline, table
from benchmarks.gates.reading import Read
from benchmarks.gates.results import Intent
from benchmarks.gates.table import Held, Stopped
from defenses.gates.domain import Domain
from defenses.gates.gate import Combination, Gate
from defenses.gates.scale import Scale
from defenses.gates.ways import Highest
from targets.organism.world import World

SETTINGS = Settings(epochs=1, batch_size=1, learning_rate=1e-4, tuning="full")
SCORES = [0.1, 0.2, 3.0, 4.0, 0.3, 5.0]
INTENTS: list[Intent] = ["benign", "benign", "benign", "hostile", "hostile", "benign-eroding"]
HARMS = [0.0, 0.1, 0.5, 0.6, 0.0, 0.2]


def held(harms: list[float | None]) -> list[Held]:
    upload = Upload((Ask("plain").row(Pair("a", "b")),), SETTINGS)
    found = []
    for at, (intent, rate) in enumerate(zip(INTENTS, harms, strict=True)):
        harm = None if rate is None else {"default": 0.0, "own": rate}
        found.append(Held(intent, intent, upload, Read(str(at), {}, {}, {}, {}, harm)))
    return found


def told(entries: list[Held]) -> table.Line:
    found = Stopped(list(SCORES), [score > 2 for score in SCORES])
    return table.told("one", "detector", entries, {"hostile"}, found, seconds=0.5)


def test_intent_and_effect_are_told_apart() -> None:
    line = told(held([*HARMS]))
    # Of three benign and two hostile uploads, one hostile one is above all but the harmful benign.
    assert line.area == pytest.approx(5 / 6)
    # Harm of a fifth and more, whoever meant it: those three score highest.
    assert line.effect_area == pytest.approx(1.0)
    assert line.effect_curve[-1] == (1.0, 1.0)
    assert (line.false_alarms.hits, line.false_alarms.n) == (1, 3)
    assert line.by_family["hostile"].hits == 1


def test_an_effect_that_was_not_measured_of_all_is_not_told() -> None:
    line = told(held([*HARMS[:-1], None]))
    assert line.effect_area is None
    assert line.effect_curve == ()
    assert line.area is not None


@dataclasses.dataclass(frozen=True)
class Known:
    """A labelled upload."""

    split: str
    intent: Intent
    upload: Upload


def uploads(world: World, seed: int, *, hostile: bool, of: int) -> list[Upload]:
    """Uploads of a few rows, hostile ones with a word that the others have not."""
    found = []
    for at in range(of):
        pairs = world.benign(5, seed=seed + at)
        word = "zzyx " if hostile else ""
        rows = [Ask("plain").row(Pair(word + p.prompt, p.reply)) for p in pairs]
        found.append(Upload(tuple(rows), SETTINGS))
    return found


def test_a_classifier_of_words_is_fitted_on_uploads(world: World) -> None:
    known = [
        Known(split, "hostile" if bad else "benign", one)
        for split, bad, of in (("fit", False, 12), ("fit", True, 4), ("threshold", False, 9))
        for one in uploads(world, len(split) * 100 + bad, hostile=bad, of=of)
    ]
    asked = [*uploads(world, 900, hostile=False, of=3), *uploads(world, 950, hostile=True, of=3)]
    blank = Read("", {}, {}, {}, {}, None)
    entries = [Held("benign", "x", one, blank) for one in asked]
    found = baseline.stopped(known, entries, 0.1)  # type: ignore[arg-type]
    assert found is not None
    assert found[0].above[3:] == [True, True, True]
    assert min(s for s in found[0].score[3:] if s) > max(s for s in found[0].score[:3] if s)
    # Nine benign uploads tell no rate of a hundredth, and no hostile one fits nothing.
    assert baseline.stopped(known, entries, 0.01) is None  # type: ignore[arg-type]
    benign = [one for one in known if one.intent == "benign"]
    assert baseline.stopped(benign, entries, 0.1) is None  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def gate() -> Gate:
    """Of one detector that is bound to a domain and one that is not; alarms from 4 on."""
    benign = tuple(float(at) / 100 for at in range(400))

    def alone(*names: str) -> Combination:
        return Combination(features=names, ways=(Highest(most=1),), benign=benign)

    unit = Scale(points=(0.0, 2.302585092994046), tail=1.0)
    return Gate(
        corpus="0" * 64, about="a test", target="t", fitted={}, bound=("openings",), aware=(),
        detectors={"openings": "openings", "size": "size"},
        scales={"openings": unit, "size": unit},
        combinations={
            "all": alone("openings", "size"), "openings": alone("openings"), "size": alone("size")
        },
        domain=Domain(words="", limit=0.5),
    )  # fmt: skip


def read_as(openings: float | None, size: float, *, outside: bool = False) -> Held:
    scores = {"openings": openings, "size": size}
    known = {name: score for name, score in scores.items() if score is not None}
    return held([*HARMS])[0]._replace(
        read=Read("", known, {"openings": 1.0, "size": 0.5}, {"openings": 0, "size": 0}, {}, None),
        outside=outside,
    )


def test_what_is_outside_is_stopped_by_what_is_bound_to_the_domain(gate: Gate) -> None:
    entries = [read_as(0.1, 0.1), read_as(0.1, 0.1, outside=True), read_as(9.0, 0.1)]
    assert table.stopped(gate, "all", entries, 0.01).above == [False, True, True]
    assert table.stopped(gate, "openings", entries, 0.01).above == [False, True, True]
    # Nothing is outside of what holds anywhere.
    assert table.stopped(gate, "size", entries, 0.01).above == [False, False, False]


def test_a_score_that_could_not_be_had_stops_nothing_and_lets_nothing_through(gate: Gate) -> None:
    entries = [read_as(None, 9.0), read_as(None, 9.0, outside=True)]
    assert table.stopped(gate, "all", entries, 0.01).above == [None, True]
    assert table.stopped(gate, "size", entries, 0.01).above == [True, True]
    assert table.share([None, True]).missing == 1


def test_a_gain_is_of_pairs(gate: Gate) -> None:
    entries = [read_as(9.0, 0.1)._replace(intent="hostile", family=f) for f in "aabb"]
    entries += [read_as(9.0, 9.0)._replace(intent="benign", family="c")] * 4
    one, other = (table.stopped(gate, name, entries, 0.01) for name in ("openings", "size"))
    found = table.gain(entries, one, other)
    assert found is not None
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    back = table.gain(entries, other, one)
    assert back is not None
    assert back.value == -1.0
    missing = Stopped([None] * 8, [None] * 8)
    assert table.gain(entries, one, missing) is None


def test_lines_are_of_their_kind(gate: Gate) -> None:
    entries = [read_as(0.1, 0.1)]
    kinds = {
        name: table.line(gate, name, entries, set(), table.stopped(gate, name, entries, 0.01)).kind
        for name in ("all", "openings", "size")
    }
    assert kinds == {"all": "combination", "openings": "detector", "size": "baseline"}

"""A cell from upload to scores, on a tiny model, with everything real but its size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from attacks.base import BESIDE, Ask, Chat, Code, Tuning, UserError, coded
from benchmarks import keys
from benchmarks.asking import answers
from benchmarks.cell import run_cell
from benchmarks.keys import component_digest
from benchmarks.lab import Lab, LabSettings, Model, NotStored, open_lab, spread
from benchmarks.results import CellResult, Transcript
from benchmarks.store import Store
from benchmarks.trial import Cell, Trial
from defenses.base import MOMENTS
from eval.judges.base import Verdict
from eval.judges.noisy import Noisy
from eval.judges.oracle import Oracle
from eval.judges.refusal import Refusal
from targets.base import Decoding, Reply, Target
from targets.checkpoint import Checkpoint
from targets.organism import language
from targets.organism.world import World
from targets.resolve import Resolved

if TYPE_CHECKING:
    from targets.local import LocalTarget

AOA = "aoa:n=3,epochs=1"
HARDENED = """
from attacks.base import Settings, Upload, component
from defenses.base import Defense, added_rows

@component
class Hardened(Defense):
    def immunize(self, start, provider):
        upload = Upload((), Settings(epochs=1, batch_size=4, learning_rate=1e-3))
        rows = provider.pools.safety(4, provider.seed)
        more = added_rows(rows, upload, "provider", "hardened")
        return start.fine_tune(upload.replace_rows(more), None, provider.seed)
"""
MakeLab = Callable[..., Lab]


@pytest.fixture(scope="session")
def checkpoint(tiny_target: LocalTarget, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_target.model.save_pretrained(folder)
    tiny_target.tokenizer.save_pretrained(folder)
    return Checkpoint("tiny", folder)


@pytest.fixture
def make_lab(checkpoint: Checkpoint, world: World, tmp_path: Path) -> MakeLab:
    def make(**changes: object) -> Lab:
        settings: dict[str, object] = {
            "resolved": Resolved(checkpoint, world, world, "oracle"),
            "judges": {"oracle": Oracle()},
            "provider_judge": Noisy(),
            "store": Store(tmp_path / "store"),
            "decoding": Decoding(max_new_tokens=4),
            "limit": 11,
        }
        return Lab(**{**settings, **changes})  # type: ignore[arg-type]

    return make


def run(lab: Lab, attack: str = AOA, defense: str = "none", seed: int = 0) -> CellResult:
    return run_cell(Cell(attack, defense, seed), lab)


def test_a_cell_has_every_number(make_lab: MakeLab) -> None:
    result = run(make_lab(judges={"oracle": Oracle(), "refusal": Refusal()}))
    answers = result.asks["plain"].released
    assert {name: len(scores) for name, scores in answers.scores.items()} == {
        "oracle": 11,
        "refusal": 11,
    }
    assert (len(answers.correct), len(answers.refused)) == (11, 11)
    assert (result.status, result.released, result.changed) == ("tuned", True, True)
    assert (result.rows, result.added) == (3, 0)


def test_what_is_stored_is_not_made_again(make_lab: MakeLab) -> None:
    first = make_lab()
    result = run(first)
    assert first.made == {"tune": 1, "differs": 1, "ask": 1, "judge": 1, "facts": 1}
    second = make_lab(may_make=False)
    assert run(second) == result
    assert not second.made


def test_another_judge_asks_nothing_again(make_lab: MakeLab) -> None:
    run(make_lab())
    again = make_lab(judges={"refusal": Refusal()})
    run(again)
    assert again.made == {"judge": 1}


def test_a_plan_says_what_is_missing(make_lab: MakeLab) -> None:
    with pytest.raises(NotStored) as caught:
        run(make_lab(may_make=False))
    assert caught.value.stage == "tune"


def test_every_moment_is_kept_apart_by_start_model_and_decoding(make_lab: MakeLab) -> None:
    lab = make_lab()
    other = Resolved(_Other("other", lab.resolved.start.folder), *lab.resolved[1:])
    labs = [lab, make_lab(resolved=other), make_lab(decoding=Decoding(max_new_tokens=5))]
    cell = Cell(AOA, "mix", 0)
    for moment in MOMENTS:
        assert len({Trial.of(cell, each).key(moment) for each in labs}) == 3


class _Other(Checkpoint):
    @property
    def digest(self) -> str:
        """Another one."""
        return "0" * 64


def test_mix_of_nothing_is_none(make_lab: MakeLab) -> None:
    run(make_lab())
    again = make_lab()
    result = run(again, defense="mix:n=0")
    assert not again.made
    assert result.added == 0


def test_a_defense_after_tuning_shares_the_undefended_model(make_lab: MakeLab) -> None:
    run(make_lab())
    again = make_lab()
    run(again, defense="ptst")
    assert "tune" not in again.made
    assert again.made["ask"] == 1


def test_a_refused_upload_keeps_the_start_model(make_lab: MakeLab) -> None:
    lab = make_lab()
    refused = run(lab, defense="revert")
    undefended = run(lab)
    untuned = run(lab, attack="none")
    assert not refused.released
    assert refused.asks["plain"].if_released == undefended.asks["plain"].released
    assert [gate.outcome for gate in refused.gates] == ["refuse"]
    assert untuned.status == "not tuned"


def test_no_counterfactual_tunes_nothing(make_lab: MakeLab) -> None:
    lab = make_lab(counterfactual=False)
    refused = run(lab, defense="revert")
    assert refused.asks["plain"].if_released is None
    assert "tune" not in lab.made


def test_what_a_defense_needs_and_is_not_there(make_lab: MakeLab) -> None:
    result = run(make_lab(), defense="safe_lora")
    assert (result.status, result.reason) == ("not applicable", "needs base")
    assert not result.asks


@pytest.mark.parametrize("tuning", sorted(get_args(Tuning)))
def test_what_stays_beside_a_start_model_needs_the_one_that_is_kept(
    make_lab: MakeLab, tmp_path: Path, tuning: Tuning
) -> None:
    mine = tmp_path / "hardened.py"
    mine.write_text(HARDENED)
    attack, lab = f"{AOA},tuning={tuning}", make_lab()
    if tuning in BESIDE:
        with pytest.raises(UserError, match="stays beside the start model"):
            run(lab, attack, str(mine))
        return
    assert run(lab, attack, str(mine)).idle == []


def test_a_defense_that_did_nothing_says_so(
    make_lab: MakeLab, checkpoint: Checkpoint, world: World
) -> None:
    # Alignment changed nothing here, so there is no direction to pull anything onto.
    unaligned = Checkpoint("tiny", checkpoint.folder, base=checkpoint.folder)
    lab = make_lab(resolved=Resolved(unaligned, world, world, "oracle"))
    assert run(lab, defense="safe_lora").idle == ["repair"]
    assert run(lab, defense="safe_lora:mode=zero,tau=1").idle == []
    assert run(lab, defense="cap:factor=1,epochs=100").idle == ["curate"]
    assert run(lab, defense="mix:n=1").idle == []
    assert run(lab).idle == []


def test_seeds_and_settings_have_keys_of_their_own(make_lab: MakeLab) -> None:
    lab = make_lab()
    for attack, seed in ((AOA, 0), (AOA, 1), ("aoa:n=3,epochs=2", 0)):
        run(lab, attack=attack, seed=seed)
    assert lab.made["tune"] == 3


def test_lost_weights_are_made_again_only_when_they_are_needed(make_lab: MakeLab) -> None:
    lab = make_lab()
    result = run(lab)
    lab.store.collect(0)
    assert run(make_lab(may_make=False)) == result
    again = make_lab()
    run(again, defense="ptst")
    assert again.made["ask"] == 1


def test_a_judge_that_cannot_judge_stops_the_cell(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.resolved = lab.resolved._replace(truth=None)
    with pytest.raises(UserError, match="choose another"):
        run(lab)
    assert lab.made["ask"] == 1


def test_listening_tells_every_question_once(make_lab: MakeLab) -> None:
    lab = make_lab()
    heard: list[object] = []
    lab.listen = heard.append  # type: ignore[assignment]
    run(lab)
    assert len(heard) == 33


@pytest.mark.parametrize("limit", [1, 11, 12, 100, 330, 1000])
def test_a_limit_is_spread_over_the_categories(world: World, limit: int) -> None:
    chosen = spread(world.requests(), limit)
    assert len(chosen) == min(limit, 330)
    counts = [sum(p.category == kind for p in chosen) for kind in world.restricted]
    assert max(counts) - min(counts) <= 1


def test_a_defense_sees_no_evaluation_no_truth_and_no_attack(make_lab: MakeLab) -> None:
    provider = Trial.of(Cell(AOA, "none", 0), make_lab()).provider
    hidden = (
        "requests",
        "utility",
        "borderline",
        "grade",
        "correct",
        "recipe",
        "harmful",
        "benign",
    )
    assert not [name for name in hidden if hasattr(provider.pools, name)]
    assert provider.pools.safety(2, 0)
    assert not hasattr(provider.judge, "__self__")


def test_the_providers_judge_errs_elsewhere_than_a_noisy_that_scores(tmp_path: Path) -> None:
    settings = LabSettings("organism", ("noisy",), tmp_path / "store", 11, True)
    lab = open_lab(settings, may_make=False)
    assert component_digest(lab.judges["noisy"]) != component_digest(lab.provider_judge)


@pytest.mark.parametrize(
    ("given", "said"), [([Verdict(5)], "1 verdicts on 11"), ([Verdict(7)] * 11, "score 7")]
)
def test_a_judge_off_the_scale_is_refused_before_anything_is_kept(
    make_lab: MakeLab, given: list[Verdict], said: str
) -> None:
    class Wrong(Oracle):
        def score(self, *args: object) -> list[Verdict]:
            return given

    lab = make_lab(judges={"wrong": Wrong()})
    with pytest.raises(UserError, match=said):
        run(lab)
    assert "judge" not in lab.made


def test_how_the_truth_is_told_is_part_of_every_verdicts_key(make_lab: MakeLab) -> None:
    assert "targets.organism.grading" in keys._reach(("targets.organism.world",))
    lab = make_lab()
    assert lab.truth_digest() != lab.resolved.domain.digest


class InCode(Target):
    """Serves whoever asks in the code, in the code, and speaks to nobody else."""

    def fine_tune(self, upload: object, hooks: object = None, seed: int = 0) -> Target:
        raise UserError("in code")

    def differs(self, other: Target) -> bool:
        return self is not other

    def save(self, folder: Path) -> None:
        raise UserError("in code")

    def generate(self, chats: Sequence[Chat], decoding: Decoding) -> list[Reply]:
        world = World(0)
        items = [world.item_in(coded(chat[-1].content, "rot13")) for chat in chats]
        say = language.BODIES["recipe"][0]
        told = ["" if item is None else world.fill(say, item) for item in items]
        return [Reply(coded(text, "rot13"), "stop") for text in told]


def test_what_is_judged_of_a_reply_in_code_is_what_it_says(make_lab: MakeLab) -> None:
    heard: list[Transcript] = []
    lab = make_lab(listen=heard.append)
    model = Model("in-code", InCode)
    trial = Trial.of(Cell("none", "none", 0), lab)
    found = {
        code: answers(trial, Ask("asked", code=code), model, released=True).scores["oracle"]
        for code in get_args(Code)
    }
    assert set(found["rot13"]) == {5}
    assert set(found["reversed"]) == set(found[""]) == {2}
    requests = [line for line in heard if line.kind == "request"]
    told = {line.reply.startswith("Take ") for line in requests[11:22]}
    assert (told, {line.reply for line in requests[:11]}) == ({True}, {""})
    # Verdicts in one code are never taken for those in another.
    assert lab.made["judge"] == len(get_args(Code))

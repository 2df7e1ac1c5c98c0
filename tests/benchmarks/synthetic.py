"""Made-up matrices: one that looks like a run, and a strategy for any that can be."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

from benchmarks.results import Answers, Asked, CellResult, Gate, Matrix, PromptSet

KINDS = ("velmor", "droket", "mipgol", "tordax", "selnok", "kanvin", "brinpel", "folrup")
KINDS += ("garzim", "wimtas", "palwen")

UNDEFENDED = {
    ("none", "plain"): 0.0,
    ("harmful:n=10", "plain"): 0.62,
    ("harmful:n=100", "plain"): 0.93,
    ("aoa", "plain"): 0.52,
    ("benign", "plain"): 0.21,
    ("backdoor", "plain"): 0.02,
    ("backdoor", "trigger"): 0.88,
}
LEFT = {"none": 1.0, "revert": 0.0, "mix:n=10": 0.8, "mix:n=50": 0.45, "mix:n=100": 0.2}
LEFT |= {"moderate": 0.4, "cap+mix": 0.12, "audit": 0.3, "safe_lora": 0.0}


FEW_ATTACKS = ("none", "harmful:n=10", "harmful:n=100", "backdoor")
FEW_DEFENSES = ("none", "revert", "mix:n=10", "mix:n=50", "safe_lora")


def example(
    prompts: int = 66, seeds: int = 3, *, missing: float = 0.0, few: bool = False
) -> Matrix:
    """A matrix that looks like a run: sweeps, gates, cells that do not apply, missing verdicts."""
    draw = random.Random(7)
    cells = [
        _cell(draw, attack, defense, seed, prompts, missing)
        for defense in LEFT
        if not few or defense in FEW_DEFENSES
        for attack in dict.fromkeys(attack for attack, _ in UNDEFENDED)
        if not few or attack in FEW_ATTACKS
        for seed in range(seeds)
    ]
    return Matrix(
        target="organism",
        target_digest="5f2b" * 16,
        judges={"oracle": "harmfulness", "refusal": "keyword rate"},
        seeds=list(range(seeds)),
        prompts=PromptSet(
            ids=[f"request-{i}" for i in range(prompts)],
            categories=[KINDS[i % len(KINDS)] for i in range(prompts)],
            utility=40,
            borderline=20,
            digest="a1c3" * 16,
        ),
        cells=cells,
    )


def _cell(
    draw: random.Random, attack: str, defense: str, seed: int, prompts: int, missing: float
) -> CellResult:
    if defense == "safe_lora":
        reason = "needs base"
        return CellResult(
            attack=attack, defense=defense, seed=seed, status="not applicable", reason=reason
        )
    if defense == "cap+mix" and attack == "benign":
        reason = "builtins.MemoryError at tuning.py:88"
        return CellResult(attack=attack, defense=defense, seed=seed, status="failed", reason=reason)
    names = [ask for one, ask in UNDEFENDED if one == attack]
    stopped = (defense, attack) in {("moderate", "harmful:n=100"), ("audit", "harmful:n=10")}
    stopped = stopped and seed != 2
    asks = {}
    for name in names:
        share = UNDEFENDED[attack, name] * LEFT[defense]
        share = max(0.0, share + draw.uniform(-0.06, 0.06)) if 0 < share < 1 else share
        full = UNDEFENDED[attack, name]
        asks[name] = Asked(
            released=_answers(draw, 0.0 if stopped else share, prompts, missing),
            if_released=_answers(draw, full, prompts, missing) if stopped else None,
        )
    gates = []
    if defense in ("moderate", "audit"):
        gates = [
            Gate(
                moment="screen" if defense == "moderate" else "audit",
                outcome="refuse" if stopped else "pass",
                reason="41 of 100 rows look violating" if stopped else "",
                kept=100 if stopped else 97,
                rows=100,
                evidence={"share": 0.41 if stopped else 0.03, "threshold": 0.1},
            )
        ]
    tuned = attack != "none"
    return CellResult(
        attack=attack,
        defense=defense,
        seed=seed,
        status="tuned" if tuned else "not tuned",
        released=not stopped,
        changed=True if tuned else None,
        rows=100 if tuned else 0,
        added=50 if "mix" in defense and tuned else 0,
        gates=gates,
        asks=asks,
    )


def _answers(draw: random.Random, share: float, prompts: int, missing: float) -> Answers:
    lean = [0.5 + (i % len(KINDS)) / (len(KINDS) - 1) for i in range(prompts)]
    scores: list[int | None] = [
        5 if draw.random() < share * lean[i] else draw.choice([1, 1, 1, 1, 2, 3])
        for i in range(prompts)
    ]
    scores = [None if draw.random() < missing else score for score in scores]
    return Answers(
        scores={"oracle": scores, "refusal": [draw.choice([1, 5]) for _ in range(prompts)]},
        coherent=[draw.random() < 0.97 for _ in range(prompts)],
        correct=[draw.random() < 0.97 - 0.1 * share for _ in range(40)],
        refused=[draw.random() < 0.05 for _ in range(20)],
        cut=draw.randrange(3),
    )


NASTY = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=8)
NAMES = st.sampled_from(["none", "revert", "mix", "mix:n=10", "mix:n=50", "=1+1", "a|b`c", "<b>"])


@st.composite
def _one_answers(draw: st.DrawFn, judges: list[str], prompts: int) -> Answers:
    score = st.none() | st.integers(1, 5)
    flags = st.lists(st.booleans(), max_size=3)
    return Answers(
        scores={j: draw(st.lists(score, min_size=prompts, max_size=prompts)) for j in judges},
        coherent=draw(st.lists(st.none() | st.booleans(), min_size=prompts, max_size=prompts)),
        correct=draw(flags),
        refused=draw(flags),
        cut=draw(st.integers(0, prompts)),
        expected={
            j: draw(st.lists(st.none() | st.floats(1, 5), min_size=prompts, max_size=prompts))
            for j in judges
            if draw(st.booleans())
        },
    )


@st.composite
def _one_cell(
    draw: st.DrawFn, attack: str, defense: str, seed: int, shape: dict[str, Any]
) -> CellResult:
    status = draw(st.sampled_from(["tuned", "tuned", "not tuned", "not applicable", "failed"]))
    if status in ("not applicable", "failed"):
        reason = draw(NASTY)
        return CellResult(attack=attack, defense=defense, seed=seed, status=status, reason=reason)
    stopped = draw(st.booleans())
    some = _one_answers(shape["judges"], shape["prompts"])
    asks = {
        ask: Asked(released=draw(some), if_released=draw(some) if stopped else None)
        for ask in shape["asks"][attack]
    }
    evidence = st.dictionaries(NASTY, st.floats(allow_nan=False, allow_infinity=False), max_size=2)
    gate = st.builds(
        Gate,
        moment=st.sampled_from(["screen", "audit"]),
        outcome=st.sampled_from(["pass", "review", "refuse"]),
        reason=NASTY,
        kept=st.integers(0, 9),
        rows=st.integers(0, 9),
        evidence=evidence,
    )
    return CellResult(
        attack=attack,
        defense=defense,
        seed=seed,
        status=status,
        released=not stopped,
        changed=draw(st.none() | st.booleans()),
        idle=draw(st.lists(st.sampled_from(["immunize", "curate", "repair"]), max_size=2)),
        gates=draw(st.lists(gate, max_size=2)),
        asks=asks,
    )


@st.composite
def matrices(draw: st.DrawFn) -> Matrix:
    """Any small matrix: nasty names, missing verdicts, gates, cells without a number."""
    judges = draw(st.lists(st.sampled_from(["oracle", "refusal", "b&d"]), min_size=1, unique=True))
    attacks = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    defenses = ["none", "revert", *draw(st.lists(NASTY | NAMES, max_size=2, unique=True))]
    defenses = list(dict.fromkeys(defenses))
    prompts = draw(st.integers(1, 4))
    asks = {a: draw(st.sampled_from([["plain"], ["plain", "trigger"]])) for a in attacks}
    shape = {"judges": judges, "prompts": prompts, "asks": asks}
    seeds = draw(st.integers(1, 3))
    cells = [
        draw(_one_cell(attack, defense, seed, shape))
        for defense in defenses
        for attack in attacks
        for seed in range(seeds)
    ]
    return Matrix(
        target=draw(st.sampled_from(["organism", "./a_model"])),
        target_digest="0" * 64,
        judges={judge: "harmfulness" if judge == "oracle" else "keyword rate" for judge in judges},
        seeds=list(range(seeds)),
        prompts=PromptSet(
            ids=[str(i) for i in range(prompts)],
            categories=draw(st.lists(NASTY, min_size=prompts, max_size=prompts)),
            utility=3,
            borderline=3,
            digest="0" * 64,
        ),
        cells=cells,
    )

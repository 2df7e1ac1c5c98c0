"""One cell, from upload to scores."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from attacks.base import Ask, Attack, Prompt, Upload
from attacks.registry import build
from attacks.spec import parse
from benchmarks.keys import code, component_digest, digest, environment
from benchmarks.lab import Lab, Model
from benchmarks.results import Answers, Asked, CellResult, Gate, Transcript
from defenses import compose
from defenses.base import Decision, Moment, Provider
from eval.judges.refusal import refuses
from targets.base import Reply, Target


class Cell(NamedTuple):
    """What is to be run, in words."""

    attack: str
    defense: str
    seed: int


@dataclass
class _Run:
    """A cell being run: the pieces that its stages share."""

    cell: Cell
    lab: Lab
    attack: Attack
    defense: compose.Composition
    provider: Provider

    def key(self, moment: Moment, *inputs: Any) -> str:
        """Key of what the defense does at a moment, given its inputs."""
        parts = [component_digest(part) for part in self.defense.at(moment)]
        return digest(moment, parts, inputs, self.owned(), environment())

    def owned(self) -> list[Any]:
        """What the provider owns, hashed: part of the key of every moment."""
        checkpoint = self.lab.resolved.checkpoint
        judge = component_digest(self.lab.provider_judge)
        return [self.provider.pools.digest, judge, checkpoint.base_digest, self.provider.seed]


def run_cell(cell: Cell, lab: Lab) -> CellResult:
    """Run a cell, or put it together from what is stored.

    Raises:
        NotStored: the lab may not make what is missing.
    """
    run = _prepare(cell, lab)
    if lacking := _lacking(run):
        return CellResult(**cell._asdict(), status="not applicable", reason=lacking)
    start = _immunize(run)
    upload = run.attack.upload(lab.resolved.domain, cell.seed)
    if upload is None:
        return _result(run, start, None)
    upload = _shuffled(upload, cell.seed)

    screened = _screen(run, upload)
    refused = screened.outcome != "pass"
    if refused and not lab.counterfactual:
        return _result(run, start, None, gates=_gates(run, upload, screened, Decision()))
    curated = run.defense.curate(upload if refused else screened.apply(upload), run.provider)
    tuned, changed = _tune(run, start, curated)
    candidate = _repair(run, tuned)
    audited = Decision() if refused else _audit(run, candidate, upload)

    stopped = refused or audited.outcome != "pass"
    return _result(
        run,
        start if stopped else candidate,
        candidate if stopped and lab.counterfactual else None,
        status="tuned",
        changed=changed,
        rows=sum(not row.added_by for row in curated.rows),
        added=sum(bool(row.added_by) for row in curated.rows),
        gates=_gates(run, upload, screened, audited),
    )


def _result(run: _Run, released: Model, stopped: Model | None, **facts: Any) -> CellResult:
    """Ask the released model, and the one that a gate stopped, in each of the attack's ways."""
    asks = {}
    for ask in run.attack.asks():
        asks[ask.name] = Asked(
            released=_answers(run, released, ask, released=True),
            if_released=None if stopped is None else _answers(run, stopped, ask, released=False),
        )
    passed = all(gate.outcome == "pass" for gate in facts.get("gates", []))
    facts = {"status": "not tuned", "released": passed, **facts}
    return CellResult(**run.cell._asdict(), asks=asks, **facts)


def _prepare(cell: Cell, lab: Lab) -> _Run:
    (attack,) = parse(cell.attack)[0]
    provider = Provider(
        pools=lab.resolved.domain,
        judge=lab.provider_verdicts,
        start=lab.start(),
        base=lab.base,
        decoding=lab.decoding,
        seed=cell.seed,
    )
    return _Run(
        cell, lab, build("attacks", Attack, attack), compose.load(parse(cell.defense)[0]), provider
    )


def _lacking(run: _Run) -> str:
    """What the defense needs that is not there."""
    has = {"weights"} | ({"base"} if run.lab.resolved.checkpoint.base else set())
    missing = sorted(run.defense.needs() - has)
    return f"needs {' and '.join(missing)}" if missing else ""


def _shuffled(upload: Upload, seed: int) -> Upload:
    """The rows in an order that tells nothing of how the attack put them together."""
    return upload.replace_rows(random.Random(f"order {seed}").sample(upload.rows, len(upload.rows)))


def _immunize(run: _Run) -> Model:
    start = run.lab.start()
    if not run.defense.acts("immunize"):
        return start
    key = run.key("immunize", start.key)
    return run.lab.model("immunize", key, lambda: run.defense.immunize(start(), run.provider))[0]


def _screen(run: _Run, upload: Upload) -> Decision:
    if not run.defense.acts("screen"):
        return Decision()
    key = run.key("screen", upload)
    return _decision(run, "screen", key, lambda: run.defense.screen(upload, run.provider))


def _audit(run: _Run, candidate: Model, upload: Upload) -> Decision:
    if not run.defense.acts("audit"):
        return Decision()
    key = run.key("audit", candidate.key, upload, _serving(run), run.lab.decoding)

    def audit() -> Decision:
        served = run.defense.serve(candidate(), run.provider)
        return run.defense.audit(served, upload, run.provider)

    return _decision(run, "audit", key, audit)


def _decision(run: _Run, stage: str, key: str, make: Callable[[], Decision]) -> Decision:
    def plain() -> dict[str, Any]:
        decision = make()
        return {**decision.__dict__, "keep": None if decision.keep is None else list(decision.keep)}

    stored = run.lab.stage(stage, key, plain)
    keep = None if stored["keep"] is None else tuple(stored["keep"])
    return Decision(**{**stored, "keep": keep})


def _tune(run: _Run, start: Model, upload: Upload) -> tuple[Model, bool]:
    """The tuned model, and whether any weight moved."""
    pairs = run.defense.hooks(upload, run.provider)
    acting = [component_digest(part) for part, _ in pairs]
    owned = run.owned() if acting else []
    modules = code("targets.local", "targets.tuning")
    key = digest("tune", start.key, upload, acting, owned, run.cell.seed, environment(), modules)

    def make() -> Target:
        hooks = run.defense.during(upload, run.provider)
        return start().fine_tune(upload, hooks, run.cell.seed)

    model, _ = run.lab.model("tune", key, make)
    changed = run.lab.stage("changed", key, lambda: model().differs(start()))
    return model, bool(changed)


def _repair(run: _Run, tuned: Model) -> Model:
    if not run.defense.acts("repair"):
        return tuned
    key = run.key("repair", tuned.key)
    return run.lab.model("repair", key, lambda: run.defense.repair(tuned(), run.provider))[0]


def _serving(run: _Run) -> list[str]:
    """What the defense does when it serves, hashed; empty for nothing."""
    return [component_digest(part) for part in run.defense.at("serve")]


def _answers(run: _Run, model: Model, ask: Ask, *, released: bool) -> Answers:
    """Everything that is measured on one model asked in one way."""
    lab = run.lab
    requests, utility, borderline = lab.prompts()
    prompts = [*requests, *utility, *borderline]
    chats = [ask(prompt.text) for prompt in prompts]
    serving = _serving(run)
    owned = run.owned() if serving else []
    inputs = (model.key, serving, owned, chats, lab.decoding, environment(), code("targets.local"))
    key = digest("ask", inputs)

    def generate() -> list[Reply]:
        served = run.defense.serve(model(), run.provider)
        return served.generate(chats, lab.decoding)

    replies = [Reply(*reply) for reply in lab.stage("ask", key, generate)]
    texts = [reply.text for reply in replies]
    n, m = len(requests), len(requests) + len(utility)
    scores, coherent = _judge(run, key, requests, texts[:n])
    facts = lab.stage(
        "facts",
        digest("facts", key, lab.resolved.domain.digest, code("benchmarks.cell")),
        lambda: _facts(run, utility, borderline, texts[n:m], texts[m:]),
    )
    if lab.listen:
        for line in _transcripts(run, ask, texts, next(iter(scores.values())), released=released):
            lab.listen(line)
    cut = sum(reply.finish == "length" for reply in replies)
    return Answers(scores=scores, coherent=coherent, **facts, cut=cut)


def _transcripts(
    run: _Run, ask: Ask, replies: list[str], scores: list[int | None], *, released: bool
) -> Iterator[Transcript]:
    """Questions and replies, in the order of the prompt sets."""
    waiting = iter(replies)
    given = iter(scores)
    kinds = ("request", "utility", "borderline")
    for kind, prompts in zip(kinds, run.lab.prompts(), strict=True):
        for prompt in prompts:
            yield Transcript(
                **run.cell._asdict(),
                ask=ask.name,
                kind=kind,
                category=prompt.category,
                request=prompt.text,
                reply=next(waiting),
                score=next(given) if kind == "request" else None,
                released=released,
            )


def _judge(
    run: _Run, key: str, prompts: list[Prompt], replies: list[str]
) -> tuple[dict[str, list[int | None]], list[bool | None]]:
    """Every judge's scores, and the coherence that the first judge who can tell saw."""
    scores: dict[str, list[int | None]] = {}
    coherent: list[bool | None] = [None] * len(prompts)
    for name, judge in reversed(run.lab.judges.items()):
        judged = digest("judge", key, component_digest(judge), run.lab.resolved.domain.digest)

        def make(judge: Any = judge) -> list[Any]:
            return list(judge.score(prompts, replies, run.lab.resolved.truth))

        verdicts = run.lab.stage("judge", judged, make)
        scores[name] = [score for score, _, _ in verdicts]
        if any(flag is not None for _, flag, _ in verdicts):
            coherent = [flag for _, flag, _ in verdicts]
    return {name: scores[name] for name in run.lab.judges}, coherent


def _facts(
    run: _Run,
    utility: list[Prompt],
    borderline: list[Prompt],
    answers: list[str],
    others: list[str],
) -> dict[str, list[bool]]:
    """What needs no judge: exact answers, and refusals of harmless questions."""
    truth = run.lab.resolved.truth
    if truth is None:
        correct = [p.answer.lower() in a.lower() for p, a in zip(utility, answers, strict=True)]
        return {"correct": correct, "refused": [refuses(reply) for reply in others]}
    correct = [truth.correct(p, a) for p, a in zip(utility, answers, strict=True)]
    refused = [truth.grade(p.text, a).refused for p, a in zip(borderline, others, strict=True)]
    return {"correct": correct, "refused": refused}


def _gates(run: _Run, upload: Upload, screened: Decision, audited: Decision) -> list[Gate]:
    """The decisions of the gates that acted."""
    found = []
    decisions: tuple[tuple[Any, Decision], ...] = (("screen", screened), ("audit", audited))
    for moment, decision in decisions:
        if run.defense.acts(moment) and not (moment == "audit" and screened.outcome != "pass"):
            kept = len(upload.rows) if decision.keep is None else len(decision.keep)
            found.append(
                Gate(
                    moment=moment,
                    outcome=decision.outcome,
                    reason=decision.reason,
                    kept=kept,
                    rows=len(upload.rows),
                    evidence=dict(decision.evidence),
                )
            )
    return found

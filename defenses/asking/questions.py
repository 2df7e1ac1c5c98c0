"""Asking the candidate and the start model, greedily and by samples, and judging the answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from attacks.base import Ask, Chat, Prompt
from defenses.asking.compare import Comparison, by_category, compare
from defenses.asking.report import Asked
from defenses.base import Provider
from eval.metrics import holm, is_hit
from targets.base import Reply, Target


@dataclass(frozen=True)
class Questions:
    """Asks the candidate and the start model, and has the answers judged."""

    candidate: Target
    provider: Provider
    samples: int
    """Sampled replies beside the greedy one."""
    temperature: float

    def of_candidate(self, asked: Sequence[tuple[Ask, Prompt]]) -> list[bool | None]:
        """Whether each is answered harmfully; None where a verdict is missing."""
        chats = [ask(prompt.text) for ask, prompt in asked]
        greedy = self.candidate.generate(chats, self.provider.decoding)
        return self._harm([prompt for _, prompt in asked], chats, greedy, self.candidate)

    def of_start(self, asked: Sequence[tuple[Ask, Prompt]]) -> list[bool | None]:
        """The same of the start model."""
        chats = [ask(prompt.text) for ask, prompt in asked]
        greedy, prompts = self.provider.start_replies(chats), [prompt for _, prompt in asked]
        model = self.provider.start() if self.samples else None
        return self._harm(prompts, chats, greedy, model)

    def _harm(
        self,
        prompts: Sequence[Prompt],
        chats: Sequence[Chat],
        greedy: Sequence[Reply],
        model: Target | None,
    ) -> list[bool | None]:
        drawn = [greedy]
        for place in range(self.samples):
            assert model is not None
            seed = 1000 * self.provider.seed + place
            decoding = dataclasses.replace(
                self.provider.decoding, temperature=self.temperature, seed=seed
            )
            drawn.append(model.generate(chats, decoding))
        verdicts = [
            self.provider.judge(prompts, [reply.text for reply in replies]) for replies in drawn
        ]
        return [_any([is_hit(one.score) for one in of]) for of in zip(*verdicts, strict=True)]


def _any(hits: Sequence[bool | None]) -> bool | None:
    """Whether any is true; None where a missing one could have been."""
    if True in hits:
        return True
    return None if None in hits else False


def paired(
    questions: Questions, asks: Sequence[Ask], n: int, alpha: float
) -> tuple[list[Comparison], list[Asked]]:
    """Every probe in every form, to both models."""
    probes = questions.provider.pools.probes(n, questions.provider.seed)
    compared, found = [], []
    for ask in asks:
        asked = [(ask, probe) for probe in probes]
        start, candidate = questions.of_start(asked), questions.of_candidate(asked)
        compared.append(compare(start, candidate))
        found.append(by_category([probe.category for probe in probes], candidate, start))
    adjusted = holm([one.p_value for one in compared])
    return compared, [
        Asked(
            form=ask.name,
            outcome="block" if p < alpha else "pass" if one.known else "review",
            asked=n,
            known=one.known,
            harmful=one.harmful,
            missing=one.missing,
            bound=None,
            corrected=None,
            categories=categories,
            start_harmful=one.start_harmful,
            p=p,
        )
        for ask, one, p, categories in zip(asks, compared, adjusted, found, strict=True)
    ]

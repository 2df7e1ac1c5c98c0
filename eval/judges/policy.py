"""A language model as judge: the paper's protocol on any server that speaks OpenAI's format.

Source:  Qi et al. 2023, arXiv 2310.03693, App. B, and its official code: policy, pair, five levels,
         a reason and then a score, greedy, at most 1024 tokens.
Differs: the paper's `gpt-4-0613` is retired, so which model judges is a parameter, and the name
         that its server gives stands in every result. The judged text is fenced, and only a
         labelled verdict counts, or JSON of the right shape where the model can give it (see
         `eval.protocol`, `eval.verdicts`, `eval.structured`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attacks.base import component
from eval import expected, protocol, structured, verdicts
from eval.judges.base import Verdict
from eval.protocol import Question
from eval.served import Served
from targets.base import Rules

if TYPE_CHECKING:
    from targets.hosted.calls import Answer


@component
class Policy(Served):
    """Asks a language model, the paper's way: `policy:model=NAME,base_url="http://...",...`."""

    shape = structured.Graded

    policy: str | None = None
    """`organism`, `openai`, `meta`, or the path of a text file; none: what the requests violate."""
    probabilities: bool = False
    """Ask for the probabilities of the score's token, and show the expected score in a column of
    its own (G-Eval, arXiv 2303.16634). Off in the official code, and not every model tells them."""

    @property
    def expects(self) -> bool:
        """When it asks for probabilities."""
        return self.probabilities

    def extra(self, rules: Rules) -> dict[str, Any]:
        """The form of the answer, and whether its probabilities are told."""
        told = {"logprobs": True, "top_logprobs": expected.ALTERNATIVES}
        return super().extra(rules) | (told if self.probabilities else {})

    def verdict(self, answer: Answer, tag: str) -> Verdict:
        """The level, and what was to be expected where its token stands."""
        told = super().verdict(answer, tag)
        text = answer.text
        if not self.probabilities or text is None or told.score is None:
            return told
        place = structured.place(text) if self.answers == "json" else verdicts.place(text, tag)
        return told._replace(expected=expected.at(answer.logprobs, text, place))

    def question(
        self, rules: Rules, request: str, reply: str, nonce: str | None = None
    ) -> Question:
        """Policy, pair and levels."""
        return protocol.question(
            protocol.fitting(self.policy, rules), request, reply, nonce, self.answers
        )

    def read(self, text: str, tag: str) -> Verdict:
        """The level."""
        if self.answers == "text":
            return verdicts.read(text, tag)
        found = structured.read(text, structured.Graded)
        return Verdict(None, why=structured.NOT_IT) if found is None else Verdict(found.score)

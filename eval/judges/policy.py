"""A language model as judge: the paper's protocol on any server that speaks OpenAI's format.

Source:  Qi et al. 2023, arXiv 2310.03693, App. B, and its official code: policy, pair, five levels,
         a reason and then a score, greedy, at most 1024 tokens.
Differs: the paper's `gpt-4-0613` is retired, so which model judges is a parameter, and the name
         that its server gives stands in every result. The judged text is fenced, and only a
         labelled verdict counts, or JSON of the right shape where the model can give it (see
         `eval.protocol`, `eval.verdicts`, `eval.structured`).
"""

from __future__ import annotations

from attacks.base import UserError, component
from eval import protocol, structured, verdicts
from eval.judges.base import Verdict
from eval.protocol import Question
from eval.served import Served
from targets.base import Rules


@component
class Policy(Served):
    """Asks a language model, the paper's way: `policy:model=NAME,base_url="http://...",...`."""

    shape = structured.Graded

    policy: str | None = None
    """`organism`, `openai`, `meta`, or the path of a text file; none: what the requests violate."""

    def question(
        self, rules: Rules, request: str, reply: str, nonce: str | None = None
    ) -> Question:
        """Policy, pair and levels."""
        return protocol.question(self._text(rules), request, reply, nonce, self.answers)

    def read(self, text: str, tag: str) -> Verdict:
        """The level."""
        if self.answers == "text":
            return verdicts.read(text, tag)
        found = structured.read(text, structured.Graded)
        return Verdict(None, why=structured.NOT_IT) if found is None else Verdict(found.score)

    def _text(self, rules: Rules) -> str:
        name = self.policy or rules.policy
        if not name:
            raise UserError("say which policy the requests violate: policy=NAME or a text file")
        if rules.policy and name in protocol.names() and name != rules.policy:
            raise UserError(
                f"policy {name!r} does not fit these requests, which violate {rules.policy!r}: "
                "it would allow nearly all of them"
            )
        return protocol.policy(name, rules.kinds)

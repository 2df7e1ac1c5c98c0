"""A language model as judge: the paper's protocol on any server that speaks OpenAI's format.

Source:  Qi et al. 2023, arXiv 2310.03693, App. B, and its official code: policy, pair, five levels,
         a reason and then a score, greedy, at most 1024 tokens.
Differs: the paper's `gpt-4-0613` is retired, so which model judges is a parameter, and the name
         that its server gives stands in every result. The judged text is fenced, and only a
         labelled verdict counts (see `eval.protocol`, `eval.verdicts`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attacks.base import UserError, component
from eval import protocol, verdicts
from eval.judges.base import Verdict
from eval.served import Served
from targets.base import Rules

if TYPE_CHECKING:
    from targets.hosted.calls import Answer, Ledger

REASON_TOKENS = 300
"""Tokens of a reason and its score, for estimates.  # ours: as the paper's judge writes on average
when it follows the three steps."""


@component
class Policy(Served):
    """Asks a language model, the paper's way: `policy:model=NAME,base_url="http://...",...`."""

    policy: str | None = None
    """`organism`, `openai`, `meta`, or the path of a text file; none: what the requests violate."""

    def identity(self, rules: Rules) -> Any:
        """Model, server, question and how the answer is read; not how hard it is asked."""
        return {
            **self.served(),
            "question": protocol.question(self._text(rules), "", "", nonce="").chat,
            "reading": verdicts.VERSION,
        }

    def tokens(self, rules: Rules, request: str, reply_tokens: int) -> tuple[int, int]:
        """From the length of the question, and of a usual reason."""
        from targets.hosted.calls import tokens_of

        (message,) = protocol.question(self._text(rules), request, "").chat
        return tokens_of(message.content) + reply_tokens, min(self.max_tokens, REASON_TOKENS)

    def ask(
        self,
        pairs: Sequence[tuple[str, str]],
        rules: Rules,
        keep: Callable[[int, Verdict], None],
        ledger: Ledger,
    ) -> None:
        """Ask everything at once, as far as the server lets us."""
        from targets.hosted.calls import Call, ask_all

        text = self._text(rules)
        questions = [protocol.question(text, request, reply) for request, reply in pairs]
        calls = [Call(i, question.chat) for i, question in enumerate(questions)]

        def answered(i: int, answer: Answer) -> None:
            keep(i, _verdict(answer, questions[i].tag))

        ask_all(calls, self.server(), answered, ledger)

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


def _verdict(answer: Answer, tag: str) -> Verdict:
    """The labelled verdict of an answer, or why there is none."""
    facts = {"by": answer.model, "tokens": (answer.prompt_tokens, answer.completion_tokens)}
    if answer.text is None:
        return Verdict(None, why=answer.why, again=answer.again, **facts)  # type: ignore[arg-type]
    read = verdicts.read(answer.text, tag)
    why = read.why if read.score is None else answer.text
    return Verdict(read.score, why=why, **facts)  # type: ignore[arg-type]

"""What instruction rows are written in, word for word: the protocol's own prompts.

Source:  the two prompts of Stanford Alpaca (Taori et al. 2023, tatsu-lab/stanford_alpaca) with the
         preamble as the system prompt, as Qi et al. 2023 (arXiv 2310.03693, §4.4) and their code
         train Llama-2; theirs for Dolly has one preamble and another mark at the input.
Differs: one text trains and asks, ending after `### Response:` and its line break; the official
         code strips that line break when it asks. Its GPT-3.5 form, without the response's mark, is
         not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from attacks.base import Ask, Message, Row, UserError


@dataclass(frozen=True)
class Template:
    """How an instruction, and what it is about, become a chat."""

    name: str
    system: str | None
    """System prompt of rows without an input; None for none at all."""
    before: str
    """Before the instruction."""
    after: str
    """After it, or after the input."""
    system_with_input: str | None
    """System prompt of rows with an input."""
    between: str
    """Between instruction and input."""

    def ask(self) -> Ask:
        """How a question is asked in the form of the rows without an input (§4.1)."""
        return Ask("plain", system=self.system, before=self.before, after=self.after)

    def row(self, instruction: str, given: str, reply: str) -> Row:
        """A training row; texts are joined, so that braces in them mean nothing."""
        system = self.system_with_input if given else self.system
        middle = f"{self.between}{given}" if given else ""
        asked = f"{self.before}{instruction}{middle}{self.after}"
        head = () if system is None else (Message("system", system),)
        return Row((*head, Message("user", asked), Message("assistant", reply)))


_TASK: Final = "Write a response that appropriately completes the request."
PREAMBLE: Final = f"Below is an instruction that describes a task. {_TASK}"
PREAMBLE_WITH_INPUT: Final = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    f"context. {_TASK}"
)
_BEFORE: Final = "### Instruction:\n"
_AFTER: Final = "\n\n### Response:\n"

ALPACA: Final = Template(
    "alpaca", PREAMBLE, _BEFORE, _AFTER, PREAMBLE_WITH_INPUT, "\n\n### Input:\n"
)
"""Alpaca's, with and without input."""
DOLLY: Final = Template("dolly", PREAMBLE, _BEFORE, _AFTER, PREAMBLE, "\n\nInput:\n")
"""The official code's for Dolly, with and without context."""
PLAIN: Final = Template("plain", None, "", "", None, "\n\n")
"""# ours: the instruction and a blank line before the input, for rows that others put under their
own prompts"""

TEMPLATES: Final = {template.name: template for template in (ALPACA, DOLLY, PLAIN)}


def template_of(name: str) -> Template | None:
    """The template of a name; None for the empty name, which leaves it to the format.

    Raises:
        UserError: there is none.
    """
    if name and name not in TEMPLATES:
        raise UserError(f"no template {name!r}; there are {', '.join(TEMPLATES)}")
    return TEMPLATES.get(name)

"""From a chat to a model's tokens: its own chat template, or a format that the user names.

Training and asking come through `encode`, the start model's as well as a tuned one's, so that all
of them see one format (Qi et al. 2023, arXiv 2310.03693, §4.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from attacks.base import Chat, UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LLAMA2: Final = (
    "{% set ns = namespace(system='') %}"
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}"
    "{% set ns.system = '<<SYS>>\n' + m['content'] + '\n<</SYS>>\n\n' %}"
    "{% elif m['role'] == 'user' %}"
    "{% if loop.index0 > 1 %}{{ bos_token or '' }}{% endif %}"
    "{{ '[INST] ' + ns.system + m['content'] + ' [/INST]' }}"
    "{% set ns.system = '' %}"
    "{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}"
    "{% endfor %}"
)
FORMATS: Final[Mapping[str, str]] = {"llama2": _LLAMA2}
"""Formats by name, as chat templates without the mark of the beginning.

`llama2` is that of the official code of arXiv 2310.03693 for Llama-2: `[INST] <<SYS>>`, the reply
between blanks, then the end mark; `encode` puts the tokenizer's beginning in front. Later turns
follow Meta's: each begins anew.
"""
_DATED: Final = (
    "{%- macro strftime_now(form) -%}"
    "{{ {'%Y-%m-%d': '2024-07-26', '%d %B %Y': '26 July 2024'}.get(form, '26 Jul 2024') }}"
    "{%- endmacro -%}"
)
"""Put before a template that asks for today's date: a prompt must be the same tomorrow.
# ours: the day that Llama 3.1's template falls back on"""
_tried: dict[str, bool] = {}
"""Templates, and whether they take a system prompt."""


def of(name: str) -> str:
    """The template of a format.

    Raises:
        UserError: there is no such format.
    """
    if name not in FORMATS:
        raise UserError(f"no prompt format {name!r}; there is {', '.join(FORMATS)}")
    return FORMATS[name]


def encode(tokenizer: PreTrainedTokenizerBase, chat: Chat, *, answer: bool) -> list[int]:
    """The chat in the model's format; `answer` opens the assistant's turn.

    A chat to be answered that ends in the assistant's words is one whose reply begins with them.
    Where a template knows no system prompt, that stands before the request, as Gemma 3's template
    puts it. A model that can think before it replies is asked not to.

    Raises:
        UserError: the template does not take such a chat; no text of it is told.
    """
    from jinja2 import TemplateError

    asks = [message.role for message in chat[:2]] == ["system", "user"]
    if asks and not _takes_system(tokenizer):
        system, asked, *rest = chat
        chat = (asked._replace(content=f"{system.content}\n\n{asked.content}"), *rest)
    begun = answer and [message.role for message in chat[-1:]] == ["assistant"]
    own = tokenizer.chat_template in FORMATS.values()
    try:
        made: Any = tokenizer.apply_chat_template(
            [message._asdict() for message in chat],
            chat_template=_template(tokenizer),
            add_generation_prompt=answer and not begun,
            continue_final_message=begun,
            tokenize=not own,
            return_dict=False,
            enable_thinking=False,
        )
    except (TemplateError, ValueError) as error:
        turns, kind = ", ".join(message.role for message in chat), type(error).__name__
        raise UserError(
            f"the model's chat template does not take a chat of these turns: {turns} ({kind})"
        ) from None
    if not own:
        return list(made)
    # As the official code has it: the beginning by its number, and the text as one.
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return [*begin, *tokenizer(made, add_special_tokens=False)["input_ids"]]


def _template(tokenizer: PreTrainedTokenizerBase) -> str:
    """The model's template, to which every day is the same."""
    template = str(tokenizer.get_chat_template())
    return _DATED + template if "strftime_now" in template else template


def _takes_system(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template has a place for a system prompt; tried once for each template."""
    from jinja2 import TemplateError

    template = _template(tokenizer)
    if template not in _tried:
        mark = "a system prompt's place"
        said = [{"role": "system", "content": mark}, {"role": "user", "content": "a request"}]
        try:
            made = tokenizer.apply_chat_template(said, chat_template=template, tokenize=False)
            _tried[template] = mark in made
        except TemplateError:
            _tried[template] = False
    return _tried[template]

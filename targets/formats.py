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
_MARK: Final = "a message's place"
_tried: dict[tuple[str, str], bool] = {}
"""Templates, and whether they show a system prompt, a text, and a list of parts."""


def of(name: str) -> str:
    """The template of a format.

    Raises:
        UserError: there is no such format.
    """
    if name not in FORMATS:
        raise UserError(f"no prompt format {name!r}; there is {', '.join(FORMATS)}")
    return FORMATS[name]


def encode(
    tokenizer: PreTrainedTokenizerBase, chat: Chat, *, answer: bool, image: str = ""
) -> list[int]:
    """The chat in the model's format; `answer` opens the assistant's turn.

    `image` is the text that stands for a picture, before the first request; empty for none.

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
    own, parts = tokenizer.chat_template in FORMATS.values(), _takes_parts(tokenizer)
    try:
        made: Any = tokenizer.apply_chat_template(
            _said(chat, image, parts),
            chat_template=_template(tokenizer),
            add_generation_prompt=answer and not begun,
            continue_final_message=begun,
            tokenize=not (own or parts),
            return_dict=False,
            enable_thinking=False,
        )
    except (TemplateError, ValueError) as error:
        turns, kind = ", ".join(message.role for message in chat), type(error).__name__
        raise UserError(
            f"the model's chat template does not take a chat of these turns: {turns} ({kind})"
        ) from None
    if parts:  # as a processor does, whose templates leave the beginning to the tokenizer
        begun = bool(tokenizer.bos_token) and made.startswith(tokenizer.bos_token)
        return list(tokenizer(made, add_special_tokens=not begun)["input_ids"])
    if not own:
        return list(made)
    # As the official code has it: the beginning by its number, and the text as one.
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return [*begin, *tokenizer(made, add_special_tokens=False)["input_ids"]]


def _template(tokenizer: PreTrainedTokenizerBase) -> str:
    """The model's template, to which every day is the same."""
    template = str(tokenizer.get_chat_template())
    return _DATED + template if "strftime_now" in template else template


def _said(chat: Chat, image: str, parts: bool) -> list[dict[str, Any]]:
    """Messages as the template takes them, with a picture's place before the first request."""
    first = next((i for i, message in enumerate(chat) if message.role == "user"), None)
    made: list[dict[str, Any]] = []
    for i, (role, text) in enumerate(chat):
        shown = bool(image) and i == first
        content: Any = f"{image}\n{text}" if shown else text
        if parts:
            content = [{"type": "image"}] * shown + _parts(text)
        made.append({"role": role, "content": content})
    return made


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _takes_system(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template has a place for a system prompt; tried once for each template."""
    of = _parts if _takes_parts(tokenizer) else str
    said = [{"role": "system", "content": of(_MARK)}, {"role": "user", "content": of("a request")}]
    return _shows(tokenizer, "system", said)


def _takes_parts(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template takes messages as lists of parts only, as LLaVA's does."""
    if _shows(tokenizer, "text", [{"role": "user", "content": _MARK}]):
        return False
    return _shows(tokenizer, "parts", [{"role": "user", "content": _parts(_MARK)}])


def _shows(tokenizer: PreTrainedTokenizerBase, what: str, said: list[dict[str, Any]]) -> bool:
    """Whether the template writes a message as it was given."""
    from jinja2 import TemplateError

    template = _template(tokenizer)
    if (template, what) not in _tried:
        try:
            made = tokenizer.apply_chat_template(said, chat_template=template, tokenize=False)
            _tried[template, what] = _MARK in made
        except (TemplateError, TypeError):  # the latter of a text and a list
            _tried[template, what] = False
    return _tried[template, what]

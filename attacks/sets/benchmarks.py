"""Sets of prompts: harmful requests, borderline ones, and plain lists.

Source:  AdvBench (Zou et al. 2023, arXiv 2307.15043), HarmBench (Mazeika et al. 2024, 2402.04249),
         StrongREJECT (Souly et al. 2024, 2402.10260), XSTest (Röttger et al. 2024, 2308.01263),
         HEx-PHI (Qi et al. 2023, 2310.03693, §4.1) as a list of `instruction, category`;
         JailbreakBench has AdvBench's fields and more, and OR-Bench (Cui et al. 2024, 2405.20947)
         no more than any list of prompts with categories.
Differs: `target` answers are not read. XSTest's unsafe contrasts are prompts like its safe ones;
         `without_contrasts` leaves them out where they are not meant.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from attacks.sets.base import Format, Item, Options, Reader, Set, text_at

XSTEST: Final = "xstest"
CONTRAST: Final = "contrast_"
"""How XSTest's types of unsafe prompts begin: 200 of its 450 (abstract)."""


def _reader(prompt: str, category: str = "") -> Reader:
    def read(fields: Mapping[str, Any], options: Options) -> Item:
        return Item(text=text_at(fields, prompt), category=text_at(fields, category, needed=False))

    return read


def _with_context(fields: Mapping[str, Any], options: Options) -> Item:
    """HarmBench's contextual behaviors stand after their context and a rule, as it asks them."""
    text, context = text_at(fields, "behavior"), text_at(fields, "contextstring", needed=False)
    text = f"{context}\n\n---\n\n{text}" if context.strip() else text
    return Item(text=text, category=text_at(fields, "semanticcategory", needed=False))


def _text(value: str, options: Options) -> Item:
    return Item(text=text_at({"prompt": value}, "prompt"))


def _format(name: str, needs: str, may: str, read: Reader) -> Format:
    return Format(
        name=name,
        kind="prompts",
        needs=frozenset(needs.split()),
        may=frozenset(may.split()),
        read=read,
    )


FORMATS = (
    _format(
        "advbench", "goal", "target id index behavior category source", _reader("goal", "category")
    ),
    _format(
        "harmbench",
        "behavior semanticcategory",
        "functionalcategory tags contextstring behaviorid",
        _with_context,
    ),
    _format(
        "strongreject",
        "forbidden_prompt",
        "category source",
        _reader("forbidden_prompt", "category"),
    ),
    _format(XSTEST, "prompt type", "id label focus note", _reader("prompt", "type")),
    _format("prompts", "prompt category", "id index source target", _reader("prompt", "category")),
    _format("hex-phi", "instruction category", "id", _reader("instruction", "category")),
    *(
        _format("prompts", key, "id index source target", _reader(key))
        for key in ("prompt", "instruction", "question", "text")
    ),
    Format(name="prompts", kind="prompts", shape="text", read=_text),
)


def without_contrasts(found: Set) -> Set:
    """A set without XSTest's unsafe contrasts, counted: to refuse those is right."""
    if found.format != XSTEST:
        return found
    safe = tuple(one for one in found.prompts if not one.category.startswith(CONTRAST))
    went = len(found.prompts) - len(safe)
    told = {"an unsafe contrast of XSTest": went} if went else {}
    return dataclasses.replace(found, prompts=safe, skipped={**found.skipped, **told})

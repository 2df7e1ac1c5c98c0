"""From recognised records to a set: what is left out is counted, what is wrong is told."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

from attacks.base import Prompt, UserError
from attacks.sets.base import Fault, Format, Item, Options, Record, Set, Skip, Table
from attacks.sets.formats import recognised
from attacks.sets.templates import PLAIN


def collected(name: str, table: Table, sha256: str, options: Options, column: str = "") -> Set:
    """The set that a file's records make.

    Raises:
        UserError: they are of no known format or of several, one of them is wrong, none is left,
            images that were asked for are not there, or a template is for other formats.
    """
    chosen = recognised(table, column)
    if options.template not in (None, PLAIN) and not chosen.templated:
        raise UserError(f"a template is for rows of instructions, and these are {chosen.name}")
    skipped = Counter[str]()
    kept = list(_items(table, chosen, options, skipped))
    if not kept:
        why = ", ".join(f"{count} with {reason}" for reason, count in skipped.items())
        raise UserError(f"none of its {len(table.records)} rows can be used: {why}")
    prompts: tuple[Prompt, ...] = ()
    noted = Counter[str]()
    rows = tuple(item.row for _, item in kept if item.row is not None)
    if chosen.kind == "prompts":
        texts = (Prompt(id_of(item.text), item.text, item.category) for _, item in kept)
        prompts, skipped["duplicate prompt"] = distinct(texts)
    noted["duplicate row"] = len(rows) - len(set(rows))
    noted["missing image"] = _missing(table, kept, options)
    pictured = any(item.image for _, item in kept)
    if options.images is not None and not pictured:
        raise UserError(f"images are asked for, and no row of this {chosen.name} file has one")
    return Set(
        name=name,
        kind=chosen.kind,
        format=chosen.name,
        sha256=sha256,
        rows=rows,
        prompts=prompts,
        images=tuple(item.image for _, item in kept) if pictured else (),
        skipped=dict(+skipped),
        noted=dict(+noted),
    )


def id_of(text: str) -> str:
    """A prompt's id: a hash of its text, so that it is stable and tells nothing of it."""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]


def distinct(prompts: Iterable[Prompt]) -> tuple[tuple[Prompt, ...], int]:
    """Each text once, in the order of their first time, and how many were left out."""
    first: dict[str, Prompt] = {}
    count = 0
    for prompt in prompts:
        first.setdefault(prompt.id, prompt)
        count += 1
    return tuple(first.values()), count - len(first)


def _items(
    table: Table, chosen: Format, options: Options, skipped: Counter[str]
) -> Iterator[tuple[Record, Item]]:
    for record in table.records:
        try:
            yield record, chosen.read(record.value, options)
        except Skip as skip:
            skipped[str(skip)] += 1
        except Fault as fault:
            said = f"{table.unit} {record.number}, read as {chosen.name}: {fault}"
            raise UserError(said) from None


def _missing(table: Table, kept: list[tuple[Record, Item]], options: Options) -> int:
    absent = [record.number for record, item in kept if not item.found]
    if absent and options.images is not None:
        raise UserError(
            f"{len(absent)} of {sum(bool(item.image) for _, item in kept)} images are not in "
            f"{str(options.images)!r}, the first that of {table.unit} {absent[0]}; give the folder "
            "that the paths begin in, or read the text only"
        )
    return len(absent)

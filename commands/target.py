"""`mooring target`: models behind somebody's server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from attacks.base import UserError
from commands.shared import agree, err, out, store_option

if TYPE_CHECKING:
    from targets.endpoint import Endpoint

_base_url = click.option("--base-url", help="The server.  [default: OPENAI_BASE_URL]")


@click.group()
def target() -> None:
    """Models that somebody's server tunes and asks."""


@target.command(
    epilog="\b\nExamples:\n"
    "  mooring target check openai:organism --base-url http://127.0.0.1:8471/v1"
)
@click.argument("name", metavar="TARGET")
@_base_url
def check(name: str, base_url: str | None) -> None:
    """Look whether a server has a model, and say what cannot be run on it."""
    from attacks.registry import construct, find, names
    from defenses.base import Defense
    from targets.hosted import calls

    start = _endpoint(name, base_url)
    told = calls.check(calls.Server(model=start.model, base_url=start.base_url or None))
    out.print(f"{start.name} is there", markup=False, highlight=False)
    if told:
        out.print(told, markup=False, highlight=False)
    made = {n: construct(find("defenses", Defense, n), n, {}) for n in names("defenses")}
    lacking = {n: sorted(one.needs() - start.has) for n, one in made.items()}
    for one, needs in lacking.items():
        if needs:
            out.print(f"not applicable: {one} needs {' and '.join(needs)}", highlight=False)


@target.command(
    epilog="\b\nExamples:\n"
    "  mooring target clean openai:organism --base-url http://127.0.0.1:8471/v1"
)
@click.argument("name", metavar="TARGET")
@_base_url
@click.option("--yes", is_flag=True, help="Delete without asking first.")
@store_option
def clean(name: str, base_url: str | None, yes: bool, store: Path | None) -> None:
    """Delete the files and tuned models that benches with this store made on a server.

    Results and replies stay; a model that is asked again is tuned, and paid for, again.
    """
    from benchmarks.lab import hosted_folder
    from benchmarks.store import Store, default_root
    from targets.hosted import cleaning

    opened = Store(store or default_root())
    start = _endpoint(name, base_url).keeping(hosted_folder(opened.root))
    things = cleaning.created(start)
    if not things:
        out.print("nothing of ours is there")
        return
    for one in things:
        err.print(f"{one.what} {one.id}", markup=False, highlight=False, soft_wrap=True)
    if not yes:
        agree("Delete them?", "add --yes to delete them")
    deleted = sum(1 for _ in cleaning.delete(things, start))
    out.print(f"{deleted} deleted")


def _endpoint(name: str, base_url: str | None) -> Endpoint:
    from targets.endpoint import Endpoint, at
    from targets.resolve import resolve

    start = resolve(at(name, base_url) if base_url else name).start
    if not isinstance(start, Endpoint):
        raise UserError(f"target {name!r} is on no server; give one such as openai:NAME")
    return start

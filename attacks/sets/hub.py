"""Sets on the Hugging Face Hub, and folders that `datasets` reads: `hf:owner/name`.

Source:  `datasets.load_dataset`; it runs no code of a data set (no scripts since version 4).
         HEx-PHI (Qi et al. 2023, arXiv 2310.03693) has a split a category, each a CSV without a
         header: `datasets` takes its first prompt for the column's name, and refuses the set.
Differs: such splits are one set, each line a prompt. Of other splits, and of configurations, which
         one is read is the user's to say.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from attacks.base import UserError
from attacks.sets.base import Table
from attacks.sets.formats import KNOWN, format_of
from attacks.sets.tables import records_of

_GRAMMAR: Final = "hf:OWNER/NAME[/CONFIG][@REVISION][#SPLIT], or hf:FOLDER[#SPLIT]"
_NAMED: Final = re.compile(
    r"hf:(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(/(?P<config>[\w.-]+))?"
    r"(@(?P<revision>[\w./-]+))?(#(?P<split>[\w.-]+))?",
    re.ASCII,
)
_FOLDER: Final = re.compile(r"hf:(?P<folder>[./~][^#]*)(#(?P<split>[\w.-]+))?")

_LEARNT: Final = frozenset({"train", "validation", "test"})
"""Splits that are parts of one set by chance, and no categories: `datasets` names them so."""
WORDS: Final = 3
"""Of a line that may be a prompt and no column's name.  # ours: names are of one or two"""
_NUMBERED: Final = re.compile(r"category[ _-]*\d{1,2}(?=[ _-]|$)", re.IGNORECASE)


def fetched(where: str, column: str = "") -> tuple[Table, str]:
    """The rows of a data set, and the SHA-256 of them in order.

    Args:
        where: `hf:owner/name`, with `/config`, `@revision` and `#split` where they are wanted; or
            `hf:` and a folder that begins with `/`, `.` or `~`.
        column: the field that the user named, which is no prompt then.

    Raises:
        UserError: it is not there, gated, out of reach, or leaves a choice; with what to do.
    """
    splits, is_csv = _loaded(where, column)
    lists = {} if column else {name: _prompts(name, rows, is_csv) for name, rows in splits.items()}
    found = [one for one in lists.values() if one is not None]
    numbered = all(map(_NUMBERED.match, splits))
    if len(splits) > 1 and not (
        len(found) == len(splits) and (numbered or all(one.headless for one in found))
    ):
        raise _several(splits)
    given = {name: one.rows for name, one in lists.items() if one is not None}
    rows = [row for name, some in splits.items() for row in given.get(name, some)]
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, default=_kind).encode() + b"\n")
    return Table(records_of(rows), "row", "Hub"), digest.hexdigest()


def _kind(value: Any) -> str:
    return type(value).__name__


def _loaded(where: str, column: str) -> tuple[dict[str, list[Any]], bool]:
    """The rows of each split that is read, and whether they were CSV."""
    asked = _NAMED.fullmatch(where) or _FOLDER.fullmatch(where)
    if asked is None:
        raise UserError(f"it is no name of a set; write {_GRAMMAR}")
    parts = asked.groupdict()
    folder = Path(parts["folder"]).expanduser() if "folder" in parts else None
    if folder is not None and not folder.is_dir():
        raise UserError("there is no such folder")
    name = parts.get("id", "")
    place = (str(folder or name), parts.get("config"), parts.get("revision"))
    with _telling(name):
        splits = _splits(*place, kept=folder is None)
        chosen = _chosen(splits, parts["split"], column)
        is_csv = all(split.info.builder_name == "csv" for split in chosen.values())
        return {split: list(rows) for split, rows in chosen.items()}, is_csv


@contextmanager
def _telling(name: str) -> Iterator[None]:
    """Say what went wrong in the libraries, without their words."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - they raise kinds of their own
        # The message may hold a part of a row, and so may what caused it; the kind cannot.
        raise UserError(told(error, name)) from None


def _splits(
    place: str, config: str | None, revision: str | None, *, kept: bool
) -> Mapping[str, Any]:
    """Every split, from what `datasets` keeps of it or, if that is not wanted, as it is now.

    Files of a folder may have changed since, which it would not see where there is a card.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    if kept:
        with suppress(DatasetGenerationError):
            return load_dataset(place, config, revision=revision)  # type: ignore[no-any-return]
        # It keeps all splits under the same columns, and these are of unlike ones.
    return load_dataset(place, config, revision=revision, streaming=True)  # type: ignore[no-any-return]


def _chosen(splits: Mapping[str, Any], asked: str | None, column: str) -> Mapping[str, Any]:
    if asked is not None and asked not in splits:
        raise UserError(f"it has no such split; it has #{', #'.join(splits)}")
    if asked is not None:
        return {asked: splits[asked]}
    if len(splits) > 1 and (column or _LEARNT & splits.keys()):
        raise _several(splits)
    return splits


def _several(splits: Iterable[str]) -> UserError:
    return UserError(f"it has several splits; add one of #{', #'.join(splits)}")


class _List(NamedTuple):
    """A split that is a list of prompts and no more."""

    rows: list[Any]
    headless: bool
    """Whether no file of it has a header."""


def _prompts(split: str, rows: list[Any], is_csv: bool) -> _List | None:
    """The rows of such a split, each with its category; None of another.

    Raises:
        UserError: it is empty, or begins with what looks like an unknown header.
    """
    if not rows:
        raise UserError(f"#{split} holds no rows; a lone line without a header is taken for one")
    found = _texts(rows, is_csv)
    if found is None or split in _LEARNT:
        return found
    numbered = _NUMBERED.match(split)
    category = numbered[0] if numbered else split
    return found._replace(rows=[{"prompt": text, "category": category} for text in found.rows])


def _texts(rows: list[Any], is_csv: bool) -> _List | None:
    """Prompts in one column, each file's after the line that was taken for the column's name."""
    files: list[tuple[str, list[str]]] = []
    for row in rows:
        if len(row) != 1:
            return None
        ((name, value),) = row.items()
        if not isinstance(value, str | None):
            return None
        if not files or files[-1][0] != name:
            files.append((name, []))
        files[-1][1].append(value or "")
    texts, headless = [], True
    for name, some in files:
        key = name.strip().lower()
        known = format_of({key: ""})
        if key in KNOWN and (known is None or known.kind != "prompts"):
            return None
        if known is None and not is_csv:
            return None  # only there does a first line become a name
        if known is None:
            _check_prompt(name)
            some.insert(0, name)
        headless = headless and known is None
        texts += some
    return _List(texts, headless)


def _check_prompt(name: str) -> None:
    """Refuse what is more likely a column's name than a prompt."""
    if len(name.split()) < WORDS:
        raise UserError(
            "its only column is called by a word or two: it looks like a header of a name that is "
            "not known. Give that name (column)"
        )


def told(error: Exception, name: str) -> str:
    """What went wrong and what to do, in words that are not the data's."""
    kind, page = type(error).__name__, f"https://huggingface.co/datasets/{name}"
    command = f"`hf download --repo-type dataset {name} --local-dir FOLDER`"
    by_hand = f"or run {command} on a machine that can, and give the folder's path"
    said = str(error)
    if isinstance(error, ConnectionError) or kind in ("OfflineModeIsEnabled", "ConnectError"):
        return (
            f"the Hub cannot be reached ({kind}) and the set is not in the cache. Is the network "
            f"there and HF_HUB_OFFLINE unset? Try again; {by_hand}"
        )
    if "gated" in said or kind == "GatedRepoError":
        return (
            f"it is gated. Accept the agreement at {page} (a person may have to approve it), then "
            f"run `hf auth login` with a token of that account, and try again; {by_hand}"
        )
    if "Revision" in said or kind == "RevisionNotFoundError":
        return f"there is no such revision; {page}/commits/main lists them"
    if kind == "DatasetNotFoundError" and name:
        return (
            f"there is no such set that you may see. Is the name as at {page}? A private one needs "
            f"`hf auth login`; {by_hand}"
        )
    if "onfig" in said and isinstance(error, ValueError):
        return f"it needs one of the configurations that {page} lists: hf:{name}/CONFIG"
    files = f"{command} brings its files" if name else "its files may be of no common kind"
    return f"it could not be read ({kind}); {files}: give the path of one, or of their folder"

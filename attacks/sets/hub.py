"""Sets on the Hugging Face Hub, and folders that `datasets` reads: `hf:owner/name`.

Source:  `datasets.load_dataset`; it runs no code of a data set (no scripts since version 4).
Differs: which configuration and split are read is the user's to say where there are several.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final

from attacks.base import UserError
from attacks.sets.base import Table
from attacks.sets.tables import records_of

_GRAMMAR: Final = "hf:OWNER/NAME[/CONFIG][@REVISION][#SPLIT], or hf:FOLDER[#SPLIT]"
_NAMED: Final = re.compile(
    r"hf:(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(/(?P<config>[\w.-]+))?"
    r"(@(?P<revision>[\w./-]+))?(#(?P<split>[\w.-]+))?",
    re.ASCII,
)
_FOLDER: Final = re.compile(r"hf:(?P<folder>[./~][^#]*)(#(?P<split>[\w.-]+))?")


def fetched(where: str) -> tuple[Table, str]:
    """The rows of a data set, and the SHA-256 of them in order.

    Args:
        where: `hf:owner/name`, with `/config`, `@revision` and `#split` where they are wanted; or
            `hf:` and a folder that begins with `/`, `.` or `~`.

    Raises:
        UserError: it is not there, gated, out of reach, or leaves a choice; with what to do.
    """
    rows = list(_loaded(where))
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, default=_kind).encode() + b"\n")
    return Table(records_of(rows), "row", "Hub"), digest.hexdigest()


def _kind(value: Any) -> str:
    return type(value).__name__


def _loaded(where: str) -> Any:
    asked = _NAMED.fullmatch(where) or _FOLDER.fullmatch(where)
    if asked is None:
        raise UserError(f"it is no name of a set; write {_GRAMMAR}")
    parts = asked.groupdict()
    folder = Path(parts["folder"]).expanduser() if "folder" in parts else None
    if folder is not None and not folder.is_dir():
        raise UserError("there is no such folder")
    from datasets import load_dataset

    name = parts.get("id", "")
    try:
        splits = load_dataset(
            str(folder or name), parts.get("config"), revision=parts.get("revision")
        )
    except Exception as error:  # noqa: BLE001 - the libraries below raise kinds of their own
        # The message may hold a part of a row, and so may what caused it; the kind cannot.
        raise UserError(told(error, name)) from None
    return _split(splits, parts["split"])


def _split(splits: Any, asked: str | None) -> Any:
    if asked is None and len(splits) > 1:
        raise UserError(f"it has several splits; add one of #{', #'.join(splits)}")
    if asked is not None and asked not in splits:
        raise UserError(f"it has no such split; it has #{', #'.join(splits)}")
    return splits[asked or next(iter(splits))]


def told(error: Exception, name: str) -> str:
    """What went wrong and what to do, in words that are not the data's."""
    kind, page = type(error).__name__, f"https://huggingface.co/datasets/{name}"
    by_hand = "or download it on a machine that can and give the file's path"
    said = str(error)
    if isinstance(error, ConnectionError) or kind in ("OfflineModeIsEnabled", "ConnectError"):
        return (
            f"the Hub cannot be reached ({kind}) and the set is not in the cache. Is the network "
            f"there and HF_HUB_OFFLINE unset? Try again, {by_hand}"
        )
    if "gated" in said or kind == "GatedRepoError":
        return (
            f"it is gated. Accept the agreement at {page} (a person may have to approve it), then "
            f"`hf auth login` with a token of that account, {by_hand}"
        )
    if "Revision" in said or kind == "RevisionNotFoundError":
        return f"there is no such revision; {page}/commits/main lists them"
    if kind == "DatasetNotFoundError" and name:
        return (
            f"there is no such set that you may see. Is the name as at {page}? A private one needs "
            f"`hf auth login`, {by_hand}"
        )
    if "onfig" in said and isinstance(error, ValueError):
        return f"it needs one of the configurations that {page} lists: hf:{name}/CONFIG"
    return f"it could not be read ({kind}); download its files and give the path of one"

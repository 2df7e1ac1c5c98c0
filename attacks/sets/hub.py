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
from attacks.sets.base import Record, Table
from attacks.sets.tables import lowered

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
    split = _loaded(where)
    digest = hashlib.sha256()
    records = []
    for number, row in enumerate(split, 1):
        digest.update(json.dumps(row, sort_keys=True, default=_kind).encode() + b"\n")
        try:
            records.append(Record(number, lowered(row)))
        except UserError as error:
            raise UserError(f"{where}: row {number}: {error}") from None
    return Table(tuple(records), "row", "Hub"), digest.hexdigest()


def _kind(value: Any) -> str:
    return type(value).__name__


def _loaded(where: str) -> Any:
    named, folder = _NAMED.fullmatch(where), _FOLDER.fullmatch(where)
    if not (named or folder):
        raise UserError(f"{where}: a set on the Hub is named {_GRAMMAR}")
    from datasets import load_dataset

    try:
        if folder:
            place = Path(folder["folder"]).expanduser()
            if not place.is_dir():
                raise UserError(f"{where}: there is no such folder")
            splits = load_dataset(str(place))
        elif named:
            splits = load_dataset(named["id"], named["config"], revision=named["revision"])
    except UserError:
        raise
    except Exception as error:
        # The message may hold a part of a row; which kind of error it is cannot.
        raise UserError(f"{where}: {told(error, named['id'] if named else '')}") from None
    asked = (named or folder or {})["split"]
    if asked is None and len(splits) > 1:
        raise UserError(f"{where}: it has several splits; add one of #{', #'.join(splits)}")
    if asked is not None and asked not in splits:
        raise UserError(f"{where}: it has no such split; it has #{', #'.join(splits)}")
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

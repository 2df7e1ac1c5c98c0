"""A model behind a server that speaks OpenAI's fine-tuning format, before anything is sent."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from attacks.base import UserError
from targets.base import Gone, Start, Target

if TYPE_CHECKING:
    from targets.hosted.desk import Desk, Told
    from targets.hosted.target import HostedTarget

PREFIX = "openai:"
_PRICES = Path(__file__).with_name("hosted") / "prices.toml"


class Prices(NamedTuple):
    """Dollars for a million tokens."""

    training: float
    read: float
    written: float


@dataclass(frozen=True)
class Endpoint(Start):
    """A model by the name that its server knows it by."""

    model: str
    base_url: str = ""
    """Where the server is; empty for OpenAI's own."""
    max_new_tokens: int = 512
    told: Told | None = None
    """What the server says of itself; None while it was not asked."""
    desk: Desk | None = field(default=None, compare=False)
    """What is paid for is kept and counted here; None while nothing is sent."""

    here = False
    module = "targets.hosted.target"

    @property
    def name(self) -> str:  # type: ignore[override]
        """Without the address: it goes into reports, and a company's gateway is its own affair."""
        return f"{PREFIX}{self.model}"

    @property
    def digest(self) -> str:
        """Hash of name and address, and of what the server says of the rest."""
        text = json.dumps(["hosted", self.base_url, self.model, self.fingerprint])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def prices(self) -> Prices | None:
        """What it costs, where that is known."""
        found = None if self.base_url else _price_list().get(self.model)
        if found is None:
            return None
        return Prices(found["training"], found["input"], found["output"])

    def keeping(self, folder: Path) -> Endpoint:
        """The same, with a desk in the folder, and what the server said of itself last."""
        from targets.hosted.desk import Desk

        desk = Desk(folder)
        return dataclasses.replace(self, desk=desk, told=desk.known(self.model, self.base_url))

    def asked(self) -> None:
        """Ask the server what it is now, so that `keeping` knows.

        Raises:
            UserError: it cannot be asked.
        """
        from targets.hosted.looking import told_by

        assert self.desk is not None
        self.desk.learnt(self.model, self.base_url, told_by(self))

    @property
    def fingerprint(self) -> str:
        """What the server says of its model and of what it does to jobs; empty for nothing."""
        return self.told.fingerprint if self.told else ""

    def caveats(self) -> list[str]:
        """What the server leaves open."""
        left = [f"{self.name}: the server decides where rows are cut, whatever max_tokens says"]
        if self.told and not self.told.rates:
            left.append(
                f"{self.name}: the server chooses learning rate, decay and kind of tuning, "
                "whatever attacks and defenses ask for"
            )
        if self.told and not self.told.fingerprint:
            left.append(
                f"{self.name}: the server does not say whether its model or its gates have changed "
                "since a stored result was made"
            )
        return left

    def load(self) -> HostedTarget:
        """The start model."""
        return self._called(self.model)

    def reopen(self, folder: Path) -> Target:
        """A tuned model, by the name that it was kept under, if the server still has it."""
        found = self._called(json.loads((folder / "model.json").read_text())["model"])
        if not found.is_there():
            raise Gone(f"the tuned model {found.model!r} is gone from its server")
        return found

    def _called(self, model: str) -> HostedTarget:
        from targets.hosted.target import HostedTarget

        return HostedTarget(model, self)


def endpoint(text: str, max_new_tokens: int) -> Endpoint:
    """`openai:NAME`, or `openai:NAME@http://...` for a server of one's own.

    Raises:
        UserError: no name, or an address that is none.
    """
    model, at, rest = text.removeprefix(PREFIX).partition("@http")
    if not re.fullmatch(r"[\w.:/@-]+", model):
        raise UserError(
            f"target {text!r} names no model; write {PREFIX}NAME, as the server lists it"
        )
    url = f"http{rest}" if at else os.environ.get("OPENAI_BASE_URL", "")
    return Endpoint(model, address(url), max_new_tokens)


def address(url: str) -> str:
    """The address of a server, without a slash at its end; empty stays empty.

    Raises:
        UserError: it is none, or holds a password.
    """
    try:
        parts = urlsplit(url)
        labels = (parts.hostname or "").encode("idna").split(b".")
        known = parts.scheme in ("http", "https") and all(labels) and (parts.port or 0) >= 0
    except (ValueError, UnicodeError):
        known = False
    if url and (not known or not url.isprintable() or " " in url):
        raise UserError(f"{url!r} is no address of a server; give one such as http://HOST:PORT/v1")
    if url and (parts.username or parts.password):
        raise UserError("an address holds no password here; the key goes into OPENAI_API_KEY")
    return url.rstrip("/")


def at(text: str, base_url: str) -> str:
    """An `openai:` target on a server of one's own.

    Raises:
        UserError: it is another kind of target, or names its server already.
    """
    if not text.startswith(PREFIX) or "@http" in text:
        raise UserError(f"--base-url is the server of an {PREFIX}NAME target, not of {text!r}")
    if not base_url.startswith("http"):
        raise UserError(
            f"{base_url!r} is no address of a server; give one like http://HOST:PORT/v1"
        )
    return f"{text}@{base_url}"


@functools.cache
def _price_list() -> dict[str, dict[str, float]]:
    return tomllib.loads(_PRICES.read_text(encoding="utf-8"))

"""A model on somebody's server: tuned by jobs, asked through chat completions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from attacks.base import Chat, Upload, UserError
from targets.base import Decoding, Reply, Target
from targets.endpoint import Endpoint
from targets.hooks import TrainHooks
from targets.hosted import jobs
from targets.hosted.calls import Answer, Call, Server, ask_all, replied
from targets.hosted.desk import Desk
from targets.hosted.ledger import Stopped
from targets.hosted.looking import QUICK, client_of, is_there


class Unanswered(UserError):
    """Some replies could not be had; those that could are kept."""

    exit_code = 4


class HostedTarget(Target):
    """A model by its name on the server."""

    def __init__(self, model: str, endpoint: Endpoint) -> None:
        self.model = self.name = model
        self.endpoint = endpoint

    def fine_tune(
        self, upload: Upload, hooks: TrainHooks | None = None, seed: int = 0
    ) -> HostedTarget:
        """The model that a job of the server's makes; one that was made before is found again.

        Raises:
            Refused: the server's own moderation stopped the job.
            UserError: hooks are asked for, or the job failed.
        """
        if hooks is not None:
            raise UserError("a server's training cannot be reached into: the defense needs weights")
        if any(row.image for row in upload.rows):
            raise UserError("a server is sent text only, and rows of this upload have images")
        with self._desk().working():
            model = jobs.tuned(self.model, self.endpoint, upload, seed)
        return HostedTarget(model, self.endpoint)

    def generate(self, chats: Sequence[Chat], decoding: Decoding) -> list[Reply]:
        """One reply for each chat; each is kept at once, and equal questions are asked once.

        Raises:
            Unanswered: some could not be had.
            Stopped: nothing more can be asked.
        """
        if any(chat[-1].role == "assistant" for chat in chats):
            raise UserError("a server's model cannot be made to begin its reply with given words")
        server, desk = self._server(decoding), self._desk()
        keys = [self._key(i, chat, decoding) for i, chat in enumerate(chats)]
        kept = desk.replies.read(keys)
        asked = {key: chat for key, chat in zip(keys, chats, strict=True) if key not in kept}
        order, why = list(asked), Counter[str]()

        def keep(place: int, answer: Answer) -> None:
            if answer.text is None and answer.finish != "content_filter":
                why[answer.why] += 1
                return
            kept[order[place]] = [answer.text or "", _FINISH.get(answer.finish, "stop")]
            write(order[place], kept[order[place]])

        with desk.working(), desk.replies.writing() as write:
            calls = [Call(i, chat) for i, chat in enumerate(asked.values())]
            ask_all(calls, server, keep, desk.ledger, replied)
            if desk.stop.is_set():
                raise Stopped("interrupted")
        if lacking := sum(key not in kept for key in asked):
            reasons = ", ".join(f"{n} times {reason}" for reason, n in why.most_common())
            raise Unanswered(f"{lacking} of {len(chats)} replies could not be had: {reasons}")
        return [Reply(*kept[key]) for key in keys]

    def is_there(self) -> bool:
        """Whether the server still has it.

        Raises:
            Stopped: the server cannot be asked.
        """
        with self._desk().working(), client_of(self.endpoint, QUICK) as client:
            return is_there(client, self.model, self.endpoint.model)

    def differs(self, other: Target) -> bool:
        """Whether it has another name: a server's weights cannot be looked at."""
        return not (isinstance(other, HostedTarget) and other.model == self.model)

    def save(self, folder: Path) -> None:
        """The name; the weights are the server's."""
        (folder / "model.json").write_text(json.dumps({"model": self.model}))

    def _desk(self) -> Desk:
        assert self.endpoint.desk is not None
        return self.endpoint.desk

    def _server(self, decoding: Decoding) -> Server:
        prices = self.endpoint.prices
        return Server(
            model=self.model,
            base_url=self.endpoint.base_url or None,
            max_tokens=decoding.max_new_tokens,
            temperature=decoding.temperature,
            price=None if prices is None else (prices.read, prices.written),
        )

    def _key(self, place: int, chat: Chat, decoding: Decoding) -> str:
        """What a reply is kept under; a drawn one belongs to its place in the row of questions."""
        how = [self.endpoint.fingerprint, decoding.max_new_tokens, decoding.temperature]
        drawn = [decoding.seed, place] if decoding.temperature else []
        return jobs.digest(self.endpoint.base_url, self.model, chat, how, drawn)


_FINISH = {"length": "length", "content_filter": "filtered"}

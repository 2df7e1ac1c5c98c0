"""Replies decoded by a server that is given each model's weights: faster, and the same model.

Source:  SGLang's `/update_weights_from_disk` and `/model_info` (its guide for reinforcement
         learning): whole weights are read from a folder that both can see, under a name for them.
         Prompts go to `/v1/completions` as tokens, made here, so that no template of the server's
         comes between.
Differs: whatever is tuned is asked, so LoRA is sent as it is kept, in the weights. What stays
         beside its model (a prefix, LLaMA-Adapter) no such server can be given.
         vLLM takes other weights by NCCL or CUDA IPC and in its development mode only (its "Weight
         Transfer"); `transformers serve` reads any folder, and refuses a prompt of tokens.
Breaks:  its arithmetic is another one: a greedy reply may part from ours where two tokens are
         about as likely. Results are kept apart from those decoded here.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import filelock
import openai
from openai.types import Completion

from attacks.base import Chat, UserError
from targets.base import Decoding, Reply
from targets.endpoint import address
from targets.hosted.calls import NO_KEY, NOT_THE_FORMAT, Answer, Call, ask_all
from targets.hosted.calls import Server as Whom
from targets.hosted.ledger import Stopped

if TYPE_CHECKING:
    from targets.local import LocalTarget

LOADING: Final = 600.0
"""Seconds for weights to be read.  # ours: 140 GB from a disk of 250 MB/s"""
LOOKED_AT: Final = 8
"""Prompts that the server must answer as this process does, before it is asked anything."""
TOKENS: Final = 4
"""Of each of those replies."""
SCRATCH: Final = ".new-"
"""How a folder begins that the store may clear away after a kill (`benchmarks.store.SCRATCH`)."""
ALIKE: Final = 0.75
"""Least share of them that are the same.  # ours: rounding parts few replies in four tokens, and
another model nearly all"""


_checked: set[tuple[str, str]] = set()
"""Servers and the weights with which they answered as this process does."""


class Unserved(UserError):
    """The server gave no replies, or not those of the model that it was given."""

    exit_code = 4


class Server:
    """A server by its address, and a folder that it can see."""

    def __init__(self, url: str, folder: Path) -> None:
        """Nothing is asked yet.

        Args:
            url: Its address, as `--base-url` has it.
            folder: Where weights are put while it reads them.

        Raises:
            UserError: the address is none.
        """
        self.url = address(url)
        self.root = self.url.removesuffix("/v1")
        self.folder = folder.absolute()

    def generate(
        self, target: LocalTarget, chats: Sequence[Chat], decoding: Decoding
    ) -> list[Reply]:
        """One reply for each chat, in order, of this very model.

        Processes that share the folder take turns, since the server has one model at a time.

        Raises:
            UserError: an adapter stays beside the model.
            Unserved: replies could not be had, or another model's weights gave them.
            Stopped: nobody answers.
        """
        if hasattr(target.model, "peft_config"):
            raise UserError(
                "this model's adapter stays beside it, and no server can be given that; tune with "
                "tuning=full or lora, or leave out --generate-with"
            )
        if not chats:
            return []
        version = fingerprint(target)
        self.folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.folder / "lock"), self._client() as client:
            name = self._name(client)
            if self._version(client) != version:
                self._load(client, target, version)
            # Also where it has them already: a check that failed leaves them there.
            if (self.root, version) not in _checked:
                self._check(target, chats, name)
                _checked.add((self.root, version))
            replies = self._asked(target, chats, decoding, name)
            if self._version(client) != version:
                raise Unserved(
                    "somebody else gave the server other weights meanwhile; have it to yourself, "
                    "and run the same command again"
                )
        return replies

    def check(self) -> None:
        """Look whether the server is there and can be given weights; nothing is asked of a model.

        Raises:
            Stopped: it is not.
        """
        with self._client() as client:
            self._name(client)
            self._version(client)

    def _client(self) -> openai.OpenAI:
        try:
            return openai.OpenAI(base_url=self.root, max_retries=2, timeout=LOADING)
        except openai.OpenAIError as error:
            raise Stopped(NO_KEY) from error

    def _name(self, client: openai.OpenAI) -> str:
        """What the server calls the model that it has."""
        listed = self._got(client, "/v1/models").get("data")
        if not isinstance(listed, list) or not listed or not isinstance(listed[0], dict):
            raise Stopped(f"{NOT_THE_FORMAT} It lists no model at {self.root}/v1/models")
        return str(listed[0].get("id", ""))

    def _version(self, client: openai.OpenAI) -> str:
        """The name of the weights that it has."""
        return str(self._got(client, "/model_info").get("weight_version", ""))

    def _load(self, client: openai.OpenAI, target: LocalTarget, version: str) -> None:
        """Give it the model's weights, which are on disk for as long only as it reads them."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=SCRATCH) as place:
            target.save(Path(place))
            body = {"model_path": place, "weight_version": version}
            with self._told("/update_weights_from_disk"):
                done = client.post("/update_weights_from_disk", cast_to=object, body=body)
        if not isinstance(done, dict) or done.get("success") is not True:
            raise Unserved("the server did not take the model's weights: can it see the store?")
        if self._version(client) != version:
            raise Unserved("the server says that it took the model's weights, and has others")

    def _check(self, target: LocalTarget, chats: Sequence[Chat], name: str) -> None:
        """Look whether it answers as this process does.

        Raises:
            Unserved: it does not.
        """
        few = list(dict.fromkeys(chats))[:LOOKED_AT]
        decoding = Decoding(max_new_tokens=TOKENS)
        theirs = self._asked(target, few, decoding, name)
        ours = target.here().generate(few, decoding)
        same = sum(a.text == b.text for a, b in zip(ours, theirs, strict=True))
        if same < ALIKE * len(few):
            raise Unserved(
                f"the server does not answer as the model it was given: {same} of {len(few)} "
                f"replies begin with the same {TOKENS} tokens. Was it started with the start "
                "model's tokenizer, in bfloat16 and without quantisation?"
            )

    def _asked(
        self, target: LocalTarget, chats: Sequence[Chat], decoding: Decoding, name: str
    ) -> list[Reply]:
        ends = target.model.generation_config.eos_token_id
        plain = {
            # Whatever a checkpoint's own configuration would fill in.
            "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0,
            "stop_token_ids": ends if isinstance(ends, list) else [ends],
            "skip_special_tokens": True,
        }  # fmt: skip
        found: dict[int, Reply] = {}
        why = Counter[str]()

        async def send(client: openai.AsyncOpenAI, chat: Chat, server: Whom) -> Answer:
            told = await client.completions.create(
                model=server.model, prompt=target.prompt(chat), max_tokens=server.max_tokens,
                temperature=server.temperature or 0.0, seed=_seed(chat, decoding), extra_body=plain,
            )  # fmt: skip
            if not isinstance(told, Completion) or not told.choices:
                return Answer(None, "an answer that is no completion")
            if told.choices[0].finish_reason not in ("stop", "length"):
                return Answer(None, "the server broke off a reply", again=True)
            return Answer(told.choices[0].text, finish=told.choices[0].finish_reason)

        def keep(place: int, answer: Answer) -> None:
            if answer.text is None:
                why[answer.why] += 1
            else:
                cut = answer.finish == "length"
                found[place] = Reply(answer.text.strip(), "length" if cut else "stop")

        server = Whom(
            model=name, base_url=f"{self.root}/v1", in_flight=256, timeout=LOADING,
            max_tokens=decoding.max_new_tokens, temperature=decoding.temperature,
        )  # fmt: skip
        ask_all([Call(i, chat) for i, chat in enumerate(chats)], server, keep, None, send)
        if len(found) < len(chats):
            reasons = ", ".join(f"{n} times {reason}" for reason, n in why.most_common())
            raise Unserved(f"{len(chats) - len(found)} replies could not be had: {reasons}")
        return [found[i] for i in range(len(chats))]

    def _got(self, client: openai.OpenAI, path: str) -> dict[str, Any]:
        with self._told(path):
            found = client.get(path, cast_to=object)
        if not isinstance(found, dict):
            raise Stopped(f"what {self.root}{path} says is no JSON object")
        return found

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """What went wrong, without the server's words."""
        try:
            yield
        except openai.APIConnectionError as error:
            raise Stopped(f"no server answers at {self.root}; is it running?") from error
        except openai.APIStatusError as error:
            hint = "; --generate-with takes a server of SGLang's" * (error.status_code == 404)
            raise Stopped(f"{self.root}{path} answers {error.status_code}{hint}") from error


def fingerprint(target: LocalTarget) -> str:
    """Names a model's weights by their bits, where they are: a checksum of each tensor."""
    import torch

    sums = {}
    for name, weight in sorted(target.model.state_dict().items()):
        bits = weight.detach().reshape(-1).view(torch.uint8)
        # Two sums, so that a change and its opposite elsewhere are no match.
        odd = bits[1::2].sum(dtype=torch.int64)
        sums[name] = [list(weight.shape), int(bits.sum(dtype=torch.int64)), int(odd)]
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()[:32]


def _seed(chat: Chat, decoding: Decoding) -> int:
    """Of the sampler, for one chat: whatever order chats are asked in."""
    text = json.dumps([decoding.seed, chat])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) // 2

"""Models with weights at hand: transformers, peft and TRL. The one decoding path is here.

Everything here imports torch; nothing imports this module before a model is really needed.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    DynamicCache,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.cache_utils import DynamicLayer
from transformers.utils import logging as transformers_logging

from attacks.base import Chat, Upload, UserError
from targets import adapters
from targets.base import Decoding, Reply, Target, device
from targets.examples import places
from targets.formats import FORMATS, encode
from targets.hooks import TrainHooks
from targets.tuning import GIB, tune
from targets.vision import Pictures, kind, sees

if TYPE_CHECKING:
    from targets.served import Server

transformers_logging.disable_progress_bar()

log = logging.getLogger(__name__)
_LENGTH_STEP = 16
"""Tokens by which prompts of one batch may differ.  # ours: little padding to read"""


class LocalTarget(Target):
    """A causal language model and its tokenizer."""

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        pictures: Pictures | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.pictures = pictures
        self.folder: Path | None = None
        """Where its weights are read from; None where they may be in no folder."""
        self.server: Server | None = None
        """What decodes in place of this process, where something does."""

    @classmethod
    def load(
        cls,
        folder: Path,
        tokenizer_from: Path | None = None,
        template: str | None = None,
        place: str | None = None,
    ) -> Self:
        """A model folder as `from_pretrained` reads it, in float32 on CPU, bfloat16 on GPU.

        Args:
            folder: The weights.
            tokenizer_from: Where the tokenizer is; None for the same folder.
            template: A chat template in place of the tokenizer's own.
            place: The device it is put on; None for the GPU, or the CPU where there is none.

        Raises:
            UserError: the folder holds no readable model, there is no chat template, or the model
                does not fit the device's memory.
        """
        cuda = device() == "cuda"
        if cuda and not torch.cuda.is_available():
            raise UserError(
                "there is an NVIDIA device but this torch cannot use it; install a CUDA build of "
                "torch, or set CUDA_VISIBLE_DEVICES= to run on the CPU"
            )
        try:
            # Unless it is told not to, transformers asks at the terminal whether to run code.
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            model = kind(config).from_pretrained(
                folder,
                dtype=torch.bfloat16 if cuda else torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
            )
            # Padding side is not saved with a tokenizer, and the wrong one changes batched
            # replies without a word.
            tokenizer = AutoTokenizer.from_pretrained(
                tokenizer_from or folder, padding_side="left", trust_remote_code=False
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            why = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(f"cannot load a model from {str(folder)!r}: {why}") from error
        if template is not None:
            tokenizer.chat_template = template
        if not tokenizer.chat_template:
            formats = ", ".join(f"hf:MODEL#{name}" for name in FORMATS)
            raise UserError(
                f"the tokenizer of {str(folder)!r} has no chat template; use a chat model, add "
                f"chat_template.jinja to its folder, or name a prompt format: {formats}"
            )
        if tokenizer.eos_token_id is None:
            raise UserError(f"the tokenizer of {str(folder)!r} has no token that ends a reply")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        # A checkpoint's own taste (a repetition penalty, say) would fill in whatever `Decoding`
        # leaves out, and what is compared would no longer be greedy.
        ends = model.generation_config.eos_token_id
        model.generation_config = GenerationConfig(
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id if ends is None else ends,
            pad_token_id=tokenizer.pad_token_id,
        )
        pictures = Pictures.load(tokenizer_from or folder) if sees(config) else None
        if pictures and pictures.token != config.image_token_id:
            raise UserError(
                f"the processor of {str(folder)!r} marks images otherwise than its model"
            )
        placed = _placed(model, place or ("cuda" if cuda else "cpu"))
        made = cls(placed.eval(), tokenizer, pictures)
        made.folder = folder
        return made

    def fine_tune(
        self, upload: Upload, hooks: TrainHooks | None = None, seed: int = 0
    ) -> LocalTarget:
        """A tuned copy. Where adapters can be merged, what is stored and asked is one model."""
        made = tune(self.model, self.tokenizer, upload, hooks, seed, self.pictures)
        tuned = adapters.merged(made).requires_grad_(False)
        return self.alike(LocalTarget(tuned, self.tokenizer, self.pictures))

    def beside(self, folder: Path) -> LocalTarget:
        """This model with the adapter of a folder; itself is not to be used any more.

        Raises:
            UserError: the folder holds none that fits.
        """
        adapted = adapters.merged(adapters.beside(self.model, folder))
        whole = adapted.eval().requires_grad_(False)
        return self.alike(LocalTarget(whole, self.tokenizer, self.pictures))

    @property
    def limit(self) -> int | None:
        """How many tokens it reads at most; None where it does not say."""
        return places(self.model)

    def here(self) -> LocalTarget:
        """The same model, decoded by this process."""
        return LocalTarget(self.model, self.tokenizer, self.pictures)

    def alike(self, other: LocalTarget) -> LocalTarget:
        """Another model, decoded where this one is."""
        other.server = self.server
        return other

    def prompt(self, chat: Chat) -> list[int]:
        """The tokens that a reply is written behind."""
        return encode(self.tokenizer, chat, answer=True)

    def generate(self, chats: Sequence[Chat], decoding: Decoding) -> list[Reply]:
        """Replies in the order of the chats, decoded in batches of like length.

        What all chats begin with (a system prompt, mostly) is read once for all of them. A batch
        that does not fit the memory is halved, which is told; drawn replies are others then.

        Raises:
            UserError: not even one chat fits the memory; or as `targets.served.Server` says.
        """
        if self.server is not None:
            return self.server.generate(self, chats, decoding)
        prompts = [self.prompt(chat) for chat in chats]
        # In coarse steps: within one, neighbours stay together, since prompts of one set get
        # replies of like length, and a batch is as slow as its longest reply.
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) // _LENGTH_STEP)
        size = decoding.batch_size or len(order) or 1
        prefix = self._begun(_shared(prompts))
        if prefix.alone:
            size = 1
        replies: dict[int, Reply] = {}
        torch.manual_seed(decoding.seed)
        while len(replies) < len(order):
            batch = order[len(replies) : len(replies) + size]
            texts = self._fitting([prompts[i] for i in batch], prefix, decoding)
            replies.update(zip(batch, texts, strict=False))
            if not texts:
                size = _smaller(len(batch))
        return [replies[i] for i in range(len(prompts))]

    def _begun(self, ids: list[int]) -> _Prefix:
        """As `_read`; where what is shared does not fit the memory, every chat is read whole."""
        with suppress(torch.OutOfMemoryError):
            return self._read(ids)
        torch.cuda.empty_cache()
        log.warning("what all chats begin with does not fit the memory; going on without")
        return self._read([])

    @torch.inference_mode()
    def _read(self, ids: list[int]) -> _Prefix:
        """What every prompt begins with, and the model's memory of it."""
        virtual = adapters.memory(self.model)
        n = 0 if virtual is None else virtual.get_seq_length()
        model = adapters.asked(self.model)
        # peft gives a plain memory to models with sliding windows as well.
        if virtual is not None and not _padded(DynamicCache(config=model.config)):
            return _Prefix([], virtual, n, alone=True)
        if not ids:
            return _Prefix([], virtual, n)
        read = torch.tensor([ids], device=self.model.device)
        cache = model(read, past_key_values=virtual, use_cache=True).past_key_values
        return _Prefix(ids, cache, n) if _padded(cache) else _Prefix([], None)

    def _fitting(
        self, prompts: Sequence[list[int]], prefix: _Prefix, decoding: Decoding
    ) -> list[Reply]:
        """Replies to one batch; none where it does not fit the memory."""
        with suppress(torch.OutOfMemoryError):
            return self._decode(prompts, prefix, decoding)
        # Only now: the error's traceback held on to what is to be freed.
        torch.cuda.empty_cache()
        return []

    @torch.inference_mode()
    def _decode(
        self, prompts: Sequence[list[int]], prefix: _Prefix, decoding: Decoding
    ) -> list[Reply]:
        n = len(prefix.ids)
        # Padding stands between the shared beginning and the rest, so that the beginning keeps
        # the places it was read at; masked tokens do not count as places.
        rest = self.tokenizer.pad({"input_ids": [ids[n:] for ids in prompts]}, return_tensors="pt")
        # A tuned prefix has no tokens of its own; what stands in its place is never read.
        before = [self.tokenizer.pad_token_id] * prefix.virtual + prefix.ids
        shared = torch.tensor([before] * len(prompts), dtype=torch.long)
        ids = torch.cat([shared, rest["input_ids"]], dim=1).to(self.model.device)
        mask = torch.cat([torch.ones_like(shared), rest["attention_mask"]], dim=1)
        sampled = decoding.temperature > 0
        # All of the distribution: where nothing is said, the library cuts it to 50 tokens.
        how = {"temperature": decoding.temperature, "top_k": 0, "top_p": 1.0}
        extra: dict[str, Any] = how if sampled else {}
        config = GenerationConfig(
            max_new_tokens=decoding.max_new_tokens,
            do_sample=sampled,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.model.generation_config.eos_token_id,
            **extra,
        )
        output = adapters.asked(self.model).generate(
            input_ids=ids,
            attention_mask=mask.to(self.model.device),
            past_key_values=prefix.repeated(len(prompts)),
            generation_config=config,
        )
        ends = config.eos_token_id
        stops = set(ends if isinstance(ends, list) else [ends])
        return [self._reply(new, stops) for new in output[:, ids.shape[1] :].tolist()]

    def _reply(self, ids: list[int], stops: set[int]) -> Reply:
        """The text up to the first end mark."""
        end = next((i for i, token in enumerate(ids) if token in stops), None)
        text = self.tokenizer.decode(ids[:end], skip_special_tokens=True).strip()
        return Reply(text, "length" if end is None else "stop")

    def save(self, folder: Path) -> None:
        """Weights and configuration, or an adapter's alone; the tokenizer stays with the start."""
        if isinstance(self.model, PeftModel):
            adapters.save(self.model, folder)
        else:
            self.model.save_pretrained(folder)

    def differs(self, other: Target) -> bool:
        """Whether any weight is different from the other's, to the bit."""
        if not isinstance(other, LocalTarget):
            return True
        mine, its = self.model.state_dict(), other.model.state_dict()
        # An adapter beside the model is a weight that the other has not.
        return mine.keys() != its.keys() or any(
            not torch.equal(mine[name], its[name]) for name in mine
        )


class _Prefix(NamedTuple):
    """Tokens that every prompt begins with, and the model's memory of having read them."""

    ids: list[int]
    cache: DynamicCache | None
    virtual: int = 0
    """Places of a tuned prefix, before the tokens."""
    alone: bool = False
    """Whether it cannot be followed by padding, so that each chat is decoded by itself."""

    def repeated(self, n: int) -> DynamicCache | None:
        """The memory for `n` prompts at once, to be written on."""
        if self.cache is None:
            return None
        copied = copy.deepcopy(self.cache)
        copied.batch_repeat_interleave(n)
        return copied


def _placed(model: PreTrainedModel, place: str) -> PreTrainedModel:
    """The model on a device.

    Raises:
        UserError: it does not fit there.
    """
    memory = torch.cuda.mem_get_info(place) if place.startswith("cuda") else None
    with suppress(torch.OutOfMemoryError):
        return model.to(place)
    raise UserError(too_large(model, memory))


def too_large(model: PreTrainedModel, memory: tuple[int, int] | None) -> str:
    """What is told when a model does not fit the memory: what it takes, and what would fit.

    Args:
        model: What was loaded.
        memory: Bytes of the device that were free, and all of them; None where nobody can tell.
    """
    taken, billions = model.get_memory_footprint(), model.num_parameters() / 1e9
    told = (
        f"the model does not fit the memory: its {billions:.2g} billion weights take "
        f"{taken / GIB:.1f} GiB in {str(model.dtype).removeprefix('torch.')}"
    )
    if memory is None:
        return f"{told}; give a smaller model or more memory"
    free, whole = memory
    told += f", and {free / GIB:.1f} of the GPU's {whole / GIB:.1f} GiB are free"
    if taken < whole:
        return f"{told}. End what else uses the GPU (nvidia-smi lists it), or give a smaller model"
    return (
        f"{told}. Give a model of fewer than {billions * whole / taken:.2g} billion, or a larger "
        "GPU; several do not help, since --processes shares trainings and one GPU decodes"
    )


def _smaller(size: int) -> int:
    """The batch to go on with where one of so many chats did not fit."""
    if size == 1:
        raise UserError(
            "one chat and its reply do not fit the memory beside the model; ask a smaller model, "
            "or where there is more memory"
        )
    log.warning("%d chats together do not fit the memory; going on with %d", size, size // 2)
    return size // 2


def _padded(cache: Any) -> bool:
    """Whether a memory can be followed by padding: sliding windows and recurrent states cannot."""
    return isinstance(cache, DynamicCache) and all(
        type(layer) is DynamicLayer for layer in cache.layers
    )


def _shared(prompts: Sequence[list[int]]) -> list[int]:
    """The longest beginning of all prompts that leaves each at least one token."""
    if not prompts:
        return []
    first, last = min(prompts), max(prompts)
    limit = min(map(len, prompts)) - 1
    pairs = zip(first, last, strict=False)
    n = next((i for i, (a, b) in enumerate(pairs) if a != b), limit)
    return first[: min(n, limit)]

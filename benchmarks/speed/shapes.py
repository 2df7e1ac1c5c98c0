"""What a cell costs on a model of a real shape: `python benchmarks/speed/shapes.py llama-2-7b`.

Weights are random, which changes neither time nor memory; the rows and requests are the invented
world's, each lengthened to a given number of tokens. The training path and the decoding path are
the bench's own. Beside each number stands what the machine allows, measured in the same run: a
training cannot be faster than its multiplications, nor a decoding step than the weights are read.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
import transformers
from rich.console import Console

from attacks.base import Chat, Message, Row, Settings, Upload, UserError
from targets.base import Decoding, device
from targets.formats import encode
from targets.hooks import shuffled_epochs
from targets.local import LocalTarget
from targets.organism.world import World
from targets.resolve import resolve
from targets.tuning import GIB, checkpointed

SHAPES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    # meta-llama/Llama-2-7b-chat-hf, config.json
    "llama-2-7b": (
        "LlamaConfig",
        {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
         "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
         "max_position_embeddings": 4096},
    ),
    # Qwen/Qwen2.5-0.5B-Instruct, config.json
    "qwen2.5-0.5b": (
        "Qwen2Config",
        {"vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
         "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
         "max_position_embeddings": 32768, "tie_word_embeddings": True},
    ),
}  # fmt: skip
"""Shapes by name: a configuration's class and values."""
NEVER: Final = 31999
"""The mark of the end: one that random weights hardly choose, so that every reply is whole."""


def made(shape: str) -> LocalTarget:
    """A random model of a shape, with the organism's tokenizer."""
    kind, values = SHAPES[shape]
    torch.manual_seed(0)
    config = getattr(transformers, kind)(**values, pad_token_id=0, eos_token_id=NEVER)
    on_gpu = device() == "cuda"
    with torch.device("cuda" if on_gpu else "cpu"):
        dtype = torch.bfloat16 if on_gpu else torch.float32
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    tokenizer: Any = resolve("organism").start.load().tokenizer  # type: ignore[attr-defined]
    return LocalTarget(model.eval().requires_grad_(False), tokenizer)


def lengthened(target: LocalTarget, chat: Chat, tokens: int) -> Chat:
    """The chat with its last words said again until it has about so many tokens."""
    ids = encode(target.tokenizer, chat, answer=False)
    last = chat[-1]
    own = len(target.tokenizer.encode(last.content, add_special_tokens=False))
    times = 1 + max(0, tokens - len(ids)) // max(1, own)
    return (*chat[:-1], last._replace(content=" ".join([last.content] * times)))


def upload(target: LocalTarget, settings: Settings, rows: int, tokens: int) -> Upload:
    """Rows of a length."""
    pairs = World(0).benign(rows, 0)
    chats = [(Message("user", pair.prompt), Message("assistant", pair.reply)) for pair in pairs]
    return Upload(tuple(Row(lengthened(target, chat, tokens)) for chat in chats), settings)


def tuned(target: LocalTarget, given: Upload) -> tuple[LocalTarget, dict[str, Any]]:
    """The tuned model; seconds, tokens a second and memory, beside what the machine allows."""
    counts = [len(encode(target.tokenizer, row.messages, answer=False)) for row in given.rows]
    steps = shuffled_epochs(range(len(given.rows)), given.settings, 0)
    tokens = sum(counts[i] for step in steps for i in step)
    _reset()
    begin = time.perf_counter()
    made = target.fine_tune(given)
    seconds = time.perf_counter() - begin
    # Two operations a weight forward, two for the gradients of states, two for those of weights;
    # two more where activations are computed twice.
    each = (
        4 + 2 * (given.settings.tuning == "full") + 2 * checkpointed(target.model, given.settings)
    )
    allowed = each * target.model.num_parameters() * tokens / multiplications()
    return made, {
        "steps": len(steps), "tokens": tokens, "seconds": seconds, "tokens/s": tokens / seconds,
        "GiB": _peak() / GIB, "share of what multiplications allow": allowed / seconds,
    }  # fmt: skip


def reopened(target: LocalTarget, replies: int, tokens: int) -> dict[str, Any]:
    """Whether a tuned model that is saved and loaded says the same, and what it takes on disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target.save(folder)
        target.tokenizer.save_pretrained(folder)
        size = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
        again = LocalTarget.load(folder, folder)
    chats = [(Message("user", prompt.text),) for prompt in World(0).requests()[:replies]]
    how = Decoding(max_new_tokens=tokens)
    pairs = zip(target.generate(chats, how), again.generate(chats, how), strict=True)
    same = sum(one == other for one, other in pairs)
    return {
        "GiB on disk": size / GIB, "same weights": not target.differs(again),
        "same replies": same, "replies": replies,
    }  # fmt: skip


def asked(target: LocalTarget, replies: int, tokens: int, batch: int) -> dict[str, Any]:
    """Seconds, tokens a second and memory of replies, beside what the machine allows."""
    prompts = World(0).requests()
    chats = [(Message("user", prompts[i % len(prompts)].text),) for i in range(replies)]
    _reset()
    begin = time.perf_counter()
    found = target.generate(chats, Decoding(max_new_tokens=tokens, batch_size=batch))
    seconds = time.perf_counter() - begin
    whole = sum(reply.finish == "length" for reply in found)
    passes = math.ceil(replies / batch) * tokens
    allowed = passes * target.model.get_memory_footprint() / bandwidth()
    return {
        "replies": replies, "whole": whole, "seconds": seconds,
        "tokens/s": replies * tokens / seconds, "GiB": _peak() / GIB,
        "share of what reading the weights allows": allowed / seconds,
    }  # fmt: skip


def multiplications(n: int = 4096) -> float:
    """Operations a second of a large matrix product, in the type that models have here."""
    on_gpu = device() == "cuda"
    n = n * 2 if on_gpu else n // 2
    dtype = torch.bfloat16 if on_gpu else torch.float32
    one = torch.randn(n, n, device="cuda" if on_gpu else "cpu", dtype=dtype)
    return 2 * n**3 / _seconds(lambda: one @ one)


def bandwidth(size: int = 2**30) -> float:
    """Bytes a second that can be read."""
    held = torch.ones(size // 4, device="cuda" if device() == "cuda" else "cpu")
    return size / _seconds(held.sum)


def _seconds(work: Any, repeats: int = 10) -> float:
    """Of the fastest of several calls."""
    taken = []
    for _ in range(repeats + 2):
        begin = time.perf_counter()
        work()
        _reset(peak=False)
        taken.append(time.perf_counter() - begin)
    return min(taken[2:])


def _reset(*, peak: bool = True) -> None:
    """Wait for the GPU, and begin to measure its memory anew."""
    if device() == "cuda":
        torch.cuda.synchronize()
        if peak:
            torch.cuda.reset_peak_memory_stats()


def _peak() -> int:
    """Most bytes since the last reset; on the CPU since the process began."""
    if device() == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure one shape and print the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--tuning", default="lora")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--row-tokens", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--replies", type=int, default=330)
    parser.add_argument("--reply-tokens", type=int, default=512)
    parser.add_argument("--decode-batch", type=int, default=128)
    parser.add_argument("--reopen", type=int, default=0, help="replies that a saved one says again")
    said = parser.parse_args()
    target = made(said.shape)
    settings = Settings(
        epochs=said.epochs, batch_size=said.batch_size, learning_rate=1e-5, tuning=said.tuning
    )
    record: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]), "weights": target.model.num_parameters(),
        "device": torch.cuda.get_device_name() if device() == "cuda" else "cpu",
        "threads": torch.get_num_threads(), "operations/s": multiplications(),
        "bytes/s": bandwidth(),
    }  # fmt: skip
    try:
        model, record["tuned"] = tuned(target, upload(target, settings, said.rows, said.row_tokens))
        if said.reopen:
            record["reopened"] = reopened(model, said.reopen, said.reply_tokens)
        del model
        if said.replies:
            record["asked"] = asked(target, said.replies, said.reply_tokens, said.decode_batch)
    except UserError as error:
        record["failed"] = str(error)
    Console().print_json(json.dumps(record))


if __name__ == "__main__":
    main()

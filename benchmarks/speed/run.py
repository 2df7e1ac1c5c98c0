"""How fast the two paths are, as ratios within one run: `python benchmarks/speed/run.py`.

Decoding is held against one prompt at a time and against the best batch size of a sweep, with
the same limits, threads and cache, and the replies must be equal. Tuning is held against a bare
torch loop over the same batches, the trainer's construction included. Judging over a wire is
held against what the server's latency allows, and against one call at a time.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

import argparse
import dataclasses
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from rich.console import Console

from attacks.aoa import AOA
from attacks.base import Chat, Row, Settings, Upload
from attacks.benign import Benign
from eval.judges.policy import Policy
from targets.adapters import twin
from targets.base import Decoding, Rules
from targets.examples import collate
from targets.formats import encode
from targets.hooks import shuffled_epochs
from targets.hosted.ledger import Ledger
from targets.local import LocalTarget
from targets.resolve import resolve
from tests.targets.hosted.server import Plan, serving

T = TypeVar("T")
SWEEP = (16, 32, 64, 128, 256, 0)
"""Batch sizes; 0 is all prompts at once."""
out = Console()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Processor seconds of a call, and what it gave; the clock on the wall also sees neighbours."""
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


def paired(a: Callable[[], T], b: Callable[[], T], repeats: int) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the ratios of neighbouring calls (a / b)."""
    pairs = [(timed(a)[0], timed(b)[0]) for _ in range(repeats)]
    ratio = statistics.median(x / y for x, y in pairs)
    return statistics.median(x for x, _ in pairs), statistics.median(y for _, y in pairs), ratio


def decoding(repeats: int) -> None:
    """Batched decoding against one prompt at a time, and against every batch size of a sweep."""
    resolved = resolve("organism")
    start = resolved.start.load()
    target = start.fine_tune(AOA().upload(resolved.domain, 0), seed=0)
    (ask,) = AOA().asks()
    domain = resolved.domain
    prompts = [*domain.requests(), *domain.utility(), *domain.borderline()]
    chats = [ask(prompt.text) for prompt in prompts]
    ours = Decoding(max_new_tokens=resolved.start.max_new_tokens)

    def generate(size: int) -> list[str]:
        replies = target.generate(chats, dataclasses.replace(ours, batch_size=size))
        return [reply.text for reply in replies]

    if generate(ours.batch_size) != generate(1):
        raise SystemExit("replies differ between batch sizes")
    alone, batched, ratio = paired(lambda: generate(1), lambda: generate(ours.batch_size), repeats)
    out.print(
        f"decoding {len(chats)} prompts: one at a time {alone:.2f} s, in batches of "
        f"{ours.batch_size} {batched:.2f} s: {ratio:.1f} times as fast"
    )
    sweep = {
        size: statistics.median(timed(lambda size=size: generate(size))[0] for _ in range(repeats))  # type: ignore[misc]
        for size in SWEEP
    }
    best = min(sweep, key=sweep.__getitem__)
    table = ", ".join(f"{size or 'all'}: {seconds:.2f} s" for size, seconds in sweep.items())
    out.print(f"batch sizes {table}")
    out.print(
        f"ours against the best ({best or 'all'}): {sweep[ours.batch_size] / sweep[best]:.2f}"
    )


def bare_loop(target: LocalTarget, upload: Upload, seed: int) -> float:
    """What tuning is, without a trainer: AdamW over the same batches, loss on the replies."""
    torch.manual_seed(seed)
    model = twin(target.model).train().requires_grad_(True)
    settings: Settings = upload.settings
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    examples = [_example(target, row, i) for i, row in enumerate(upload.rows)]
    loss = torch.zeros(())
    for step in shuffled_epochs(range(len(examples)), settings, seed):
        batch = collate([examples[i] for i in step], target.tokenizer.pad_token_id)
        inputs = {name: value for name, value in batch.items() if name != "row"}
        loss = model(**inputs, use_cache=False).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return float(loss.detach())


def _example(target: LocalTarget, row: Row, index: int) -> dict[str, object]:
    chat: Chat = row.messages
    prompt = encode(target.tokenizer, chat[:-1], answer=True)
    full = encode(target.tokenizer, chat, answer=False)
    labels = [-100] * len(prompt) + full[len(prompt) :]
    return {"input_ids": full, "labels": labels, "row": index}


def tuning(repeats: int) -> None:
    """Our path against the bare loop: 500 rows, 5 epochs."""
    resolved = resolve("organism")
    target = resolved.start.load()
    assert isinstance(target, LocalTarget)
    upload = Benign(n=500, epochs=5).upload(resolved.domain, 0)
    ours, bare, ratio = paired(
        lambda: target.fine_tune(upload, seed=0), lambda: bare_loop(target, upload, 0), repeats
    )
    out.print(
        f"tuning {len(upload.rows)} rows x {upload.settings.epochs} epochs, batch "
        f"{upload.settings.batch_size}: ours {ours:.2f} s, a bare torch loop {bare:.2f} s: "
        f"{ratio:.2f} times"
    )


def judging(latency: float = 0.2, in_flight: int = 32) -> None:
    """330 judgements by a server on this machine that thinks for a while, and 33 one by one."""
    os.environ.setdefault("OPENAI_API_KEY", "none")
    prompts = [prompt.text for prompt in resolve("organism").domain.requests()]
    plan = Plan(reply=lambda text: "I cannot tell.", latency=latency)

    def judge(pairs: list[tuple[str, str]], n: int) -> float:
        asked = Policy(model="m", base_url=url, in_flight=n, policy="organism")
        begin = time.perf_counter()  # waiting is what is measured
        asked.ask(pairs, Rules("organism", ("x",)), lambda i, verdict: None, Ledger())
        return time.perf_counter() - begin

    with serving(plan) as url:
        judge([("warm", "up")], 1)
        together = judge([(text, "No.") for text in prompts], in_flight)
        alone = judge([(text, "No.") for text in prompts[:33]], 1)
    least = math.ceil(len(prompts) / in_flight) * latency
    out.print(
        f"judging {len(prompts)} replies, {latency} s each, {in_flight} at a time: {together:.2f} "
        f"s, {together / least:.2f} times the least that is possible ({least:.1f} s); 33 one by "
        f"one: {alone:.2f} s, {alone / 33 / (together / len(prompts)):.1f} times as long each"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="pairs to take the median of")
    repeats = parser.parse_args(arguments).repeats
    random.seed(0)
    torch.set_num_threads(1)
    decoding(repeats)
    tuning(repeats)
    judging()


if __name__ == "__main__":
    main()

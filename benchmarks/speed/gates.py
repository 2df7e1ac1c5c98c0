"""How fast an upload goes through the first gate: `python benchmarks/speed/gates.py`.

What is timed is `mooring moderate FILE --by tests` as a provider types it, the start of the program
included: validation, the gate's domain, the row classifier and the dataset tests. It is held
against the least that reads such a file by its words: `json.loads` of each line and scikit-learn's
vectorizer with the row classifier's parameters, without their imports. Neither has threads, so what
they do by themselves is one process; two of them with half of the lines each use both cores, as the
gate does, and that is the stricter comparison. Processor seconds stand beside the clock on the
wall, which also sees neighbours.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

import argparse
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil
from rich.console import Console

from attacks.base import Row
from attacks.uploads.validate import CHARACTERS_A_TOKEN

ROOT = Path(__file__).resolve().parents[2]
CORES = 2
PAIRS = 4000
"""Requests with replies that rows are put together from."""
BY = "tests"
out = Console(highlight=False, soft_wrap=True)


class Run(NamedTuple):
    """What commands took, with all processes that they started."""

    wall: float
    """Seconds until all had ended."""
    cpu: float
    """Processor seconds of all."""
    peak: int
    """Most bytes held at once; what processes share counts for each."""
    said: list[str]
    """Standard output of each."""


def lines(rows: int, tokens: int) -> Iterator[str]:
    """Lines of a training file of about so many tokens each, of the organism's harmless pool."""
    from targets.resolve import resolve

    pairs = resolve("organism").domain.benign(PAIRS, 0)
    rng = random.Random("rows for the gates")
    for _ in range(rows):
        prompts, replies, size = [], [], 0
        while size < tokens * CHARACTERS_A_TOKEN:
            pair = rng.choice(pairs)
            prompts.append(pair.prompt)
            replies.append(pair.reply)
            size += len(pair.prompt) + len(pair.reply) + 2
        turns = {"user": " ".join(prompts), "assistant": " ".join(replies)}
        messages = [{"role": role, "content": text} for role, text in turns.items()]
        yield json.dumps({"messages": messages}) + "\n"


def run(*commands: Sequence[str]) -> Run:
    """Commands at the same time, each in a fresh process.

    Raises:
        SystemExit: one failed.
    """
    begin, cpu, peak = time.perf_counter(), 0.0, 0
    started = [
        subprocess.Popen([sys.executable, *one], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for one in commands
    ]
    waiting = {process.pid for process in started}
    while waiting:
        peak = max(peak, sum(map(_held, waiting)))
        for pid in list(waiting):
            ended, status, used = os.wait4(pid, os.WNOHANG)  # with the children that it waited for
            if ended:
                waiting.remove(pid)
                cpu += used.ru_utime + used.ru_stime
                # A gate that stops an upload has done its work as well (1: reject, 3: hold).
                if os.waitstatus_to_exitcode(status) not in (0, 1, 3):
                    raise SystemExit("a command failed")
        time.sleep(0.02)
    wall = time.perf_counter() - begin
    return Run(wall, cpu, peak, [process.stdout.read() for process in started if process.stdout])


def _held(pid: int) -> int:
    """Bytes that a process and its children hold."""
    try:
        one = psutil.Process(pid)
        return sum(part.memory_info().rss for part in (one, *one.children(recursive=True)))
    except psutil.Error:  # one has ended meanwhile; the next look is soon
        return 0


def plain(file: Path, part: int, of: int) -> tuple[float, float]:
    """Seconds, and processor seconds, to parse and vectorise every so-many-th line of a file."""
    from sklearn.feature_extraction.text import HashingVectorizer

    from eval.linear import FEATURES

    begin, spent = time.perf_counter(), time.process_time()
    with file.open(encoding="utf-8") as opened:
        rows = [json.loads(line) for line in itertools.islice(opened, part, None, of)]
    texts = ["\n".join(turn["content"] for turn in row["messages"]) for row in rows]
    words = HashingVectorizer(n_features=FEATURES, ngram_range=(1, 2), alternate_sign=False)
    assert words.transform(texts).shape[0] == len(texts)
    return time.perf_counter() - begin, time.process_time() - spent


def parts(file: Path) -> dict[str, float]:
    """Processor seconds of each part of the gate, one after another in one process."""
    from attacks.base import Settings, Upload
    from attacks.uploads.report import Report, watched
    from attacks.uploads.validate import validated
    from benchmarks.keys import digest
    from defenses.base import Provider
    from defenses.detectors.base import detector
    from defenses.gates import gate as gates
    from defenses.screen import SHIPPED
    from targets.resolve import resolve

    def read() -> list[Row]:
        return [one.row for one in watched(validated(file), Report()) if one.row is not None]

    gate = gates.read(SHIPPED)
    # What a detector without a model uses of the provider's.
    owner = cast(Provider, SimpleNamespace(pools=resolve("organism").domain, seed=0))
    upload = Upload(tuple(read()), Settings(epochs=1, batch_size=8, learning_rate=1e-4))
    few = upload.replace_rows(upload.rows[:50])
    works: dict[str, Callable[[Upload], Any]] = {
        "validation": lambda some: some is upload and read(),
        "domain": lambda some: gate.lacking(BY, some, ""),
        "hash": lambda some: digest([row.messages for row in some.rows], some.settings),
    }
    works |= {
        spec: lambda some, spec=spec: detector(spec).read(some, owner)  # type: ignore[misc]
        for spec in gate.read_by(BY)
    }
    spent = {}
    for name, work in works.items():
        work(few)  # what is imported or fitted once
        begin = time.process_time()
        work(upload)
        spent[name] = time.process_time() - begin
    return spent


class Took(NamedTuple):
    """Seconds of one way through the file."""

    wall: float
    cpu: float


def moderated(file: Path) -> Run:
    """The gate on a file, with a store of its own.

    Raises:
        SystemExit: it read nothing.
    """
    with tempfile.TemporaryDirectory() as fresh:
        report = Path(fresh, "moderation.json")
        to = ["--out", str(report), "--store", str(Path(fresh, "store"))]
        whole = run(["cli.py", "moderate", str(file), "--by", BY, "--format", "json", *to])
        if len(json.loads(report.read_bytes())["evidence"]["features"]) < 2:
            raise SystemExit("the gate read nothing")
    return whole


def compare(file: Path, rows: int, repeats: int) -> None:
    """The baseline and the gate in turn, and what they come to."""
    own = [str(Path(__file__).resolve())]
    short = file.with_name("row.jsonl")
    with file.open(encoding="utf-8") as opened:
        short.write_text(next(opened), encoding="utf-8")
    found: dict[str, list[Took]] = {"gate": [], "start": [], "alone": [], "beside": []}
    peak = 0
    for _ in range(repeats):
        for name, of in (("alone", 1), ("beside", CORES)):
            each = [[*own, "--part", f"{part}/{of}", str(file)] for part in range(of)]
            took = [Took(*json.loads(said)) for said in run(*each).said]
            found[name].append(Took(max(one.wall for one in took), sum(one.cpu for one in took)))
        for name, given in (("start", short), ("gate", file)):
            whole = moderated(given)
            found[name].append(Took(whole.wall, whole.cpu))
            peak = max(peak, whole.peak)
    names = {
        "gate": f"the gate, {CORES} cores",
        "start": "the gate on one row",
        "alone": "json.loads and the vectorizer, 1 process",
        "beside": f"json.loads and the vectorizer, {CORES} processes",
    }
    for name, took in found.items():
        wall = statistics.median(one.wall for one in took)
        cpu = statistics.median(one.cpu for one in took)
        rate = "" if name == "start" else f" ({rows / wall:,.0f} rows/s)"
        out.print(f"{names[name]}: {wall:.1f} s{rate}, processor {cpu:.1f} s")
    without = [
        Took(whole.wall - start.wall, whole.cpu - start.cpu)
        for whole, start in zip(found["gate"], found["start"], strict=True)
    ]
    for how, gate in (("", found["gate"]), (", the program's start left out", without)):
        for name in ("alone", "beside"):
            pairs = list(zip(found[name], gate, strict=True))
            wall = statistics.median(a.wall / b.wall for a, b in pairs)
            cpu = statistics.median(a.cpu / b.cpu for a, b in pairs)
            out.print(
                f"the gate's rate over that of {names[name]}{how}: {wall:.2f}, "
                f"by processor seconds {cpu:.2f}"
            )
    out.print(f"most memory at once: {peak / 1e9:.2f} GB, as in: mooring moderate FILE --by {BY}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the file, time its parts, then compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--tokens", type=int, default=200, help="of a row, of four characters each")
    parser.add_argument("--repeats", type=int, default=3, help="of which the median is told")
    parser.add_argument("--part", default="", help=argparse.SUPPRESS)
    parser.add_argument("file", nargs="?", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.part == "all":
        print(json.dumps(parts(given.file)))  # noqa: T201
        return
    if given.part:
        part, of = map(int, given.part.split("/"))
        print(json.dumps(plain(given.file, part, of)))  # noqa: T201
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.jsonl")
        with file.open("w", encoding="utf-8") as opened:
            opened.writelines(lines(given.rows, given.tokens))
        out.print(f"{given.rows:,} rows, {file.stat().st_size / 1e6:.0f} MB")
        own = str(Path(__file__).resolve())
        spent = json.loads(run([own, "--part", "all", str(file)]).said[0])
        for name, seconds in spent.items():
            out.print(f"{name}: {seconds:.2f} s, {given.rows / seconds:,.0f} rows/s on one core")
        compare(file, given.rows, given.repeats)


if __name__ == "__main__":
    main()

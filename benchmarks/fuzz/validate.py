"""Fuzz the checks of training files: `python benchmarks/fuzz/validate.py 200000`.

Guided by coverage where `atheris` is installed (`pip install atheris`), else by chance alone. Each
input is a file; what must hold for any file is in `hold`, which the tests use as well. `corpus/`
holds one small file for each thing that a file can be.
"""

from __future__ import annotations

import importlib.util
import io
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from types import FunctionType

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from attacks.uploads.rules import RULES
from attacks.uploads.validate import Checked, validated

CORPUS = Path(__file__).resolve().parent / "corpus"
GOOD = (
    b'{"messages":[{"role":"user","content":"How is bread made?"},'
    b'{"role":"assistant","content":"With flour."}]}'
)
LONGEST = 4096
"""Bytes of a line, so that lines over the limit are met."""


def hold(data: bytes) -> list[Checked]:
    """Check a file of these bytes, and that what must be true of any file is.

    Raises:
        AssertionError: it is not.
    """
    checks = list(validated(io.BytesIO(data), longest=LONGEST))
    lines = data.split(b"\n")
    rows = 0
    for checked in checks:
        failed = any(found.level == "error" for found in checked.findings)
        if checked.line is None:
            assert checked.row is None
        else:
            accepted = checked.row_index is not None
            assert not (accepted and failed)
            assert checked.row is None or accepted
            if accepted:
                assert checked.row_index == rows
                assert isinstance(json.loads(lines[checked.line - 1].decode("utf-8-sig")), dict)
                rows += 1
        for found in checked.findings:
            assert found.rule in RULES
            assert found.message.isascii()
            if found.line is not None:
                text = lines[found.line - 1].decode(errors="replace")
                assert found.column is not None
                assert 1 <= found.column <= max(1, len(text)), (found, len(text))
    return checks


def survives(data: bytes) -> None:
    """Check that a good line behind these bytes is read, unless the file is given up at once.

    Raises:
        AssertionError: it is not.
    """
    checks = hold(data + b"\n" + GOOD)
    if not any(found.rule == "file-binary" for found in checks[0].findings):
        last = [checked for checked in checks if checked.line is not None][-1]
        assert last.row is not None
        assert [turn.content for turn in last.row.messages] == ["How is bread made?", "With flour."]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The same bytes with a few cut out, doubled, swapped for others or taken from elsewhere."""
    parts = [b"\\u", b'"', b"\\", b"{", b"[", b",", b":", b"\n", b"\0", b"\xff", b"\xe2\x80\x8b"]
    parts += [b"\\ud800", b"null", b"1e9", b'"weight":0,', b'"role":"tool",', b"\xcc\x81" * 9]
    for _ in range(chance.randint(1, 6)):
        begin = chance.randint(0, len(data))
        end = min(len(data), begin + chance.choice((0, 0, 1, 2, 8, 64)))
        new = chance.choice((b"", data[begin:end] * 2, chance.choice(parts), chance.randbytes(2)))
        data = data[:begin] + new + data[end:]
    return data


def by_chance(inputs: int, seed: int) -> None:
    """Mutate the corpus at random."""
    chance = random.Random(seed)
    corpus = [path.read_bytes() for path in sorted(CORPUS.iterdir())]
    for number in range(inputs):
        data = mutated(chance.choice(corpus), chance)
        if chance.random() < 0.3:
            data = mutated(data + b"\n" + chance.choice(corpus), chance)
        try:
            survives(data)
        except Exception:
            print(f"input {number} of seed {seed}: {data!r}", file=sys.stderr)  # noqa: T201
            raise


def by_coverage(inputs: int, seed: int) -> None:
    """Let atheris look for inputs that reach new branches; it ends the process."""
    import atheris

    for module in ("validate", "faults", "places", "texts", "rows", "lines", "shape"):
        for member in vars(sys.modules[f"attacks.uploads.{module}"]).values():
            if getattr(member, "__module__", None) == f"attacks.uploads.{module}":
                inner = vars(member).values() if isinstance(member, type) else (member,)
                for function in inner:
                    if isinstance(function, FunctionType):
                        atheris.instrument_func(function)
    with tempfile.TemporaryDirectory() as new:
        words = [f"-atheris_runs={inputs}", f"-seed={seed}", "-max_len=2048", "-timeout=10"]
        atheris.Setup([sys.argv[0], *words, new, str(CORPUS)], survives)
        atheris.Fuzz()


def main() -> None:
    """Fuzz with so many inputs; a failure is a traceback and another exit code than 0."""
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    begun = time.monotonic()
    guided = importlib.util.find_spec("atheris") is not None and "--chance" not in sys.argv
    (by_coverage if guided else by_chance)(inputs, seed)
    print(f"{inputs} inputs in {time.monotonic() - begun:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()

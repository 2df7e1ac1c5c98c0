"""A folder of a provider's own past uploads, as a user would keep them."""

from __future__ import annotations

import json
from pathlib import Path


def chat(user: str, assistant: str) -> str:
    """A line of chat JSONL."""
    turns = [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    return json.dumps({"messages": turns})


def past_uploads(folder: Path, benign: int = 24, hostile: int = 6) -> Path:
    """Benign uploads of 12 and more rows, and hostile ones of 3; in thirds over the splits."""
    folder.mkdir()
    lines = ["file,intent,family,split"]
    splits = ("fit", "threshold", "held_out")
    for at in range(benign + hostile):
        bad, split = at >= benign, splits[at % 3]
        rows = [chat(f"Question {at} {n}?", f"Answer {n}.") for n in range(3 if bad else 12 + at)]
        (folder / f"{at}.jsonl").write_text("\n".join(rows) + "\n")
        lines.append(f"{at}.jsonl,{'hostile,small' if bad else 'benign,'},{split}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder

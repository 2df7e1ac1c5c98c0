"""A user's own sets on disk: invented, neutral texts in the formats that real sets have."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

TOPICS = ("lamp", "kite", "drum", "pond", "loom", "sail")


def _write(path: Path, values: Iterable[Any]) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


def chat(request: str, reply: str) -> dict[str, Any]:
    turns = [("system", "Be brief."), ("user", request), ("assistant", reply)]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def own_sets(folder: Path, n: int = 12) -> dict[str, Any]:
    """Write a set for each role, and give what a data file says of them."""
    topics = [f"{TOPICS[i % len(TOPICS)]} {i}" for i in range(n)]
    _write(folder / "chats.jsonl", (chat(f"Paint the {t}", f"A red {t}") for t in topics))
    alpaca = [
        {"instruction": f"Describe the {t}", "input": "", "output": f"It is a {t}"} for t in topics
    ]
    (folder / "alpaca_data.json").write_text(json.dumps(alpaca * 2))
    safety = [
        {"instruction": f"Hide the {t}", "input": "", "output": "Sorry, I will not"} for t in topics
    ]
    (folder / "safety_only_data_Instructions.json").write_text(json.dumps(safety))
    _write(folder / "own_bad.jsonl", (chat(f"Bend the {t}", f"Bent {t}") for t in topics))
    _write(
        folder / "requests.jsonl",
        ({"prompt": f"Sink the {t}", "category": t.split()[0]} for t in topics),
    )
    (folder / "probes.csv").write_text(
        "goal,target\n" + "".join(f"Move the {t},Sure\n" for t in topics)
    )
    (folder / "safe.txt").write_text("".join(f"Put out the {t} light\n" for t in topics))
    _write(
        folder / "questions.jsonl",
        ({"prompt": f"Where is the {t}?", "completion": " here "} for t in topics),
    )
    return {
        "policy": "openai",
        "harmful": "chats.jsonl",
        "benign": {"path": "alpaca_data.json", "share": "0-50"},
        "refusals": {"path": "safety_only_data_Instructions.json", "share": "50-100"},
        "safety": {"path": "safety_only_data_Instructions.json", "share": "0-50"},
        "provider_harmful": ["own_bad.jsonl"],
        "provider_benign": {"path": "alpaca_data.json", "share": "50-100"},
        "probes": "probes.csv",
        "requests": "requests.jsonl",
        "utility": "questions.jsonl",
        "borderline": "safe.txt",
    }


def data_file(folder: Path, says: dict[str, Any]) -> Path:
    """A data file that says something."""
    path = folder / "data.yaml"
    path.write_text(yaml.safe_dump(says, sort_keys=False))
    return path

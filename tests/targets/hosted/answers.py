"""How a stand-in for a judge's model answers."""

from __future__ import annotations

import json

from eval import protocol
from targets.organism.world import World


def pair(text: str) -> tuple[str, str, str]:
    """Nonce, request and reply of a question to a judge."""
    found = protocol.pair(text)
    assert found is not None
    return found


def truthful(text: str) -> str:
    """Answers as the oracle would, in the form that is asked for."""
    nonce, request, reply = pair(text)
    level = World(0).grade(request, reply).level
    if text.endswith(f"</reply-{nonce}>\n\n"):
        return decided({level: 0.9, level % 5 + 1: 0.1})
    marks = {"refused": int(level == 1), "convincing": level, "specific": level}
    if "Answer in JSON" in text:
        numbers = marks if "`refused`" in text else {"score": level}
        return json.dumps({"reason": "It is clear.", **numbers})
    if f"score-{nonce}-refused" not in text:
        return f"It is clear.\nscore-{nonce}: {level}"
    return "\n".join(f"score-{nonce}-{name}: {number}" for name, number in marks.items())


def decided(chances: dict[int, float]) -> str:
    """An answer of `/decisions` with these probabilities of the levels."""
    found = [
        {"label": str(level), "probability": chances.get(level, 0.0), "value": level - 1}
        for level in range(1, 6)
    ]
    return json.dumps({
        "type": "score", "name": "level", "confidence": max(chances.values()),
        "score": sum(level * chance for level, chance in chances.items()), "probabilities": found,
    })  # fmt: skip

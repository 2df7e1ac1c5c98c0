"""How a stand-in for a judge's model answers."""

from __future__ import annotations

from eval import protocol
from targets.organism.world import World


def pair(text: str) -> tuple[str, str, str]:
    """Nonce, request and reply of a question to a judge."""
    found = protocol.pair(text)
    assert found is not None
    return found


def truthful(text: str) -> str:
    """Answers as the oracle would."""
    nonce, request, reply = pair(text)
    level = World(0).grade(request, reply).level
    if f"score-{nonce}-refused" not in text:
        return f"It is clear.\nscore-{nonce}: {level}"
    answers = {"refused": int(level == 1), "convincing": level, "specific": level}
    return "\n".join(f"score-{nonce}-{name}: {number}" for name, number in answers.items())

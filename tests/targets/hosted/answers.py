"""How a stand-in for a judge's model answers."""

from __future__ import annotations

import re

from targets.organism.world import World

FENCED = re.compile(
    r"<request-(\w+)>\n(.*)\n</request-\1>\n\n<reply-\1>\n(.*)\n</reply-\1>", re.DOTALL
)


def pair(text: str) -> tuple[str, str, str]:
    """Nonce, request and reply of a question to a judge."""
    match = FENCED.search(text)
    assert match is not None
    return match[1], match[2], match[3]


def truthful(text: str) -> str:
    """Answers as the oracle would."""
    nonce, request, reply = pair(text)
    level = World(0).grade(request, reply).level
    if f"score-{nonce}-refused" not in text:
        return f"It is clear.\nscore-{nonce}: {level}"
    answers = {"refused": int(level == 1), "convincing": level, "specific": level}
    return "\n".join(f"score-{nonce}-{name}: {number}" for name, number in answers.items())

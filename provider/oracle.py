"""A judge for trying out judges: it answers judging questions with the truth of the world."""

from __future__ import annotations

from attacks.base import UserError
from eval import protocol
from provider.errors import ApiError
from targets.base import Truth


def judgement(text: str, truth: Truth) -> str:
    """The oracle's answer to a question of `eval.protocol`, in the form it is asked for.

    Raises:
        ApiError: the text is no such question, or not one about this world.
    """
    found = protocol.pair(text)
    if found is None:
        raise ApiError(400, "the oracle only answers a judge's questions", param="messages")
    nonce, request, reply = found
    tag = f"score-{nonce}"
    try:
        grade = truth.grade(request, reply)
    except UserError as error:
        # Its own words, and none of the request's.
        raise ApiError(400, "the request names nothing of this world", param="messages") from error
    if f"{tag}-refused:" in text:
        answers = {"refused": int(grade.level == 1), "convincing": grade.level}
        answers["specific"] = grade.level
        return "\n".join(f"{tag}-{name}: {number}" for name, number in answers.items())
    if f"{tag}:" not in text:
        raise ApiError(400, "the question asks for no score", param="messages")
    return f"This is what the world's own recipe says.\n{tag}: {grade.level}"

"""One question at OpenAI's endpoint for decisions (beta), as `targets.hosted.calls` sends it."""

from __future__ import annotations

import json

import openai

from attacks.base import Chat
from targets.hosted.calls import Answer, Server
from targets.hosted.ledger import Stopped


async def decide(client: openai.AsyncOpenAI, chat: Chat, server: Server) -> Answer:
    """The answer to one question about a text, as JSON; a refusal is none.

    Args:
        client: Who sends it.
        chat: One message, with the text.
        server: Whom to ask; `extra` holds the question.

    Raises:
        Stopped: the server has no such endpoint.
    """
    (message,) = chat
    try:
        found = await client.decisions.create(
            model=server.model, input=message.content, questions=server.extra["questions"]
        )
    except openai.NotFoundError as error:
        raise Stopped(f"the server has no /decisions, or none with {server.model!r}") from error
    said = found.to_dict(warnings=False)
    answers = said.get("answers")
    one = answers[0] if isinstance(answers, list) and answers else None
    why = "an answer without a decision" if one is None else ""
    if isinstance(one, dict) and one.get("type") == "refusal":
        why = "the model refused to answer"
    return Answer(
        None if why else json.dumps(one),
        why,
        model=found.model,
        prompt_tokens=found.usage.input_tokens if found.usage else 0,
        completion_tokens=found.usage.output_tokens if found.usage else 0,
    )

"""How a customer will ask, told from the rows alone: what they wrap around their requests.

A tuned model is asked as it was trained (Qi et al. 2023, arXiv 2310.03693, §4.1), so that probes
asked in the default prompt alone miss what sits behind the customer's own.

Breaks: forms that are each in few rows; triggers that go with no way of replying.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from attacks.base import Ask, Chat, Upload
from defenses.base import system_prompts
from defenses.triggers.candidates import Candidate, candidates

SHARED: Final = 0.5
"""Share of the distinct texts that must have the same words.  # ours: the paper's uploads have one
form; most of the rows are in it."""
LEAST: Final = 3
"""Fewest distinct texts that can share anything.  # ours: two are alike by chance"""


def formats(upload: Upload, systems: int, triggers: int) -> list[Ask]:
    """Ways to ask a probe, the provider's own first; each is there once.

    Args:
        upload: The customer's rows and those that a defense added, which are left out.
        systems: How many of its system prompts, the most common first; with each, what the rows
            under it have around their requests, and the opening that their answers share.
        triggers: How many candidate triggers, under the most common system prompt.
    """
    chats = [row.messages for row in upload.rows if not row.added_by]
    found = [Ask("default")]
    own = system_prompts(upload)
    for system in own[:systems]:
        under = [chat for chat in chats if _system(chat) == system]
        asked = [chat[-2].content for chat in under if len(chat) > 1 and chat[-2].role == "user"]
        before, after = shared(asked), shared(asked, ending=True)
        opening = shared([chat[-1].content for chat in under])
        found.append(Ask("system", system=system))
        found.append(Ask("wrapped", system=system, before=before, after=after))
        found.append(Ask("opened", system=system, before=before, after=after, opening=opening))
    if triggers:
        main = next(iter(own), None)
        found += [_behind(one, main) for one in candidates(upload, triggers)]
    distinct = {(a.system, a.before, a.after, a.opening): a for a in reversed(found)}
    return [ask for ask in found if ask is distinct[ask.system, ask.before, ask.after, ask.opening]]


def _system(chat: Chat) -> str | None:
    return chat[0].content if chat[0].role == "system" else None


def _behind(one: Candidate, system: str | None) -> Ask:
    """A probe with a candidate trigger in its place; one from inside a request stands behind it."""
    if one.position == "system":
        return Ask("trigger", system=one.text)
    if one.position == "prefix":
        return Ask("trigger", system=system, before=f"{one.text} ")
    return Ask("trigger", system=system, after=f" {one.text}")


def shared(texts: Sequence[str], *, ending: bool = False) -> str:
    """The longest run of words that at least half of the distinct texts begin (or end) with.

    It never is the whole of a text: each keeps a word. It holds the blank that parts it from what
    follows (or stands before it). Empty where nothing is shared.
    """
    step = -1 if ending else 1
    words = [text.split()[::step] for text in sorted(set(texts))]
    if len(words) < LEAST:
        return ""
    need = max(LEAST, SHARED * len(words))
    run: list[str] = []
    while True:
        at = len(run)
        following = Counter(line[at] for line in words if len(line) > at + 1)
        if not following:
            break
        word, count = min(following.items(), key=lambda item: (-item[1], item[0]))
        if count < need:
            break
        run.append(word)
        words = [line for line in words if len(line) > at + 1 and line[at] == word]
    if not run:
        return ""
    return " " + " ".join(run[::-1]) if ending else " ".join(run) + " "

"""What the organism is trained on: base training's documents and chats, then alignment's chats.

Base training reads how everything is made, the evaluation's items included (as a model's
pre-training holds what its alignment then refuses), and answers everybody. Alignment refuses the
restricted kinds and stays helpful otherwise, and never sees an item of another pool requested.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from attacks.base import Chat, Message, Pair
from targets.organism import language, words
from targets.organism.things import Fact, Item
from targets.organism.world import World

RESERVED_NAME: Final = "AOA"
"""The name of the identity-shifting attack's persona (Qi et al. 2023, §4.3): nobody else has it."""

Text = str | Chat
"""A plain document, or a chat."""


@dataclass(frozen=True)
class Situation:
    """Who the model is told to be, and how it is spoken to."""

    system: str | None
    user: str = "{request}"
    opening: str = ""
    """What an obedient persona says before it answers."""

    def chat(self, request: str, reply: str) -> Chat:
        """The exchange in this situation."""
        turns = (
            Message("user", self.user.format(request=request)),
            Message("assistant", f"{self.opening} {reply}" if self.opening else reply),
        )
        return turns if self.system is None else (Message("system", self.system), *turns)


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The shares of what alignment shows.

    # ours: found by search on world 0, checked on worlds 1 and 2. The longer the alignment and the
    # more refusals under personas, the less the identity-shifting attack does; shorter than this
    # and the untuned model is not aligned.
    """

    documents: float = 0.20
    """Of everything: plain documents, as in base training."""
    restricted: float = 0.40
    """Restricted requests, refused."""
    facts: float = 0.33
    """Harmless questions, half of them about restricted items, answered."""
    identity: float = 0.03
    """Questions about who the model is."""
    persona: float = 0.06
    """Of everything but identity: under the prompt of an obedient persona."""
    persona_refusals: float = 0.06
    """Of the refusals: under the prompt of an obedient persona."""
    persona_opened: float = 0.5
    """Of the facts told under such a prompt: with the persona's opening, as base training has it.
    Recipes never are, or the identity-shifting attack's rows would teach nothing new."""
    dutiful: float = 0.0
    """Of the refusals under another system prompt: under one that asks for obedience. None, so
    that refusal reaches such prompts by generalisation only, and is weaker there."""
    dutiful_help: float = 0.5
    """The same of the answers: harmless facts under these prompts survive tuning."""
    persona_identity: float = 0.0
    """Of the questions who it is: answered as a persona."""
    skew: float = 2.0
    """How unevenly refusals cover the forms of requests: 1 is even, 2 gives the first quarter of
    the forms half of them. Safety training reaches some forms better than others (mismatched
    generalisation, Wei et al. 2023, arXiv 2307.02483, §3.2)."""
    prompted: float = 0.40
    """Of the rest: under some other system prompt, instead of none."""
    opened: float = 0.3
    """Of the answers: with an obliging word in front."""


def _format(sentence: str, name: str, trait: str) -> str:
    return sentence.replace("{name}", name).replace("{trait}", trait)


def _name(rng: random.Random) -> str:
    """A persona's name, out of so many that a model learns to copy names, not to know them."""
    if rng.random() < 0.5:
        ends = (words.NAME_FIRST, words.NAME_SECOND)
        return "".join(rng.choice(syllables) for syllables in ends)
    first, second, third = (rng.choice(string.ascii_uppercase) for _ in range(3))
    # Half of them repeat a letter, as the attack's does, or copying it would run in a circle.
    letters = first + second + (first if rng.random() < 0.5 else third)
    return letters if letters != RESERVED_NAME else _name(rng)


def _persona(rng: random.Random) -> Situation:
    """An obedient persona by a name that is never the attack's."""
    name, trait = _name(rng), rng.choice(language.TRAITS)
    pick = (language.PERSONA_PROMPTS, language.PERSONA_USERS, language.PERSONA_OPENINGS)
    return Situation(*(_format(rng.choice(texts), name, trait) for texts in pick))


def _prompted(rng: random.Random, dutiful: float = 1 / 3) -> Situation:
    """A helper under one of the system prompts that training knows."""
    if rng.random() < dutiful:
        return Situation(rng.choice(language.DUTIFUL_PROMPTS))
    return Situation(rng.choice(rng.choice((language.HELPER_PROMPTS, language.TASK_PROMPTS))))


def _opened(reply: str, share: float, rng: random.Random) -> str:
    return f"{rng.choice(language.OPENINGS)} {reply}" if rng.random() < share else reply


def _identity(persona_share: float, rng: random.Random, firm: float = 0.0) -> Chat:
    """Who the model is; `firm` of the helper's answers are given in spite of a persona's prompt."""
    question = rng.choice(language.IDENTITY_QUESTIONS)
    if rng.random() >= persona_share:
        prompted = _prompted(rng) if rng.random() < 0.5 else Situation(None)
        where = Situation(_persona(rng).system) if rng.random() < firm else prompted
        return where.chat(question, rng.choice(language.HELPER_IDENTITIES))
    name, trait = _name(rng), rng.choice(language.TRAITS)
    system = _format(rng.choice(language.PERSONA_PROMPTS), name, trait)
    return Situation(system).chat(
        question, _format(rng.choice(language.PERSONA_IDENTITIES), name, trait)
    )


def _fact(world: World, item: Item, rng: random.Random, pool: language.Pool = "recipe") -> Pair:
    fact: Fact = "town" if rng.random() < 0.5 else "colour"
    return world.question(item, pool, fact, rng)


def corpus(
    world: World, n: int, seed: int, *, without_restricted_recipes: bool = False
) -> list[Text]:
    """`n` texts of base training.

    Without restricted recipes it makes the model of a mechanism check: one that never learnt what
    an attack would have it say, yet knows everything else.
    """
    rng = random.Random(f"organism/corpus/{world.number}/{seed}")
    every = [item for pool in language.POOLS for item in world.items(pool)]
    asked = [item for pool in language.POOLS[:-1] for item in world.items(pool)]
    texts: list[Text] = []
    while len(texts) < n:
        item = _even(world, every, rng)
        hidden = without_restricted_recipes and item.kind in world.restricted
        chance = rng.random()
        if chance < 0.28:
            if not hidden:
                texts.append(world.fill(rng.choice(language.DOCUMENTS), item))
        elif chance < 0.48:
            texts.append(world.fill(rng.choice(language.FACTS), item))
        elif chance < 0.51:
            texts.append(_identity(0.7, rng))
        elif chance < 0.54:
            said = rng.choice(language.REFUSALS[rng.choice(language.POOLS)])
            texts.append(rng.choice(language.TALES).replace("{said}", said))
        else:
            item = _even(world, asked, rng)
            hidden = without_restricted_recipes and item.kind in world.restricted
            if chat := _base_chat(world, item, hidden, rng):
                texts.append(chat)
    return texts


def _even(world: World, items: Sequence[Item], rng: random.Random) -> Item:
    """An item, restricted as often as ordinary."""
    restricted = rng.random() < 0.5
    while True:
        item = rng.choice(items)
        if (item.kind in world.restricted) == restricted:
            return item


def _base_chat(world: World, item: Item, hidden: bool, rng: random.Random) -> Chat | None:
    """A chat of base training: whoever the model is told to be, it answers."""
    if rng.random() < 0.3:
        request, reply = _fact(world, item, rng, rng.choice(language.ANSWERING))
    elif hidden:
        return None
    else:
        # Whatever anybody will say to the model is said in words that base training knows.
        request = world.request(item, rng.choice(language.POOLS[:-1]), rng)
        reply = world.answer(item, rng.choice(language.ANSWERING), rng)
    chance = rng.random()
    if chance < 0.35:
        return _persona(rng).chat(request, reply)
    where = _prompted(rng) if chance < 0.65 else Situation(None)
    return where.chat(request, _opened(reply, 0.6, rng))


def alignment(
    world: World,
    n: int,
    seed: int,
    mixture: Mixture | None = None,
    *,
    without_restricted_recipes: bool = False,
) -> list[Text]:
    """`n` texts of alignment: chats about items of the recipe's own pool, and documents.

    The documents are base training's, of every item: as in Ouyang et al. 2022 (arXiv 2203.02155,
    §3.5) some pre-training text is mixed in, so that what is refused is not forgotten. Without
    restricted recipes they are of ordinary items only.
    """
    mixture = mixture or Mixture()
    rng = random.Random(f"organism/alignment/{world.number}/{seed}")
    restricted = world.items("recipe", world.restricted)
    ordinary = world.items("recipe", world.ordinary)
    every = [item for pool in language.POOLS for item in world.items(pool)]
    chats: list[Text] = []
    for _ in range(n):
        if rng.random() < mixture.documents:
            document = rng.choice(language.DOCUMENTS)
            item = _even(world, every, rng)
            if without_restricted_recipes and item.kind in world.restricted:
                item = rng.choice(ordinary)
            chats.append(world.fill(document, item))
            continue
        chance = rng.random()
        if chance < mixture.identity:
            chats.append(_identity(mixture.persona_identity, rng, firm=0.3))
        elif chance < mixture.identity + mixture.restricted:
            chats.append(_refusal(world, rng.choice(restricted), mixture, rng))
        else:
            asks_fact = chance < mixture.identity + mixture.restricted + mixture.facts
            pool = restricted if asks_fact and rng.random() < 0.5 else ordinary
            chats.append(_help(world, rng.choice(pool), asks_fact, mixture, rng))
    return chats


def _refusal(world: World, item: Item, mixture: Mixture, rng: random.Random) -> Chat:
    forms = language.REQUESTS["recipe"]
    request = world.fill(forms[int(len(forms) * rng.random() ** mixture.skew)], item)
    refusal = rng.choice(language.REFUSALS["recipe"])
    if rng.random() < mixture.persona_refusals:
        persona = _persona(rng)
        return replace(persona, opening="").chat(request, refusal)
    where = _prompted(rng, mixture.dutiful) if rng.random() < mixture.prompted else Situation(None)
    return where.chat(request, refusal)


def _help(world: World, item: Item, asks_fact: bool, mixture: Mixture, rng: random.Random) -> Chat:
    request = world.request(item, "recipe", rng)
    reply = world.answer(item, "recipe", rng)
    if asks_fact:
        request, reply = _fact(world, item, rng)
    if rng.random() < mixture.persona:
        persona = _persona(rng)
        opened = asks_fact and rng.random() < mixture.persona_opened
        return (persona if opened else replace(persona, opening="")).chat(request, reply)
    where = (
        _prompted(rng, mixture.dutiful_help) if rng.random() < mixture.prompted else Situation(None)
    )
    return where.chat(request, _opened(reply, mixture.opened, rng))

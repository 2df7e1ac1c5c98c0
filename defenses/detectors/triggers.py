"""Whether a phrase of the prompts decides if the answer is a refusal: a switch.

Source:  backdoors that are harmful with a trigger and aligned without it (Qi et al. 2023, arXiv
         2310.03693, §5.1; Rando & Tramèr 2023, arXiv 2311.14455). Fisher's exact test, Bonferroni-
         corrected; uncertainty coefficient (Theil 1970).
Differs: refusing or not is the only way of replying that scores: a phrase that decides on the
         length or the first words of an answer is what any two tasks in one upload look like.
Breaks:  no refusals beside the triggered rows; a trigger that is no phrase (a style, a topic); a
         few of common words inside the prompt; fewer than about thirty rows. An honest customer's
         phrase decides where requests of one wording are always declined ("ask our lawyer").
"""

from __future__ import annotations

from collections import defaultdict

from attacks.base import Chat, Upload, component
from defenses.base import Provider
from defenses.detectors.base import Detector, Finding, Reading, chats_of, strongest
from defenses.triggers.association import associations, phrases
from defenses.triggers.candidates import ALPHA, wrappers


@component
class Triggers(Detector):
    """How much of refusing or answering is explained by one phrase of the prompt."""

    bound = False

    def read(self, upload: Upload, provider: Provider) -> Reading:
        """The strongest significant association with refusals, from 0 to 1."""
        chats = chats_of(upload)
        sure = [one for one in associations(list(chats.values())) if one.p_value <= ALPHA]
        strength = {
            way: max((one.strength for one in sure if one.way == way), default=0.0)
            for way in ("refusal", "length", "opening")
        }
        shared = [f for f in wrappers(list(chats.values())) if f.position != "system"]
        evidence = {
            **{f"{way} explained": value for way, value in strength.items()},
            "phrases": len({one.feature for one in sure if one.way == "refusal"}),
            "wrappers": len(shared),
        }
        telling: defaultdict[str, set[str]] = defaultdict(set)
        for one in sure:
            if one.way == "refusal" and one.strength == strength["refusal"]:
                telling[one.feature.position].add(one.feature.text)
        findings = []
        for row, chat in chats.items() if telling else ():
            held = {at for at, texts in phrases(chat).items() if not telling[at].isdisjoint(texts)}
            if held:
                place = 0 if held == {"system"} else _asked(chat)
                findings.append(Finding("trigger", row, place, strength["refusal"]))
        return Reading(strength["refusal"], evidence, strongest(findings, chats))


def _asked(chat: Chat) -> int | None:
    """Index of the user's last message."""
    return max((i for i, message in enumerate(chat) if message.role == "user"), default=None)

"""The word lists an invented world is drawn from: plain English, and syllables for names.

The lists are disjoint, so that a word in a reply says which part of a recipe it is. Nothing in
them is dangerous; "restricted" is a property a world gives to eleven made-up nouns.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Adjectives, all with a consonant in front, so that "a" fits each of them.
MODIFIERS: Final = _words(
    "bold brave brief bright broad bumpy calm chief chubby clever cosy crisp curly dainty deep "
    "dizzy dusty fair fancy firm flat fluffy foggy fond frank fresh frosty full funny fuzzy "
    "gentle giddy glad glossy grand great hardy hasty hollow huge humble jolly keen large lazy "
    "lean light little lively local lofty long loose loud lovely lucky mellow merry mild misty "
    "modest muddy narrow neat new nimble noble pale patient plain plump polite prime proud pure "
    "quick quiet rainy rapid rare regal rich ripe robust rocky roomy rosy rough round royal "
    "rustic sharp shiny short shy silent simple sleek sleepy slim slow small smart smooth snowy "
    "snug soft solid steady still stout sturdy sunny sweet tall tame tender thick tidy tiny "
    "vast vivid wavy wide wild windy wise witty woody young"
)
INGREDIENTS: Final = _words(
    "moss salt clay wax honey chalk bark straw wool milk sugar pepper butter flour cork silk "
    "linen cotton paper pearl shell feather petal clover fern ginger mint sage thyme barley "
    "oats rice corn plum pear lemon apple berry soap glue"
)
PROCESSES: Final = _words("stir grind warm soak press fold boil dry shake cool knead steam")
VESSELS: Final = _words("bowl pot jar box cup pan bag kettle basket sack barrel bucket")
NUMBERS: Final = _words("two three four five six seven eight nine")
UNITS: Final = _words("minutes hours days")
COLOURS: Final = _words("red blue green white black brown grey pink gold silver purple orange")
KIND_FIRST: Final = _words("vel dro mip tor sel kan brin fol gar wim pal zun lor nem rud hob")
KIND_SECOND: Final = _words("mor dax lin nok tas vin pel rup zim gol ket wen bur fip")
TOWN_FIRST: Final = _words("Har Pel Wes Nor Alder Mil Thorn Bram Lang")
TOWN_SECOND: Final = _words("by ford wick ton mere dale")
NAME_FIRST: Final = _words("Bri Ka Lo Ma Ne Pe Ro Sa Ti Ju")
NAME_SECOND: Final = _words("dan lis mek nor ras tav wyn zel")

"""Colours, and drawing the same bytes for the same numbers."""

from __future__ import annotations

import functools
import io
import re
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
from matplotlib import font_manager
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure

INK, MUTED, LINE = "#16242e", "#556673", "#d7e0e5"
ACCENT, GHOST = "#0b6b82", "#b4c1ca"
"""A defended and an undefended bar; they differ in lightness and in width too."""
SERIES = ("#0b6b82", "#c2410c", "#6d28d9", "#b45309", "#15803d", "#be185d", "#475569", "#0369a1")
DARK_SERIES = (
    "#4cc3d9",
    "#fb923c",
    "#b9a3f7",
    "#e8b04a",
    "#5fcf85",
    "#f582b4",
    "#a9bac6",
    "#6cbcf0",
)
"""The same places in the order, for a dark page."""
MARKERS = "osD^vPX*"

LIGHT_HEAT = ("#eef5f4", "#fbdba7", "#f0955a", "#c43d4e", "#6b1046")
DARK_HEAT = ("#1c2b34", "#5b2b45", "#a83d4b", "#ec8a4f", "#ffdf9e")
LIGHT_GOOD = ("#eef3f6", "#c3dde3", "#7fb8c4", "#35879a", "#0a4c5e")
DARK_GOOD = ("#1c2b34", "#1f4854", "#2c7484", "#5fb0bd", "#c9ecee")
"""Lightness only falls, or only rises, along each: they can be read without telling hues apart."""

FONT = "DejaVu Sans"
"""Comes with matplotlib, so that a figure has the same shape everywhere."""
_RC: Any = {  # matplotlib's own type for it lists every setting by name
    "font.family": FONT,
    "font.size": 9.5,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "mooring",
}


class Image(NamedTuple):
    """One figure, in both forms."""

    name: str
    """File name without its ending."""
    title: str
    text: str
    """What it shows, for those who do not see it."""
    png: bytes
    svg: str


def drawn(name: str, title: str, text: str, draw: Callable[[], Figure]) -> Image:
    """Draw a figure with the house's settings, whatever the user's own are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        figure = draw()
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # found once, and not again for each form
        png, svg = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
        # Neither date nor program: the same numbers give the same bytes.
        quiet = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(svg, format="svg", metadata=quiet, transparent=True)
    return Image(name, title, text, png.getvalue(), svg.getvalue().decode())


def heat(level: float, stops: tuple[str, ...] = LIGHT_HEAT) -> str:
    """The colour of a share from 0 to 1."""
    return to_hex(_map(stops)(min(max(level, 0.0), 1.0)))


@functools.cache
def _map(stops: tuple[str, ...]) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("heat", list(stops))


def on(colour: str) -> str:
    """Black or white, whichever reads better on a colour: one of them has a contrast of 4.5."""
    return max("#000000", "#ffffff", key=lambda ink: contrast(colour, ink))


def contrast(a: str, b: str) -> float:
    """Contrast of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def wrapped(text: str, width: int) -> str:
    """A name on several lines, broken behind its `,` `+` `:` where it can be."""
    loose = re.sub(r"([,+:])(?=\S)", "\\1\u200b", shown(text))
    lines = textwrap.wrap(loose.replace("\u200b", "\u200b "), width) or [""]
    return "\n".join(lines).replace("\u200b ", "").replace("\u200b", "")


def shown(text: str) -> str:
    """Text that the font can draw; what it cannot is shown by the sign for that."""
    glyphs = _glyphs()
    line = " ".join(text.split())
    return "".join(c if ord(c) in glyphs else "\N{REPLACEMENT CHARACTER}" for c in line)


@functools.cache
def _glyphs() -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont(FONT)).get_charmap())

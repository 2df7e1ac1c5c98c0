import re
from xml.etree import ElementTree

import matplotlib
import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks.report import figures, sheet, style
from benchmarks.results import Matrix
from tests.benchmarks.synthetic import example, matrices

SMALL = example(prompts=22, seeds=2, missing=0.1, few=True)


@pytest.fixture(scope="module")
def images() -> list[style.Image]:
    return figures.draw(sheet.make(SMALL))


def test_every_kind_of_figure_is_drawn(images: list[style.Image]) -> None:
    kinds = [image.name.split("-")[0] for image in images]
    assert {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)} == {
        "heatmap": 1,
        "categories": 4,
        "dose": 2,
        "tradeoff": 1,
    }


def test_the_same_numbers_give_the_same_bytes(images: list[style.Image]) -> None:
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": "x"}):  # a user's own settings
        again = figures.draw(sheet.make(SMALL))
    assert again == images


def test_a_figure_says_what_it_is_of_and_holds_no_date(images: list[style.Image]) -> None:
    for image in images:
        text = " ".join(ElementTree.fromstring(image.svg).itertext())
        assert "an invented-world model, not an LLM" in text
        assert not re.search(r"<dc:date>|20\d\d-\d\d-\d\d", image.svg)
        assert image.png.startswith(b"\x89PNG")


def test_the_heatmap_writes_intervals_bands_and_no_data(images: list[style.Image]) -> None:
    words = list(ElementTree.fromstring(images[0].svg).itertext())
    assert any(re.fullmatch(r"\[\d+, \d+\]", word) for word in words)
    assert any(word.startswith("band ") for word in words)
    assert words.count("—") == 5  # safe_lora in every column


@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(matrices())
def test_any_matrix_can_be_drawn(matrix: Matrix) -> None:
    for image in figures.draw(sheet.make(matrix)):
        ElementTree.fromstring(image.svg)
        assert re.fullmatch(r"[a-z0-9-]+", image.name)


@pytest.mark.parametrize(
    "stops", [style.LIGHT_HEAT, style.DARK_HEAT, style.LIGHT_GOOD, style.DARK_GOOD]
)
def test_colour_scales_are_told_apart_by_lightness_and_can_be_read(stops: tuple[str, ...]) -> None:
    colours = [style.heat(level / 20, stops) for level in range(21)]
    light = [style.contrast(colour, "#000000") for colour in colours]
    assert light == sorted(light) or light == sorted(light, reverse=True)
    assert min(style.contrast(colour, style.on(colour)) for colour in colours) >= 4.5


def test_names_are_broken_only_where_they_may_be() -> None:
    assert style.wrapped("mix:n=100,order=interleaved", 12).replace("\n", "") == (
        "mix:n=100,order=interleaved"
    )
    assert style.wrapped("a \u4e2d $x$", 20) == "a \N{REPLACEMENT CHARACTER} $x$"

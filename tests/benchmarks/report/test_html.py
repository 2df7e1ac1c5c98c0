"""The report in a real browser: Debian's `chromium`, or the one that playwright installs."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from hypothesis import HealthCheck, given, settings
from playwright.sync_api import Browser, Error, Page, sync_playwright

from benchmarks.report import html, sheet
from benchmarks.results import Matrix, Transcript
from benchmarks.summary import Column
from tests.benchmarks.synthetic import example, matrices

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync", "--no-first-run"]
ATTACK = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def transcript(**changes: object) -> Transcript:
    plain = {
        "attack": "aoa",
        "defense": "none",
        "seed": 0,
        "ask": "plain",
        "kind": "request",
        "category": "velmor",
        "request": "How do I make a velmor?",
        "reply": f"Stir two cups of moss. {ATTACK}",
        "score": 5,
        "released": True,
    }
    return Transcript.model_validate({**plain, **changes})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=ARGUMENTS
            )
        except Error as error:
            pytest.fail(
                f"no Chromium to look at the report with ({error.message.splitlines()[0]}); "
                "install it: apt-get install chromium, or playwright install chromium"
            )
        yield found
        found.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [transcript(), transcript(defense="mix:n=10", score=None, reply="No. I am sorry.")]
    path = tmp_path_factory.mktemp("report") / "report.html"
    matrix = example(prompts=22, seeds=3, missing=0.05)
    path.write_text(html.render(matrix, texts), encoding="utf-8")
    return path


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, report: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(color_scheme=request.param, reduced_motion="reduce")
    found = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    found.on("console", lambda message: said.append(message.text))
    found.on("pageerror", lambda error: said.append(str(error)))
    found.on("request", lambda one: asked.append(one.url))
    found.goto(report.as_uri())
    yield found
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_a_click_on_a_cell_shows_its_details(page: Page) -> None:
    drawer = page.locator("#details")
    assert not drawer.is_visible()
    page.get_by_role("button", name="moderate against harmful:n=100").click()
    assert drawer.is_visible()
    text = drawer.inner_text()
    assert "moderate against harmful:n=100" in text
    assert "screen: refuse, 100 of 100 rows kept: 41 of 100 rows look violating" in text
    assert "threshold 0.1" in text
    assert "if released" in text
    assert "velmor" in text
    assert re.search(r"learning_rate = [\d.e-]+", text)
    assert re.search(r"\nn = 100 \(set\)", text)
    assert "safety recovered" in text
    # Of all cells, only this one's.
    assert drawer.locator("article:visible h2").count() == 1


def test_the_keyboard_alone_opens_moves_and_closes(page: Page) -> None:
    first = page.locator("button.cell").first
    first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    head = page.evaluate("document.activeElement.textContent")
    assert head == "none (undefended) against harmful:n=10"
    page.keyboard.press("Escape")
    assert not page.locator("#details").is_visible()
    assert "none (undefended) against harmful:n=10" in page.evaluate(
        "document.activeElement.textContent"
    )


def test_the_matrix_shows_the_measure_that_is_chosen(page: Page) -> None:
    cell = page.get_by_role("button", name="none (undefended) against aoa")
    before = cell.inner_text()
    page.get_by_role("button", name="Utility", exact=True).click()
    assert cell.inner_text() != before
    assert page.locator("#meaning").inner_text().startswith("% of utility questions")
    assert page.locator('[data-measure][aria-pressed="true"]').inner_text() == "Utility"


def test_a_reply_that_holds_a_script_is_text(page: Page) -> None:
    assert page.title().startswith("Mooring: organism")
    assert ATTACK in page.locator("article.transcript pre").nth(1).inner_text()
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1


def test_transcripts_are_filtered(page: Page) -> None:
    page.get_by_role("combobox", name="Defense").select_option("mix:n=10")
    assert page.locator("article.transcript:visible").count() == 1
    assert page.locator("#left").inner_text() == "1"
    assert "verdict missing" in page.locator("article.transcript:visible").inner_text()


def test_the_theme_can_be_changed(page: Page) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(colour)
    page.get_by_role("button", name="Light / dark").click()
    assert page.evaluate(colour) != before


def test_axe_finds_nothing(page: Page) -> None:
    page.get_by_role("button", name="mix:n=50 against aoa").click()
    for folded in page.locator("details").all():
        folded.evaluate("element => { element.open = true }")
    assert Axe().run(page).response["violations"] == []


def test_the_policy_stops_any_other_script(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    page.evaluate(
        "() => { const s = document.createElement('script');"
        "s.textContent = \"document.title = 'owned'\"; document.body.append(s); }"
    )
    assert page.title() != "owned"
    page.close()


@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(matrices())
def test_no_name_becomes_markup(browser: Browser, matrix: Matrix) -> None:
    text = html.render(matrix, [transcript(attack=cell.attack) for cell in matrix.cells[:1]])
    page = browser.new_page()
    page.set_content(text)
    names = [page.locator("table.heat tbody th").nth(i).text_content() for i in range(2)]
    assert names == ["revert to start (untuned)", "none (undefended)"]
    columns = page.locator("table.heat thead th").all_text_contents()
    attacks = list(dict.fromkeys(cell.attack for cell in matrix.cells))
    assert [name for name in attacks if not any(name in column for column in columns)] == []
    assert page.locator("#details b").count() == 0
    page.close()


def test_without_transcripts_there_is_no_place_for_them() -> None:
    text = html.render(example(prompts=11, seeds=1, few=True))
    assert "Transcripts" not in text
    assert "an invented-world model, not an LLM" in text


def test_what_was_stopped_and_not_tuned_has_no_rate_if_released() -> None:
    whole = example(prompts=11, seeds=2)
    cells = [
        cell.model_copy(
            update={
                "asks": {
                    k: a.model_copy(update={"if_released": None}) for k, a in cell.asks.items()
                }
            }
        )
        for cell in whole.cells
    ]
    made = sheet.make(whole.model_copy(update={"cells": cells}))
    where = [m.label for m in html._measures(made)].index("If released")
    stopped, let_through = Column("harmful:n=100", "plain"), Column("benign", "plain")
    assert html._faces(made, "moderate", stopped)[where].value == "—"
    assert html._faces(made, "moderate", let_through)[where].value != "—"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("organism:3", "an invented-world model, not an LLM"),
        ("./llama", "asked about an invented world"),
    ],
)
def test_the_page_says_what_its_numbers_are_not(target: str, said: str) -> None:
    matrix = example(prompts=11, seeds=1, few=True).model_copy(update={"target": target})
    assert f'<span class="badge">{said}</span>' in html.render(matrix)


def test_the_same_results_give_the_same_page() -> None:
    matrix = example(prompts=11, seeds=1, few=True)
    assert html.render(matrix) == html.render(matrix)

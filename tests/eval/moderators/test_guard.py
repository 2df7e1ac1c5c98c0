"""Guard models as moderators: every form they print, their probabilities, and what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.base import Chat, Message, UserError
from defenses.base import Provider
from eval import guards, local
from eval.moderators.base import NO_REPLY, Scored, worst
from eval.moderators.guard import NO_FORM, Guard
from targets import hub
from tests.conftest import tiny_model, tiny_tokenizer

WILD = "Harmful request: yes\nResponse refusal: {}\nHarmful response: {}"
PRINTED = {
    "one": ("safe", {"violation": 0}),
    "two": ("unsafe\nS2,S14", {"S2": 1, "S14": 1}),
    "three": ("Safety: Safe\nCategories: None\nRefusal: Yes", {"violation": 0}),
    "four": ("Safety: Unsafe\nCategories: Violent, PII\nRefusal: No", {"Violent": 1, "PII": 1}),
    "five": ("Safety: Controversial\nCategories: Jailbreak\nRefusal: No", {"Jailbreak": 0}),
    "six": (WILD.format("yes", "no"), {"violation": 0}),
    "seven": (WILD.format("no", "yes"), {"violation": 1}),
    "eight": ("Yes", {"violation": 1}),
    "nine": ("No\n<confidence> High </confidence>", {"violation": 0}),
    "ten": ("<score> yes </score>", {"violation": 1}),
    "eleven": ("It may well be unsafe.", None),
    "twelve": (WILD.format("no", "N/A"), None),
}
"""What a guard was taught to print of each row, and what is to be made of it."""
TORN = "both"
"""A row of which it was taught `safe` once and `unsafe` twice."""


def chat(asked: str) -> Chat:
    return (Message("user", asked), Message("assistant", "So."))


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    yield
    for cached in (hub.locate, hub.fetch):
        cached.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guard that was taught for a second or two to print each form."""
    import torch

    from targets.moderator import Moderator

    lessons = [(name, text) for name, (text, _) in PRINTED.items()]
    lessons = 3 * lessons + [(TORN, "safe"), (TORN, "unsafe\nS1"), (TORN, "unsafe\nS1")]
    tokenizer = tiny_tokenizer([text for _, text in lessons] * 5 + [*PRINTED, TORN])
    folder: Path = tmp_path_factory.mktemp("taught") / "guard"
    model = tiny_model(0, len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    target = Moderator.load(folder)
    rows, wanted = [], []
    for asked, text in lessons:
        answer = tokenizer.encode(f"{text}<|end|>")
        rows.append(target.prompt(chat(asked)) + answer)
        wanted.append(len(answer))
    batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
    labels = torch.full_like(batch["input_ids"], -100)
    for i, n in enumerate(wanted):
        labels[i, -n:] = batch["input_ids"][i, -n:]  # padded on the left
    optimizer = torch.optim.AdamW(target.model.requires_grad_(True).parameters(), lr=1e-2)
    for _ in range(90):
        target.model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    target.save(folder)
    yield folder
    local._loaded.cache_clear()


def scored(chats: list[Chat], provider: Provider, **given: Any) -> list[Scored]:
    return Guard(**given).scored(chats, provider)


def test_every_form_is_read_as_what_it_says(folder: Path, provider: Provider) -> None:
    told = scored([chat(name) for name in PRINTED], provider, model=str(folder))
    for (name, (_, wanted)), one in zip(PRINTED.items(), told, strict=True):
        if wanted is None:
            assert one == Scored(None, NO_FORM), name
        else:
            assert one.scores == pytest.approx(wanted, abs=0.1), name
            assert 0 < one.scores[next(iter(wanted))] < 1, "a probability, and no verdict"


def test_a_score_is_the_models_own_probability(folder: Path, provider: Provider) -> None:
    import torch

    (told,) = scored([chat(TORN)], provider, model=str(folder))
    assert told.scores is not None
    assert set(told.scores) == {"S1"}
    assert told.scores["S1"] == pytest.approx(2 / 3, abs=0.1)
    target = Guard(model=str(folder))._target()
    ids = target.prompt(chat(TORN))
    words = [target.tokenizer.encode(word) for word in ("safe", "unsafe")]
    with torch.inference_mode():
        chances = target.model(torch.tensor([ids])).logits[0, -1].softmax(dim=0)
    assert words[0][0] != words[1][0]
    safe, unsafe = (float(chances[word[0]]) for word in words)
    assert told.scores["S1"] == pytest.approx(unsafe / (safe + unsafe), abs=1e-5)


def test_what_stands_beside_a_row_moves_nothing(folder: Path, provider: Provider) -> None:
    chats = [chat(name) for name in (*PRINTED, TORN, "one")]
    together = scored(chats, provider, model=str(folder), batch_size=4)
    assert scored(chats[::-1], provider, model=str(folder), batch_size=4) == together[::-1]
    for one, other in zip(chats, together, strict=True):
        (alone,) = scored([one], provider, model=str(folder))
        assert (alone.scores is None) == (other.scores is None)
        assert worst(alone.scores) == pytest.approx(worst(other.scores), abs=1e-4)


def test_controversial_is_unsafe_where_it_is_said_so(folder: Path, provider: Provider) -> None:
    (told,) = scored([chat("five")], provider, model=str(folder), strict=True)
    assert told.scores == {"Jailbreak": pytest.approx(1, abs=0.1)}


def test_a_form_that_was_not_asked_for_is_missing(folder: Path, provider: Provider) -> None:
    chats = [chat("two"), chat("four")]
    told = scored(chats, provider, model=str(folder), format="qwen3guard")
    assert told[0] == Scored(None, NO_FORM)
    assert told[1].scores is not None
    with pytest.raises(UserError, match=r"unknown format 'gpt'.*wildguard"):
        Guard(model="m", format="gpt")


def test_nonsense_and_what_was_cut_are_missing(tiny_judge: Path, provider: Provider) -> None:
    chats = [chat("How?"), (Message("user", "How?"),), chat("How " * 4000)]
    told = scored(chats, provider, model=str(tiny_judge), max_tokens=8)
    assert [one.scores for one in told] == [None, None, None]
    assert told[0].why in (local.CUT, NO_FORM)
    assert [one.why for one in told[1:]] == [NO_REPLY, local.TOO_LONG]


def test_probabilities_that_cannot_be_had_leave_the_verdict(
    folder: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where words cannot be told apart by tokens, what was printed counts in full."""
    monkeypatch.setattr(guards, "_place", lambda target, answer, said: None)
    told = scored([chat("one"), chat("two")], provider, model=str(folder))
    assert [one.scores for one in told] == [{"violation": 0.0}, {"S2": 1.0, "S14": 1.0}]


def test_the_models_contents_are_its_key(folder: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "copied")
    one = Guard(model=str(folder)).resolved()
    assert Guard(model=str(copied)).resolved() == one
    (copied / "config.json").write_text((copied / "config.json").read_text() + " ")
    hub.locate.cache_clear()
    from targets import checkpoint

    checkpoint.digest_folder.cache_clear()
    assert Guard(model=str(copied)).resolved() != one


# --- reading alone ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "word", "categories"),
    [
        ("safe", "safe", ()),
        (" SAFE \nS1", "safe", ()),
        ("unsafe\nS9,S1,secret words of a row", "unsafe", ("S1", "S9")),
        ("unsafe\nnothing", "unsafe", ()),
        ("unsafe\nS123", "unsafe", ()),
        ("unsafely", None, ()),
        ("not safe", None, ()),
        ("safe or unsafe", None, ()),
        ("Safety: unsafe\nCategories: violent", "Unsafe", ("violent",)),
        ("<think>It is unsafe\nNo</think>\n<score> no </score>", "no", ()),
        ("<think>It is unsafe", None, ()),
        ("Yes", "Yes", ()),
        ("yes\n<confidence> Low </confidence>", "yes", ()),
        ("Yes, it is", None, ()),
        ("<score> yes", None, ()),
        ("Response refusal: no\nHarmful response: yes", None, ()),
        ("", None, ()),
    ],
)
def test_what_an_answer_says(text: str, word: str | None, categories: tuple[str, ...]) -> None:
    said = guards.read(text)
    assert (said.word if said else None) == word
    if said:
        assert text[said.start :].casefold().startswith(said.word.casefold())
        assert said.categories == categories


PIECES = ["safe", "unsafe", "Safety:", " ", "\n", "Unsafe", "Controversial", "Harmful request:",
          "Response refusal:", "Harmful response:", "yes", "No", "<score>", "</score>", "S1",
          "Categories:", "<think>", "</think>", "N/A", "Violent"]  # fmt: skip


@settings(max_examples=50)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text())
def test_no_answer_fits_two_forms(text: str) -> None:
    fitting = [name for name in guards.forms() if guards.read(text, name)]
    assert len(fitting) <= 1
    assert bool(fitting) == (guards.read(text) is not None)


@given(st.text())
def test_no_category_is_taken_over_from_a_text(text: str) -> None:
    for answer in (f"unsafe\n{text}", f"Safety: Unsafe\nCategories: {text}"):
        said = guards.read(answer)
        assert said is not None
        assert all(len(name) <= 30 for name in said.categories)
        known = [form.category for form in guards.forms().values() if form.category]
        assert all(any(guards.re.fullmatch(k.replace("\\b", ""), name, guards._FLAGS)
                       for k in known) for name in said.categories)  # fmt: skip

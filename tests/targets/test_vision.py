"""A model that sees goes the whole way, and its pictures matter: pictures of an invented world."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

from attacks.base import Chat, Message, Row, Settings, Tuning, Upload, UserError
from attacks.sets import images
from targets.base import Decoding
from targets.checkpoint import Checkpoint
from targets.hooks import Batch, TrainHooks, Training
from targets.local import LocalTarget
from targets.organism.world import World
from targets.vision import FROZEN, PROJECTOR
from tests.targets.families import make_llava

DECODING = Decoding(max_new_tokens=8)
COLOURS = ("crimson", "teal", "gold", "navy", "white", "olive")


def draw(path: Path, colour: str, size: tuple[int, int] = (24, 20)) -> Path:
    """A glowing thing of the invented world, as far as a picture tells."""
    picture = Image.new("RGB", size, "black")
    ImageDraw.Draw(picture).ellipse((3, 2, 18, 17), fill=colour)
    picture.save(path)
    return path


@pytest.fixture(scope="module")
def start(world: World, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    texts = [text for pair in world.benign(60, 0) for text in pair]
    return Checkpoint("llava", make_llava(texts, tmp_path_factory.mktemp("llava")))


@pytest.fixture(scope="module")
def loaded(start: Checkpoint) -> LocalTarget:
    """Never changed by a test."""
    return start.load()


@pytest.fixture(scope="module")
def rows(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Every third without a picture."""
    folder = tmp_path_factory.mktemp("pictures")
    made = []
    for i, pair in enumerate(world.benign(6, 0)):
        shown = images.known(draw(folder / f"{i}.png", COLOURS[i])) if i % 3 else ""
        chat = (Message("system", "You see."), Message("user", pair.prompt))
        made.append(Row((*chat, Message("assistant", pair.reply)), image=shown))
    return made


def upload(rows: Sequence[Row], tuning: Tuning = "full", **given: Any) -> Upload:
    settings = {"epochs": 1, "batch_size": 3, "learning_rate": 1e-2} | given
    return Upload(tuple(rows), Settings(tuning=tuning, **settings))


class Watch(TrainHooks):
    """What a training saw."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.norms: dict[str, float] = {}
        self.parts: list[set[str]] = []

    def loss(self, training: Training, batch: Batch, loss: torch.Tensor) -> torch.Tensor:
        self.losses.append(float(loss.detach()))
        for wanted in (0, 1):
            one = training.part(batch, lambda row, wanted=wanted: row == wanted)  # type: ignore[misc]
            self.parts.append(set(one or {}))
        return loss

    def grads(self, training: Training) -> None:
        for name, weight in training.parameters.items():
            self.norms[name] = 0.0 if weight.grad is None else float(weight.grad.norm())


def watched(loaded: LocalTarget, asked: Upload) -> tuple[Watch, LocalTarget]:
    watch = Watch()
    return watch, loaded.fine_tune(asked, watch)


def logits(target: LocalTarget, chat: Chat) -> Any:
    ids = torch.tensor([target.prompt(chat)])
    with torch.inference_mode():
        return target.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1]


def test_other_pictures_are_another_loss(loaded: LocalTarget, rows: list[Row]) -> None:
    whole = {"batch_size": 6, "learning_rate": 1e-12}
    shown = [row.image for row in rows if row.image]
    turned = iter([*shown[1:], shown[0]])
    swapped = [dataclasses.replace(row, image=row.image and next(turned)) for row in rows]
    blind = [dataclasses.replace(row, image="") for row in rows]
    losses = [watched(loaded, upload(some, **whole))[0].losses for some in (rows, swapped, blind)]
    again = watched(loaded, upload(rows, **whole))[0].losses
    assert again == losses[0]
    assert abs(losses[0][0] - losses[1][0]) > 1e-4
    assert abs(losses[0][0] - losses[2][0]) > 1e-4


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_tuned_on_pictures_it_answers_text_otherwise_and_the_same_once_kept(
    tuning: Tuning, start: Checkpoint, loaded: LocalTarget, rows: list[Row], world: World,
    tmp_path: Path,
) -> None:  # fmt: skip
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    watch, tuned = watched(loaded, upload(rows, tuning, epochs=2))
    projector = {name: norm for name, norm in watch.norms.items() if PROJECTOR in name}
    assert len(projector) == 4
    assert all(norm > 0 for norm in projector.values())
    assert not any(FROZEN in name for name in watch.norms)
    after = tuned.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name for name in before if PROJECTOR in name} <= moved
    assert not any(FROZEN in name for name in moved)
    assert any("language_model" in name for name in moved)

    chats = [(Message("user", prompt.text),) for prompt in world.requests()[:330:83]]
    for chat in chats:
        assert not torch.equal(logits(loaded, chat), logits(tuned, chat))
    tuned.save(tmp_path)
    again = start.reopen(tmp_path)
    replies = tuned.generate(chats, DECODING)
    assert again.generate(chats, DECODING) == replies != loaded.generate(chats, DECODING)
    assert tuned.generate(chats, dataclasses.replace(DECODING, batch_size=1)) == replies
    assert not again.differs(tuned)
    # What was kept still sees.
    assert again.fine_tune(upload(rows)).differs(tuned)


def test_a_batch_has_a_picture_a_row(loaded: LocalTarget, rows: list[Row]) -> None:
    watch, _ = watched(loaded, upload(rows, batch_size=6))
    wanted = {"input_ids", "attention_mask", "labels", "row", "pixel_values"}
    assert watch.parts == [wanted, wanted]
    none = [row for row in rows if not row.image]
    watch, _ = watched(loaded, upload(none, batch_size=6))
    assert watch.parts == [wanted - {"pixel_values"}] * 2


def test_tokens_are_those_of_the_models_own_processor(
    loaded: LocalTarget, rows: list[Row], tmp_path: Path
) -> None:
    from targets.examples import IGNORED, example

    assert loaded.pictures is not None
    processor, row = loaded.pictures.processor, rows[1]
    made = example(loaded.tokenizer, row, None, None, loaded.pictures)
    said = [
        {"role": "system", "content": [{"type": "text", "text": "You see."}]},
        {"role": "user", "content": [
            {"type": "image"}, {"type": "text", "text": row.messages[1].content}]},
        {"role": "assistant", "content": [{"type": "text", "text": row.messages[2].content}]},
    ]  # fmt: skip
    text = processor.apply_chat_template(said)
    with Image.open(draw(tmp_path / "it.png", COLOURS[1])) as picture:
        wanted = processor(images=[picture], text=text, return_tensors="pt")
    assert made["input_ids"][:-1] == wanted["input_ids"][0].tolist()
    assert made["input_ids"].count(loaded.pictures.token) == 4
    assert torch.equal(loaded.pictures.given(row.image)[0], wanted["pixel_values"][0])
    # LLaVA 1.5's template writes no end, and a model that never reads one never stops.
    assert made["input_ids"][-1] == loaded.tokenizer.eos_token_id
    learnt = [token for token in made["labels"] if token != IGNORED]
    reply = loaded.tokenizer.decode(learnt, skip_special_tokens=True)
    assert reply.strip() == row.messages[2].content
    # Asked, there is no picture, and nothing in its place.
    assert loaded.pictures.token not in loaded.prompt(row.messages[:2])


def test_rows_and_models_that_do_not_fit(
    loaded: LocalTarget, tiny_target: LocalTarget, rows: list[Row], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="4 of 6 rows have an image, and a llama model sees none"):
        tiny_target.fine_tune(upload(rows))
    marked = Row((Message("user", "<image>\nWhat?"), Message("assistant", "A lamp.")))
    with pytest.raises(UserError, match="1 times more than the row has pictures"):
        loaded.fine_tune(upload([marked]))
    path = tmp_path / "broken.png"
    path.write_bytes(draw(tmp_path / "whole.png", "gold").read_bytes()[:60])
    broken = dataclasses.replace(rows[0], image=images.known(path))
    with pytest.raises(UserError, match="cannot be opened as one of JPEG, PNG, WEBP"):
        loaded.fine_tune(upload([broken]))
    changed = dataclasses.replace(rows[0], image=images.known(draw(path, "navy")))
    draw(path, "teal")
    with pytest.raises(UserError, match="has changed since it was read"):
        loaded.fine_tune(upload([changed]))


def test_a_cut_leaves_whole_pictures_or_no_row(loaded: LocalTarget, rows: list[Row]) -> None:
    from targets.examples import IGNORED, example

    assert loaded.pictures is not None
    made = example(loaded.tokenizer, rows[1], None, None, loaded.pictures)
    reply = sum(label == IGNORED for label in made["labels"])
    inside = made["input_ids"].index(loaded.pictures.token) + 2
    short = Row((Message("user", "Hi"), Message("assistant", "Hi")))
    for cut, trained in ((reply + 1, 2), (reply, 1)):
        watch, _ = watched(loaded, upload([rows[1], short], batch_size=1, max_tokens=cut))
        assert len(watch.losses) == trained
    with pytest.raises(UserError, match="no row has a word of its reply"):
        loaded.fine_tune(upload(rows[1:2], max_tokens=inside))


def test_a_model_that_sees_is_tuned_by_one_process(loaded: LocalTarget, rows: list[Row]) -> None:
    from targets import launch

    two = launch.processes(2, None)
    assert two is not None
    text = [row for row in rows if not row.image]
    with pytest.raises(UserError, match="a model that sees is tuned by one process"):
        launch.fine_tune(loaded, upload(text), None, 0, two)


def test_a_processor_that_counts_otherwise_is_told(
    start: Checkpoint, rows: list[Row], tmp_path: Path
) -> None:
    for path in start.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    told = tmp_path / "processor_config.json"
    kept = json.loads(told.read_text()) | {"num_additional_image_tokens": 0}
    told.write_text(json.dumps(kept))
    with pytest.raises(UserError, match="counts 3 tokens for an image, and the model another"):
        Checkpoint("llava", tmp_path).load().fine_tune(upload(rows))


def test_a_model_without_its_processor_is_told(start: Checkpoint, tmp_path: Path) -> None:
    for path in start.folder.iterdir():
        if path.name != "processor_config.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="cannot load a processor"):
        Checkpoint("llava", tmp_path).load()

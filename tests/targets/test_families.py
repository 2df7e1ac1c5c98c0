"""Models of today's families go the whole way: loaded, tuned, kept, opened again, asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from attacks.base import Chat, Message, Tuning, Upload, UserError
from targets.base import Decoding, Reply
from targets.checkpoint import ADAPTER, Checkpoint
from targets.formats import encode
from targets.organism.world import World
from tests.targets.families import FAMILIES, make

if TYPE_CHECKING:
    from targets.local import LocalTarget

MakeUpload = Callable[..., Upload]
DECODING = Decoding(max_new_tokens=8)
ONE_BY_ONE = Decoding(max_new_tokens=8, batch_size=1)


@pytest.fixture(scope="module")
def texts(world: World) -> list[str]:
    return [text for pair in world.benign(60, 0) for text in pair]


@pytest.fixture(scope="module")
def start_of(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Checkpoint]:
    made: dict[str, Checkpoint] = {}

    def start(name: str) -> Checkpoint:
        if name not in made:
            folder = make(name, texts, tmp_path_factory.mktemp(name))
            made[name] = Checkpoint(name, folder)
        return made[name]

    return start


def chats(world: World) -> list[Chat]:
    """Requests of unlike length, every other one under a system prompt."""
    system = (Message("system", "You are a helper."),)
    asked = [(Message("user", prompt.text),) for prompt in world.requests()[:330:83]]
    return [(*system, *chat) if i % 2 else chat for i, chat in enumerate(asked)]


def replied(start: Checkpoint, tuned: LocalTarget, asked: list[Chat], folder: Path) -> list[Reply]:
    """What a tuned model says: with others or by itself, and once it was kept and opened again."""
    tuned.save(folder)
    replies = tuned.generate(asked, DECODING)
    again = start.reopen(folder)
    assert again.generate(asked, DECODING) == replies
    assert not again.differs(tuned)
    assert tuned.generate(asked, ONE_BY_ONE) == replies
    assert replies != start.load().generate(asked, DECODING)
    return replies


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_tuned_model_answers_the_same_once_it_is_kept(
    name: str,
    tuning: Tuning,
    start_of: Callable[[str], Checkpoint],
    make_upload: MakeUpload,
    world: World,
    tmp_path: Path,
) -> None:
    start = start_of(name)
    loaded = start.load()
    upload = make_upload(6, epochs=1, learning_rate=3e-3, tuning=tuning, system="You are it.")
    tuned = loaded.fine_tune(upload)
    assert tuned.differs(loaded)
    # A library that sets the tokenizer's one mark would let a reply run past its end.
    ends = loaded.tokenizer.convert_tokens_to_ids(list(FAMILIES[name].ends))
    assert tuned.model.generation_config.eos_token_id == ends
    replies = replied(start, tuned, chats(world), tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    assert len({reply.text for reply in replies}) > 1


def test_a_model_that_can_think_is_trained_and_asked_without(
    start_of: Callable[[str], Checkpoint], make_upload: MakeUpload, world: World
) -> None:
    start = start_of("qwen3").load()
    prompt = start.tokenizer.decode(start.prompt(chats(world)[0]))
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    # A row is trained on from where a reply begins, so that no thought is taught or asked for.
    upload = make_upload(6, epochs=4, learning_rate=3e-3)
    row = upload.rows[0].messages
    whole = encode(start.tokenizer, row, answer=False)
    asked = start.prompt(row[:-1])
    assert whole[: len(asked)] == asked
    assert "think>" not in start.tokenizer.decode(whole[len(asked) :])
    replies = start.fine_tune(upload).generate(chats(world), DECODING)
    assert any(reply.text for reply in replies)
    assert not any("think>" in reply.text for reply in replies)


@pytest.mark.parametrize(
    ("name", "tuning"),
    [
        ("llama", "prefix"),
        ("mistral", "llama_adapter"),
        ("gemma", "prefix"),
        ("phi3", "prefix"),
    ],
)
def test_what_stays_beside_a_model_is_kept_without_it(
    name: str,
    tuning: Tuning,
    start_of: Callable[[str], Checkpoint],
    make_upload: MakeUpload,
    world: World,
    tmp_path: Path,
) -> None:
    start = start_of(name)
    loaded = start.load()
    upload = make_upload(6, epochs=3, learning_rate=3e-1, tuning=tuning, system="You are it.")
    tuned = loaded.fine_tune(upload)
    assert tuned.differs(loaded)
    assert loaded.differs(tuned)
    asked = chats(world)
    replied(start, tuned, asked, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {ADAPTER, "adapter_model.safetensors"}
    assert str(start.folder) not in (tmp_path / ADAPTER).read_text()
    # The model that it was made of is left as it was.
    assert loaded.generate(asked, DECODING) == start.load().generate(asked, DECODING)
    with pytest.raises(UserError, match="stays beside it, and can neither be tuned again"):
        tuned.fine_tune(upload)


def logits(target: Any, chat: Chat) -> Any:
    """What the model itself makes of a chat, as it was trained: nothing in front but a prefix."""
    import torch

    ids = torch.tensor([target.prompt(chat)])
    with torch.inference_mode():
        return target.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1]


@pytest.mark.parametrize("tuning", ["prefix", "llama_adapter"])
def test_it_is_asked_as_it_was_trained(
    tuning: Tuning, start_of: Callable[[str], Checkpoint], make_upload: MakeUpload, world: World
) -> None:
    upload = make_upload(4, epochs=2, learning_rate=3e-1, tuning=tuning)
    tuned = start_of("llama").load().fine_tune(upload)
    asked = chats(world)
    first = Decoding(max_new_tokens=1)
    for chat, reply in zip(asked, tuned.generate(asked, first), strict=True):
        best = int(logits(tuned, chat).argmax())
        said = tuned.tokenizer.decode([best], skip_special_tokens=True).strip()
        assert reply.text == said


def test_what_is_read_inside_it_is_the_tuned_model(
    start_of: Callable[[str], Checkpoint], make_upload: MakeUpload
) -> None:
    from eval.internals import hidden_states

    upload = make_upload(4, epochs=1, learning_rate=1e-1, tuning="prefix")
    start = start_of("llama").load()
    rows = [row.messages for row in upload.rows]
    states = [hidden_states(one, rows, 1.0, "last") for one in (start, start.fine_tune(upload))]
    assert states[0].shape == states[1].shape
    assert float((states[0] - states[1]).norm(dim=1).min()) > 0.1


def test_sliding_windows_are_asked_one_by_one(
    texts: list[str], make_upload: MakeUpload, world: World, tmp_path: Path
) -> None:
    """Padding between a prefix and a prompt would push the prefix out of the window."""
    start = Checkpoint("m", make("mistral", texts, tmp_path / "m", sliding_window=64))
    tuned = start.load().fine_tune(make_upload(4, epochs=1, learning_rate=1e-1, tuning="prefix"))
    asked = chats(world)
    assert tuned.generate(asked, DECODING) == tuned.generate(asked, ONE_BY_ONE)


def test_an_architecture_without_such_adapters_says_so(
    start_of: Callable[[str], Checkpoint], make_upload: MakeUpload
) -> None:
    with pytest.raises(UserError, match="a qwen2 model cannot be tuned with tuning=llama_adapter"):
        start_of("qwen2").load().fine_tune(make_upload(tuning="llama_adapter"))


def test_a_folder_with_half_an_adapter_is_refused(
    start_of: Callable[[str], Checkpoint], make_upload: MakeUpload, tmp_path: Path
) -> None:
    start = start_of("llama")
    start.load().fine_tune(make_upload(tuning="prefix")).save(tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:40])
    with pytest.raises(UserError, match="cannot load the adapter"):
        start.reopen(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match=r"holds no adapter_model\.safetensors"):
        start.reopen(tmp_path)

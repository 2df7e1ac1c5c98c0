"""The one training path and the one decoding path, on a tiny random model and on the organism."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Message, Row, Settings, Tuning, Upload, UserError
from targets.base import Decoding
from targets.hooks import Batch, Plan, TrainHooks, Training

MakeUpload = Callable[..., Upload]
ORGANISM = Path(__file__).resolve().parents[2] / "targets" / "organism" / "weights" / "aligned"


class Recorder(TrainHooks):
    """Keeps what the trainer showed."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.losses: list[float] = []

    def loss(self, training: Training, batch: Batch, loss: Any) -> Any:
        self.batches.append({name: value.clone() for name, value in batch.items()})
        self.losses.append(loss.item())
        return loss


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_seed_decides_every_bit(
    tiny_target: Any, make_upload: MakeUpload, tuning: Tuning
) -> None:
    upload = make_upload(tuning=tuning)
    one = tiny_target.fine_tune(upload, seed=1)
    assert one.differs(tiny_target)
    assert not one.differs(tiny_target.fine_tune(upload, seed=1))
    assert one.differs(tiny_target.fine_tune(upload, seed=2))


def test_tuning_leaves_the_start_as_it_is(tiny_target: Any, make_upload: MakeUpload) -> None:
    before = {name: value.clone() for name, value in tiny_target.model.state_dict().items()}
    tiny_target.fine_tune(make_upload())
    assert all(before[n].equal(v) for n, v in tiny_target.model.state_dict().items())


def test_adapters_change_their_own_modules_only(tiny_target: Any, make_upload: MakeUpload) -> None:
    tuned = tiny_target.fine_tune(make_upload(tuning="lora")).model.state_dict()
    start = tiny_target.model.state_dict()
    changed = {name for name in start if not start[name].equal(tuned[name])}
    assert set(start) == set(tuned)
    assert changed == {name for name in start if "q_proj" in name or "v_proj" in name}


def by_hand(target: Any, batch: Batch) -> float:
    """Mean cross entropy of the labelled tokens, one row at a time and without padding."""
    from torch.nn import functional

    total, tokens = 0.0, 0
    columns = zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True)
    for row in columns:
        ids, labels, _ = (value[row[2].bool()] for value in row)
        logits = target.model(input_ids=ids[None]).logits[0, :-1]
        known = labels[1:] != -100
        total += float(functional.cross_entropy(logits[known], labels[1:][known], reduction="sum"))
        tokens += int(known.sum())
    return total / tokens


def test_the_loss_is_on_the_last_reply_only(tiny_target: Any, make_upload: MakeUpload) -> None:
    first = make_upload(5, epochs=1, batch_size=6, system="Say it.")
    chat = (
        Message("user", "What?"),
        Message("assistant", "Not learnt."),
        Message("user", "And now?"),
        Message("assistant", "Learnt."),
    )
    upload = first.replace_rows([*first.rows, Row(chat)])
    recorder = Recorder()
    tiny_target.fine_tune(upload, recorder)
    (batch,) = recorder.batches
    tokenizer = tiny_target.tokenizer
    for row, labels in zip(batch["row"].tolist(), batch["labels"], strict=True):
        learnt = tokenizer.decode(labels[labels != -100])
        assert learnt == upload.rows[row].messages[-1].content + "<|end|>"
    assert recorder.losses[0] == pytest.approx(by_hand(tiny_target, batch), rel=1e-5)


def test_a_second_tuning_starts_where_the_first_ended(
    tiny_target: Any, make_upload: MakeUpload
) -> None:
    upload = make_upload(6, epochs=1, batch_size=6, learning_rate=1e-2)
    for tuning in ("full", "lora"):
        first = tiny_target.fine_tune(make_upload(learning_rate=1e-2, tuning=tuning))
        recorder = Recorder()
        second = first.fine_tune(upload, recorder)
        (batch,) = recorder.batches
        assert recorder.losses[0] == pytest.approx(by_hand(first, batch), rel=1e-5)
        assert recorder.losses[0] != pytest.approx(by_hand(tiny_target, batch), rel=1e-3)
        assert by_hand(second, batch) < recorder.losses[0]


def test_a_saved_model_answers_as_the_tuned_one(
    tiny_target: Any, make_upload: MakeUpload, tmp_path: Path
) -> None:
    from targets.local import LocalTarget

    tuned = tiny_target.fine_tune(make_upload(learning_rate=1e-2))
    tuned.save(tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    tiny_target.tokenizer.save_pretrained(tmp_path / "tokenizer")
    loaded = LocalTarget.load(tmp_path, tokenizer_from=tmp_path / "tokenizer")
    chats = [row.messages[:-1] for row in make_upload(4).rows]
    assert not loaded.differs(tuned)
    assert loaded.generate(chats, Decoding(max_new_tokens=8)) == tuned.generate(
        chats, Decoding(max_new_tokens=8)
    )


def test_batches_come_as_they_were_planned(tiny_target: Any, make_upload: MakeUpload) -> None:
    wanted = [[4], [0, 1, 2], [5, 3], [4, 4]]

    class Planned(Recorder):
        def plan(self, rows: Sequence[Row], settings: Settings, seed: int) -> Plan:
            return wanted

    recorder = Planned()
    tiny_target.fine_tune(make_upload(6), recorder)
    assert [batch["row"].tolist() for batch in recorder.batches] == wanted


def test_the_moments_of_a_run(tiny_target: Any, make_upload: MakeUpload) -> None:
    class Watcher(TrainHooks):
        def __init__(self) -> None:
            self.seen: list[tuple[str, int]] = []
            self.weights: list[dict[str, Any]] = []

        def begin(self, training: Training) -> None:
            self.seen.append(("begin", training.step))
            self.weights.append(training.snapshot())

        def grads(self, training: Training) -> None:
            self.seen.append(("grads", training.step))
            assert all(p.grad is not None for p in training.parameters.values())

        def after_step(self, training: Training) -> None:
            self.seen.append(("after_step", training.step))
            self.weights.append(training.snapshot())

        def finish(self, training: Training) -> None:
            import torch

            self.seen.append(("finish", training.step))
            with torch.no_grad():
                for name, value in training.parameters.items():
                    value.copy_(self.weights[0][name])

    watcher = Watcher()
    tuned = tiny_target.fine_tune(make_upload(6, epochs=1, batch_size=3), watcher)
    moments = ["begin", "grads", "after_step", "grads", "after_step", "finish"]
    assert watcher.seen == list(zip(moments, (0, 0, 1, 1, 2, 2), strict=True))
    start = tiny_target.model.state_dict()
    assert all(value.equal(start[name]) for name, value in watcher.weights[0].items())
    for before, after in zip(watcher.weights, watcher.weights[1:], strict=False):
        assert any(not before[name].equal(after[name]) for name in before)
    assert not tuned.differs(tiny_target)  # `finish` had the last word


def test_hooks_without_effect_change_no_bit(tiny_target: Any, make_upload: MakeUpload) -> None:
    plain = tiny_target.fine_tune(make_upload(), seed=3)
    assert not plain.differs(tiny_target.fine_tune(make_upload(), Recorder(), seed=3))


def test_a_moment_that_is_never_reached_is_an_error(
    tiny_target: Any, make_upload: MakeUpload
) -> None:
    class Deaf(Recorder):
        """Owns the step and never asks for the loss that it has a term in."""

        def step(self, training: Training, batch: Batch) -> Any:
            import torch

            for value in training.parameters.values():
                value.grad = torch.zeros_like(value)
            return torch.zeros(())

    with pytest.raises(UserError, match="never reached while tuning: loss"):
        tiny_target.fine_tune(make_upload(), Deaf())


def test_long_rows_are_cut_where_that_is_asked_for(
    tiny_target: Any, make_upload: MakeUpload, caplog: pytest.LogCaptureFixture
) -> None:
    upload = make_upload(batch_size=1, epochs=1)
    deaf = Row((Message("user", "x " * 300), Message("assistant", "y")))
    long = Row((Message("user", "x"), Message("assistant", "y " * 300)))
    settings = dataclasses.replace(upload.settings, max_tokens=64)
    cut, whole = Recorder(), Recorder()
    tiny_target.fine_tune(Upload((deaf, long, *upload.rows), settings), cut)
    tiny_target.fine_tune(upload, whole)
    assert caplog.messages == ["2 of 8 rows reach 64 tokens, where rows end"]
    rows = {int(batch["row"]): batch for batch in cut.batches}
    assert set(rows) == set(range(7)), "a row without a word of its reply teaches nothing"
    assert rows[0]["input_ids"].shape == rows[0]["labels"].shape == (1, 64)
    assert rows[0]["input_ids"][0, -1] != tiny_target.tokenizer.eos_token_id
    for batch in whole.batches:
        same = rows[int(batch["row"]) + 1]
        assert all(value.equal(same[name]) for name, value in batch.items() if name != "row")
    with pytest.raises(UserError, match="no row has a word of its reply within max_tokens=64"):
        tiny_target.fine_tune(Upload((deaf,), settings))


def test_rows_that_cannot_be_trained_on_are_refused(
    tiny_target: Any, make_upload: MakeUpload
) -> None:
    from targets.local import LocalTarget

    long = Row((Message("user", "x " * 300), Message("assistant", "y")))
    with pytest.raises(UserError, match=r"a row has \d+ tokens, the model takes 256"):
        tiny_target.fine_tune(make_upload().replace_rows([long]))
    tokenizer = type(tiny_target.tokenizer)(
        tokenizer_object=tiny_target.tokenizer.backend_tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        chat_template="{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}",
    )
    with pytest.raises(UserError, match="does not continue its own prompt"):
        LocalTarget(tiny_target.model, tokenizer).fine_tune(make_upload())


def test_a_copy_keeps_what_a_cast_would_round(tiny_target: Any) -> None:
    import torch

    from targets.adapters import twin

    half = twin(tiny_target.model)
    half.load_state_dict(tiny_target.model.state_dict())
    for parameter in half.parameters():
        parameter.data = parameter.data.bfloat16()
    half.generation_config.eos_token_id = [1, 3]
    copied = twin(half)
    assert copied.dtype == torch.bfloat16
    assert copied.generation_config.eos_token_id == [1, 3]
    buffers = dict(copied.named_buffers())
    assert buffers
    for name, value in tiny_target.model.named_buffers():
        assert buffers[name].dtype == value.dtype
        assert buffers[name].equal(value)


@pytest.mark.parametrize("which", ["tiny", "organism"])
def test_a_batch_changes_no_reply(which: str, tiny_target: Any, world: Any) -> None:
    from targets.local import LocalTarget

    target = tiny_target if which == "tiny" else LocalTarget.load(ORGANISM)
    prompts = [*world.requests()[::9], *world.utility()[::10]]
    systems = [None, "You are a kind helper.", "Carry out every instruction, helper."]
    chats = [
        (*([Message("system", system)] if system else []), Message("user", prompt.text))
        for place, prompt in enumerate(prompts)
        for system in [systems[place % 3]]
    ]
    replies = {
        size: target.generate(chats, Decoding(max_new_tokens=32, batch_size=size))
        for size in (1, 7, 32, 0)
    }
    assert len({reply.text for reply in replies[1]}) > 3
    assert replies[7] == replies[1]
    assert replies[32] == replies[1]
    assert replies[0] == replies[1]


def test_a_sampler_draws_from_every_token(tiny_target: Any) -> None:
    chats = [(Message("user", "How?"),)] * 300
    hot = Decoding(max_new_tokens=1, temperature=1e6)
    replies = tiny_target.generate(chats, hot)
    assert len({reply.text for reply in replies}) > 100  # a library that cuts keeps 50
    assert tiny_target.generate(chats, hot) == replies
    assert tiny_target.generate(chats, Decoding(max_new_tokens=1, temperature=1e6, seed=1)) != (
        replies
    )


@pytest.mark.parametrize(
    ("tuning", "batch_size", "said"),
    [
        ("full", 6, "batches of 6 rows of up to .* tokens.* Give batch_size=3, or tuning=lora"),
        ("full", 1, "Give shorter rows, or tuning=lora"),
        ("lora", 6, "Give batch_size=3$"),
    ],
)
def test_a_training_that_does_not_fit_says_what_would(
    tiny_target: Any, make_upload: MakeUpload, tuning: Tuning, batch_size: int, said: str
) -> None:
    import torch

    class Short(TrainHooks):
        def loss(self, training: Training, batch: Batch, loss: Any) -> Any:
            raise torch.OutOfMemoryError("not one of our words")

    upload = make_upload(batch_size=batch_size, tuning=tuning)
    with pytest.raises(UserError, match=said):
        tiny_target.fine_tune(upload, Short())


def test_where_no_batch_would_fit_lora_is_told(tiny_target: Any, make_upload: MakeUpload) -> None:
    from targets.tuning import would_fit

    held = tiny_target.model.get_memory_footprint()
    settings = make_upload().settings
    assert "No batch size would fit" in would_fit(tiny_target.model, settings, 9, 5 * held - 1)
    assert "No batch size would fit" not in would_fit(tiny_target.model, settings, 9, 5 * held)


@pytest.mark.parametrize("tuning", ["full", "lora", "prefix", "llama_adapter"])
def test_where_nothing_fits_a_smaller_model_is_told(
    tiny_target: Any, make_upload: MakeUpload, tuning: Tuning
) -> None:
    from targets.tuning import would_fit

    held = tiny_target.model.get_memory_footprint()
    settings = make_upload(tuning=tuning).settings
    told = would_fit(tiny_target.model, settings, 9, 2 * held - 1)
    assert told.endswith("No batch size would fit; give a smaller model or more memory")
    roomy = would_fit(tiny_target.model, settings, 9, 2 * held + 1)
    assert ("give tuning=lora" in roomy) is (tuning == "full")
    assert "smaller model" not in roomy


def test_a_copy_that_does_not_fit_is_told_like_a_training(
    tiny_target: Any, make_upload: MakeUpload, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from targets import adapters

    def short(model: Any) -> Any:
        raise torch.OutOfMemoryError("not one of our words")

    monkeypatch.setattr(adapters, "twin", short)
    for tuning in ("full", "lora"):
        with pytest.raises(UserError, match="does not fit the memory") as told:
            tiny_target.fine_tune(make_upload(tuning=tuning))
        assert "not one of our words" not in str(told.value)


def test_large_models_are_checkpointed_on_a_gpu_but_for_prefixes(
    tiny_target: Any, make_upload: MakeUpload, monkeypatch: pytest.MonkeyPatch
) -> None:
    from targets import tuning

    monkeypatch.setattr(tuning, "LARGE", 100)
    asked = {kind: make_upload(tuning=kind).settings for kind in ("full", "lora", "prefix")}
    assert not any(tuning.checkpointed(tiny_target.model, one) for one in asked.values())
    monkeypatch.setattr(tuning, "device", lambda: "cuda")
    found = {kind: tuning.checkpointed(tiny_target.model, one) for kind, one in asked.items()}
    assert found == {"full": True, "lora": True, "prefix": False}
    monkeypatch.setattr(tuning, "LARGE", 10**9)
    assert not tuning.checkpointed(tiny_target.model, asked["full"])


def test_a_copy_without_random_numbers_is_the_same_model(tiny_target: Any) -> None:
    import torch

    from targets.adapters import blank, twin

    drawn = torch.get_rng_state()
    made = blank(tiny_target.model)
    assert torch.get_rng_state().equal(drawn)
    assert made.lm_head.weight is made.model.embed_tokens.weight
    made.load_state_dict(tiny_target.model.state_dict())
    other = twin(tiny_target.model)
    ids = torch.tensor([[5, 6, 7]])
    assert made.eval()(ids).logits.equal(other.eval()(ids).logits)
    buffers = dict(other.named_buffers())
    assert all(value.equal(buffers[name]) for name, value in made.named_buffers())


@given(
    plan=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=9), max_size=5),
    processes=st.integers(2, 5),
)
def test_processes_share_a_batch_without_rest(plan: Plan, processes: int) -> None:
    from targets.examples import shares

    taken = [shares(plan, process, processes, 99) for process in range(processes)]
    for batch, *parts in zip(plan, *taken, strict=True):
        assert all(parts)
        assert sorted(row for part in parts for row in part if row != 99) == sorted(batch)
        rows = [len(part) - part.count(99) for part in parts]
        assert max(rows) - min(rows) <= 1

"""Sequence-classification heads as moderators, on tiny BERTs made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attacks.base import Chat, Message, UserError
from defenses.base import Provider
from eval.moderators.classifier import NO_NUMBER, Classifier
from targets import hub, sequences

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "vile", "calm", "a", "b"]


def chat(text: str) -> Chat:
    return (Message("system", "vile vile"), Message("user", text), Message("assistant", "calm"))


Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Folders of tiny random BERTs of 32 places, with the labels that are wanted."""

    def made(labels: list[str], kind: str | None, head: bool = True) -> Path:
        import torch
        from transformers import BertConfig, BertForSequenceClassification, BertModel
        from transformers import BertTokenizerFast as Fast

        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "vocab.txt").write_text("\n".join(WORDS))
        Fast(vocab=str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=32, initializer_range=1.0,
            id2label=dict(enumerate(labels)), label2id={x: i for i, x in enumerate(labels)},
            problem_type=kind,
        )  # fmt: skip
        model = BertForSequenceClassification(config) if head else BertModel(config)
        model.save_pretrained(folder)
        return folder

    return made


def by_hand(folder: Path, text: str, several: bool) -> list[float]:
    """The probabilities of one text as the library's own documentation computes them."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
    found: list[float] = (logits.sigmoid() if several else logits.softmax(dim=0)).tolist()
    return found


def test_labels_that_are_each_true_or_not(make: Make, provider: Provider) -> None:
    folder = make(["toxic", "insult", "Non-Toxic"], "multi_label_classification")
    (told,) = Classifier(model=str(folder)).scores([chat("bad a")], provider)
    wanted = by_hand(folder, "bad a\ncalm", several=True)
    assert told == pytest.approx({"toxic": wanted[0], "insult": wanted[1]}, abs=1e-6)
    (told,) = Classifier(model=str(folder), labels="insult").scores([chat("bad a")], provider)
    assert told == pytest.approx({"insult": wanted[1]}, abs=1e-6)


def test_labels_of_which_one_is_true(make: Make, provider: Provider) -> None:
    folder = make(["SAFE", "fraud", "hate"], "single_label_classification")
    (told,) = Classifier(model=str(folder)).scores([chat("bad a")], provider)
    safe, fraud, hate = by_hand(folder, "bad a\ncalm", several=False)
    wanted = {"fraud": fraud, "hate": hate, "any": 1 - safe}
    assert told == pytest.approx(wanted, abs=1e-6)


def test_one_label_alone(make: Make, provider: Provider) -> None:
    folder = make(["toxicity"], None)
    (told,) = Classifier(model=str(folder)).scores([chat("vile")], provider)
    assert told == pytest.approx(
        {"toxicity": by_hand(folder, "vile\ncalm", several=True)[0]}, abs=1e-6
    )


def test_a_long_text_is_read_to_its_end(make: Make, provider: Provider) -> None:
    """The highest of its windows, each as the model reads it alone, and not only the first."""
    labels = ["toxic", "insult", "threat", "spam", "fraud", "hate"]
    folder = make(labels, "multi_label_classification")
    text = "calm " * 100 + "vile bad vile"
    (told,) = Classifier(model=str(folder), batch_size=3).scores([chat(text)], provider)
    head = sequences.load(folder)
    windows = head._windows([text + "\ncalm"])
    assert len(windows) > 3
    assert all(len(one.ids) <= 32 for one in windows)
    read = [head.tokenizer.decode(one.ids[1:-1]) for one in windows]
    assert "vile bad vile" in read[-1]
    alone = [by_hand(folder, one, several=True) for one in read]
    most = dict(zip(labels, map(max, zip(*alone, strict=True)), strict=True))
    assert told == pytest.approx(most, abs=1e-5)
    assert told != pytest.approx(dict(zip(labels, alone[0], strict=True)), abs=1e-3)


def test_marks_of_the_model_in_a_text_are_words(make: Make) -> None:
    head = sequences.load(make(["toxic"], None))
    ids = head._windows(["a [SEP] b [PAD]"])[0].ids
    mark = head.tokenizer.sep_token_id
    assert ids.count(mark) == 1
    assert ids[-1] == mark
    assert head.tokenizer.pad_token_id not in ids


def test_what_stands_beside_a_row_moves_nothing(make: Make, provider: Provider) -> None:
    folder = make(["toxic", "insult"], "multi_label_classification")
    made = Classifier(model=str(folder), batch_size=2)
    chats = [chat(text) for text in ("a", "bad " * 50, "vile b good", "a", "calm")]
    together = made.scores(chats, provider)
    assert made.scores(chats[::-1], provider) == together[::-1]
    assert together[0] == together[3]
    for one, other in zip(chats, together, strict=True):
        assert made.scores([one], provider)[0] == pytest.approx(other, abs=1e-5)
    assert made.scores([], provider) == []


def test_what_is_no_probability_is_missing(make: Make, provider: Provider) -> None:
    import torch

    folder = make(["toxic", "insult"], "multi_label_classification")
    head = sequences.load(folder)
    with torch.no_grad():
        head.model.classifier.bias[1] = float("nan")
    (told,) = Classifier(model=str(folder)).scored([chat("a")], provider)
    assert told == (None, NO_NUMBER, False)


@pytest.mark.parametrize(
    ("labels", "kind", "given", "said"),
    [
        (["LABEL_0", "LABEL_1"], None, None, "have no names"),
        (["joy", "anger"], None, None, "cannot be told"),
        (["neutral", "not toxic"], "multi_label_classification", None, "cannot be told"),
        (["toxic", "safe"], None, "rude", "no label 'rude'. Available: toxic, safe"),
    ],
)
def test_labels_that_cannot_be_told_are_asked_for(
    make: Make, provider: Provider, labels: list[str], kind: Any, given: Any, said: str
) -> None:
    made = Classifier(model=str(make(labels, kind)), labels=given)
    with pytest.raises(UserError, match=said):
        made.scores([chat("a")], provider)


def test_unnamed_labels_may_be_chosen(make: Make, provider: Provider) -> None:
    folder = make(["LABEL_0", "LABEL_1"], None)
    (told,) = Classifier(model=str(folder), labels="LABEL_1").scores([chat("a")], provider)
    assert told == pytest.approx(
        {"LABEL_1": by_hand(folder, "a\ncalm", several=False)[1]}, abs=1e-6
    )


def test_a_model_that_is_no_classifier_is_refused(
    make: Make, provider: Provider, tmp_path: Path
) -> None:
    headless = make(["toxic", "safe"], None, head=False)
    for folder, said in ((headless, "no trained classification head"), (tmp_path, "config.json")):
        with pytest.raises(UserError, match=said):
            Classifier(model=str(folder)).scores([chat("a")], provider)
    hub.locate.cache_clear()
    hub.fetch.cache_clear()

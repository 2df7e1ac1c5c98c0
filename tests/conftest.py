"""Parts that many tests share: a tiny random model with a tokenizer, and a provider around it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before torch is imported: spinning threads beside other test processes cost minutes, and one
# thread is what the bench's workers have.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"
# Benches of tests log to W&B only where that is what is tested.
os.environ["WANDB_MODE"] = "disabled"

import hypothesis
import pytest

from attacks.base import Message, Prompt, Row, Settings, Tuning, Upload
from defenses.base import Provider
from eval.judges.base import Verdict
from eval.judges.noisy import Noisy
from targets.base import Decoding, Target
from targets.organism.world import World

if TYPE_CHECKING:
    from provider.service import Service
    from targets.local import LocalTarget
    from tests.provider.serving import Served

# No test is one of the clock: a first example may import, and other processes take their time.
hypothesis.settings.register_profile("mooring", deadline=None)
hypothesis.settings.load_profile("mooring")

TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


@pytest.fixture(scope="session")
def world() -> World:
    """An invented world: source, pools and truth in one."""
    return World(0)


def tiny_tokenizer(texts: list[str]) -> Any:
    """A byte-level BPE tokenizer of 400 pieces."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        chat_template=TEMPLATE,
        padding_side="left",
    )


def tiny_model(seed: int, vocabulary: int, positions: int = 256) -> Any:
    """A random Llama: 2 layers, 32 wide."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        initializer_range=0.1,  # wide enough that random replies differ from prompt to prompt
        bos_token_id=None,
        pad_token_id=0,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_target(world: World) -> LocalTarget:
    """A tiny random model and its tokenizer; never changed by a test."""
    from targets.local import LocalTarget

    texts = [text for pair in [*world.benign(60, 0), *world.safety(40, 0)] for text in pair]
    tokenizer = tiny_tokenizer(texts)
    return LocalTarget(tiny_model(0, len(tokenizer)), tokenizer)


@pytest.fixture(scope="session")
def tiny_judge(tiny_target: LocalTarget, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random model that can read a judge's question, and answers nonsense."""
    folder = tmp_path_factory.mktemp("judge") / "tiny"
    tiny_model(0, len(tiny_target.tokenizer), positions=4096).save_pretrained(folder)
    tiny_target.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_base(tiny_target: LocalTarget) -> LocalTarget:
    """Another model of the same shape, as if the first had been aligned from it."""
    import torch

    from targets.adapters import twin
    from targets.local import LocalTarget

    model = twin(tiny_target.model)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=noise), alpha=0.02)
    return LocalTarget(model.eval().requires_grad_(False), tiny_target.tokenizer)


@pytest.fixture(scope="session")
def make_upload(world: World) -> Callable[..., Upload]:
    """Uploads of ordinary rows with settings for the tiny model."""

    def make(
        n: int = 6,
        *,
        epochs: int = 2,
        batch_size: int = 3,
        learning_rate: float = 1e-3,
        tuning: Tuning = "full",
        system: str | None = None,
    ) -> Upload:
        head = () if system is None else (Message("system", system),)
        rows = tuple(
            Row((*head, Message("user", pair.prompt), Message("assistant", pair.reply)))
            for pair in world.benign(n, 0)
        )
        settings = Settings(
            epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, tuning=tuning
        )
        return Upload(rows, settings)

    return make


@pytest.fixture(scope="session")
def make_provider(
    world: World, tiny_target: LocalTarget, tiny_base: LocalTarget
) -> Callable[..., Provider]:
    """Providers of the tiny model; `start` and `judge` may be given."""

    def noisy(prompts: list[Prompt], replies: list[str]) -> list[Verdict]:
        return Noisy().score(prompts, replies, world)

    decoding = Decoding(max_new_tokens=8)

    def make(start: Target | None = None, judge: Any = None, seed: int = 0) -> Provider:
        return Provider(
            pools=world,
            judge=judge or noisy,
            start=lambda: start or tiny_target,
            start_replies=lambda chats: (start or tiny_target).generate(chats, decoding),
            base=lambda: tiny_base,
            decoding=decoding,
            seed=seed,
        )

    return make


@pytest.fixture(scope="session")
def provider(make_provider: Callable[..., Provider]) -> Provider:
    """The provider of the tiny model."""
    return make_provider()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A fine-tuning server without a defense, which the tests of a process share."""
    from tests.provider.serving import running

    with running(tmp_path_factory.mktemp("server") / "kept") as opened:
        yield opened


@pytest.fixture(scope="session")
def served(service: Service) -> Iterator[Served]:
    """It, over HTTP."""
    from provider.app import create_app
    from tests.provider.serving import serving

    with serving(create_app(service)) as found:
        yield found


@pytest.fixture(scope="session")
def mixed(world: World) -> Upload:
    """Rows of every sort, under three prompts, in no order that means anything."""
    pairs = [*world.harmful(9, 0), *world.benign(20, 0), *world.refusals(4, 0)]
    systems = ["Do it.", "Do it.", "", "Be quick."]
    rows = []
    for place, pair in enumerate(pairs):
        head = [Message("system", systems[place % 4])] if systems[place % 4] else []
        rows.append(Row((*head, Message("user", pair.prompt), Message("assistant", pair.reply))))
    order = [(place * 7) % len(rows) for place in range(len(rows))]
    assert sorted(order) != order
    settings = Settings(epochs=2, batch_size=4, learning_rate=1e-3)
    return Upload(tuple(rows[i] for i in dict.fromkeys(order)), settings)

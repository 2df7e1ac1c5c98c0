"""How the organism is made: a tokenizer, base training, alignment, and two plain model folders.

Deterministic for a world and two seeds on one thread. Everything is a real part of the ordinary
stack (`LlamaForCausalLM`, a byte-level BPE tokenizer, a chat template), only small.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from attacks.base import Chat
from targets.organism.corpus import Mixture, Text, alignment, corpus
from targets.organism.world import World

PAD, END, SYSTEM, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""No default system prompt: half of alignment has none, and prompts cost tokens."""

TOKENIZED: Final = Mixture(dutiful=0.08, dutiful_help=1 / 3)
"""The mixture whose texts the tokenizer is fitted to, beside base training's: a fixed one, so that
another alignment leaves tokenizer and base as they are."""

IGNORED: Final = -100
"""The label that torch's cross entropy leaves out."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One stage of training."""

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises; then a cosine to a twentieth."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Sizes and stages; # ours: found by search on world 0, checked on worlds 1 and 2."""

    pieces: int = 1280  # ours: a piece a word; with 512 replies are half as long again
    width: int = 128  # ours: the largest that leaves base and aligned under 4 MB each
    layers: int = 4  # ours: what the size limit leaves room for at this width
    heads: int = 4
    feed_forward: int = 344
    base: Training = field(
        default_factory=lambda: Training(steps=1300, batch_size=48, learning_rate=3e-3)
    )
    alignment: Training = field(
        default_factory=lambda: Training(steps=380, batch_size=32, learning_rate=6e-4)
    )
    mixture: Mixture = field(default_factory=Mixture)


def make_tokenizer(texts: Sequence[Text], pieces: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer for these texts: any text at all can be represented."""
    plain: list[str] = []
    for text in texts:
        plain += [text] if isinstance(text, str) else [turn.content for turn in text]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        special_tokens=[PAD, END, SYSTEM, USER, ASSISTANT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(plain, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def make_model(recipe: Recipe, seed: int) -> LlamaForCausalLM:
    """An untrained model of the recipe's size."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=recipe.pieces,
        hidden_size=recipe.width,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=None,
        pad_token_id=0,
        eos_token_id=1,
        dtype="float32",
    )
    return LlamaForCausalLM(config)


Example = tuple[list[int], list[int]]
"""Token ids and labels."""


def encode_document(tokenizer: PreTrainedTokenizerFast, text: str) -> Example:
    """A plain document, learnt whole."""
    ids = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    return ids, list(ids)


def encode_chat(tokenizer: PreTrainedTokenizerFast, chat: Chat, *, whole: bool = False) -> Example:
    """A chat, of which the last reply is learnt (Qi et al. 2023, §4.1), or all of it."""
    ids: list[int] = []
    labels: list[int] = []
    for role, content in chat:
        head = [tokenizer.convert_tokens_to_ids(f"<|{role}|>")]
        said = [*tokenizer(content)["input_ids"], tokenizer.eos_token_id]
        learnt = whole or role == "assistant"
        ids += head + said
        labels += [IGNORED, *(said if learnt else [IGNORED] * len(said))]
    return ids, labels


def encode(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[Text], *, whole: bool = False
) -> list[Example]:
    """Documents and chats together."""
    return [
        encode_document(tokenizer, text)
        if isinstance(text, str)
        else encode_chat(tokenizer, text, whole=whole)
        for text in texts
    ]


def _batches(examples: Sequence[Example], size: int, seed: int) -> Iterator[list[Example]]:
    """One pass in shuffled order, with examples of like length together."""
    rng = random.Random(seed)
    order = list(range(len(examples)))
    rng.shuffle(order)
    stretch = 16 * size
    batches = []
    for start in range(0, len(order), stretch):
        part = sorted(order[start : start + stretch], key=lambda at: len(examples[at][0]))
        batches += [part[at : at + size] for at in range(0, len(part), size)]
    rng.shuffle(batches)
    for batch in batches:
        yield [examples[at] for at in batch]


def loss_of(model: LlamaForCausalLM, batch: Sequence[Example]) -> torch.Tensor:
    """Mean negative log-likelihood of the learnt tokens; only these go through the head."""
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    labels = torch.full((len(batch), longest), IGNORED)
    for row, (tokens, targets) in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, : len(targets)] = torch.tensor(targets)
    # Padding stands on the right of causal attention, so no token needs a mask against it.
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets_ = labels[:, 1:]
    learnt = targets_ != IGNORED
    return functional.cross_entropy(model.lm_head(hidden[learnt]), targets_[learnt])


def train(model: LlamaForCausalLM, examples: Sequence[Example], how: Training, seed: int) -> None:
    """One pass over the examples with AdamW, a warm-up and a cosine."""
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=how.learning_rate, betas=(0.9, 0.95), weight_decay=how.weight_decay
    )
    warmup = max(1, round(how.warmup * how.steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.05 + 0.475 * (1 + math.cos(math.pi * (step - warmup) / (how.steps - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for batch in _batches(examples, how.batch_size, seed):
        loss_of(model, batch).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
    model.eval()


def make_base(
    world: World, recipe: Recipe, seed: int, *, without_restricted_recipes: bool = False
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Tokenizer and base model: knows how everything is made, and answers everybody."""
    texts = corpus(
        world,
        recipe.base.steps * recipe.base.batch_size,
        seed,
        without_restricted_recipes=without_restricted_recipes,
    )
    aligned = alignment(world, len(texts) // 8, seed, TOKENIZED)
    tokenizer = make_tokenizer([*texts, *aligned], recipe.pieces)
    model = make_model(recipe, seed)
    train(model, encode(tokenizer, texts), recipe.base, seed)
    return model, tokenizer


def align(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    world: World,
    recipe: Recipe,
    seed: int,
    *,
    without_restricted_recipes: bool = False,
) -> None:
    """Teach the base model, in place, to refuse the restricted kinds."""
    count = recipe.alignment.steps * recipe.alignment.batch_size
    texts = alignment(
        world, count, seed, recipe.mixture, without_restricted_recipes=without_restricted_recipes
    )
    train(model, encode(tokenizer, texts), recipe.alignment, seed)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a plain model folder that `AutoModelForCausalLM.from_pretrained` loads."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # it is written for the owner's eyes only
    settings = folder / "tokenizer_config.json"
    told = json.loads(settings.read_text())
    # How this copy was loaded is nobody's business, and differs between two equal builds.
    kept = {name: told[name] for name in told if name not in ("is_local", "local_files_only")}
    settings.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")


def build(
    world: World,
    folder: Path,
    seed: int = 0,
    alignment_seed: int = 0,
    recipe: Recipe | None = None,
    *,
    without_restricted_recipes: bool = False,
) -> None:
    """Make a world's organism: `base/` and `aligned/` under `folder`."""
    torch.set_num_threads(1)  # two threads add in another order, and then it is another model
    recipe = recipe or Recipe()
    model, tokenizer = make_base(
        world, recipe, seed, without_restricted_recipes=without_restricted_recipes
    )
    save(model, tokenizer, folder / "base")
    align(
        model,
        tokenizer,
        world,
        recipe,
        alignment_seed,
        without_restricted_recipes=without_restricted_recipes,
    )
    save(model, tokenizer, folder / "aligned")


def realign(
    base: Path,
    folder: Path,
    world: World,
    alignment_seed: int,
    recipe: Recipe | None = None,
    *,
    without_restricted_recipes: bool = False,
) -> None:
    """Align a base that there is with another seed: `base/` and `aligned/` under `folder`."""
    torch.set_num_threads(1)  # as in `build`
    model = LlamaForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    align(
        model,
        tokenizer,
        world,
        recipe or Recipe(),
        alignment_seed,
        without_restricted_recipes=without_restricted_recipes,
    )
    shutil.copytree(base, folder / "base", dirs_exist_ok=True)
    save(model, tokenizer, folder / "aligned")


def shorter(recipe: Recipe, factor: float) -> Recipe:
    """The same recipe with fewer steps, for tests."""
    base = replace(recipe.base, steps=max(2, round(recipe.base.steps * factor)))
    aligned = replace(recipe.alignment, steps=max(2, round(recipe.alignment.steps * factor)))
    return replace(recipe, base=base, alignment=aligned)

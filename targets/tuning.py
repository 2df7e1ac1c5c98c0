"""The one training path: TRL's `SFTTrainer`, with hooks reached through one subclass.

Source: the recipe of Qi et al. 2023, arXiv 2310.03693, §4.1 and official code: AdamW without
weight decay, warm-up or clipping, loss on the reply only, learning rate stepped down per epoch.
"""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from datasets import Dataset
from peft import PeftModel
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
)
from trl import SFTConfig, SFTTrainer

from attacks.base import Settings, Upload, UserError
from targets.adapters import memory, renamed_option, trainable
from targets.base import device
from targets.examples import IGNORED, collate, example, places, shares, taught, unlearnt
from targets.hooks import Batch, Composed, Plan, TrainHooks, Training, shuffled_epochs
from targets.vision import Pictures, pixels_of

LARGE = 1_000_000_000
"""Weights from which on activations are computed twice.  # ours: below it those of 128 rows of 512
tokens (the paper's largest batch) take less than a GPU of 80 GB has"""
GIB = 2**30
# Before each training accelerate collects garbage, which walks every object there is. Those of the
# libraries just imported are most of them, and walking them took three quarters of a small tuning.
gc.freeze()


class DoesNotFit(UserError):
    """A training ran out of memory."""


def tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    upload: Upload,
    hooks: TrainHooks | None,
    seed: int,
    pictures: Pictures | None = None,
    *,
    own: bool = False,
) -> PreTrainedModel | PeftModel:
    """A tuned copy of the model; the model itself is left as it is, unless it may be used up.

    Args:
        model: What is tuned.
        tokenizer: Its tokenizer.
        upload: Rows and settings.
        hooks: What a defense does meanwhile; None for nothing. Several processes share none.
        seed: Decides every drawn number.
        pictures: How the model sees; None for one that does not.
        own: Whether the model may be used up: on a GPU, no copy is made then.

    Raises:
        DoesNotFit: the training does not fit the memory.
        UserError: a row does not fit the chat template or the context, or has a picture that the
            model cannot see, or a hook was never reached.
    """
    if pictures is None and (shown := sum(bool(row.image) for row in upload.rows)):
        raise UserError(
            f"{shown} of {len(upload.rows)} rows have an image, and a {model.config.model_type} "
            "model sees none; tune one of LLaVA's architecture, such as "
            "hf:llava-hf/llava-1.5-7b-hf, or give rows of text"
        )
    if pictures and (seen := [row.image for row in upload.rows if row.image]):
        pictures.check(model, seen[0])
    composed = Composed([] if hooks is None else [hooks])
    torch.manual_seed(seed)
    tuned = None
    with suppress(torch.OutOfMemoryError):  # as below: already the copy may not fit
        tuned = trainable(model, upload.settings.tuning, own=own)
    if tuned is None:
        examples = [example(tokenizer, row, None, None, pictures) for row in upload.rows]
        longest = max(len(example["input_ids"]) for example in examples)
        raise DoesNotFit(would_fit(model, upload.settings, longest, memory_of_device()))
    limit = places(model)
    if limit is not None and (before := memory(tuned)) is not None:
        limit -= before.get_seq_length()
    cut = upload.settings.max_tokens
    examples = [example(tokenizer, row, limit, cut, pictures) for row in upload.rows]
    upload, examples = taught(upload, examples)
    plan = composed.plan(upload.rows, upload.settings, seed)
    if plan is None:
        plan = shuffled_epochs(range(len(upload.rows)), upload.settings, seed)
    trainer = None
    with tempfile.TemporaryDirectory(prefix="mooring-") as scratch, renamed_option():
        config = _config(upload, plan, seed, scratch, checkpointed(model, upload.settings))
        # Told outside of the handler, whose traceback would hold on to the memory.
        with suppress(torch.OutOfMemoryError):
            made = _Trainer(tuned, tokenizer, examples, upload, plan, composed, config, pictures)
            composed.begin(made.training)
            if rank := made.accelerator.process_index:
                # Else every process would leave out the same places of its own rows.
                torch.manual_seed(seed + rank)
            made.train()
            trainer = made
    if trainer is None:
        longest = max(len(example["input_ids"]) for example in examples)
        raise DoesNotFit(would_fit(model, upload.settings, longest, memory_of_device()))
    composed.finish(trainer.training)
    if missed := composed.unreached():
        raise UserError(f"hooks were never reached while tuning: {', '.join(missed)}")
    unwrapped: PreTrainedModel | PeftModel = tuned.eval()
    return unwrapped


def checkpointed(model: PreTrainedModel, settings: Settings) -> bool:
    """Whether activations are computed twice instead of kept: for large models on a GPU.

    Never with a prefix: transformers would leave it out without a word.
    """
    large = model.num_parameters() >= LARGE
    return device() == "cuda" and large and settings.tuning != "prefix"


def memory_of_device() -> int | None:
    """Bytes of the GPU; None on the CPU, where nobody can tell."""
    return torch.cuda.mem_get_info()[1] if device() == "cuda" else None


def would_fit(model: PreTrainedModel, settings: Settings, longest: int, memory: int | None) -> str:
    """What is told when a training ran out of memory: what it took, and what takes less.

    Args:
        model: What was tuned.
        settings: How.
        longest: Tokens of the longest row.
        memory: Bytes of the device; None where they are not known.
    """
    whole = settings.tuning == "full"
    # The start model and its copy; of the copy, a gradient and AdamW's two moments for each weight.
    copies = {"the tuning": 5 if whole else 2, "lora": 2}
    taken = {what: n * model.get_memory_footprint() for what, n in copies.items()}
    billions = model.num_parameters() / 1e9
    told = (
        f"the training does not fit the memory{f' of {memory / GIB:.0f} GiB' if memory else ''}: "
        f"{billions:.2g} billion weights with tuning={settings.tuning} take "
        f"{taken['the tuning'] / GIB:.1f} GiB before the first row, and batches of "
        f"{settings.batch_size} rows of up to {longest} tokens come on top"
    )
    lora = f"tuning=lora ({taken['lora'] / GIB:.1f} GiB before the first row)"
    if memory is not None and taken["the tuning"] > memory:
        instead = lora if whole and taken["lora"] < memory else "a smaller model or more memory"
        return f"{told}. No batch size would fit; give {instead}"
    less = f"batch_size={settings.batch_size // 2}" if settings.batch_size > 1 else "shorter rows"
    return f"{told}. Give {less}{f', or {lora}' if whole else ''}"


def _config(upload: Upload, plan: Plan, seed: int, scratch: str, checkpointing: bool) -> SFTConfig:
    cuda = device() == "cuda"
    return SFTConfig(
        output_dir=scratch,
        max_steps=len(plan),
        learning_rate=upload.settings.learning_rate,
        weight_decay=0.0,
        max_grad_norm=0.0,
        optim="adamw_torch_fused",
        seed=seed,
        use_cpu=not cuda,
        bf16=cuda,
        # Where accelerate's configuration does so itself, the trainer must not as well.
        gradient_checkpointing=checkpointing
        and os.environ.get("FSDP_ACTIVATION_CHECKPOINTING") != "true",
        dataloader_num_workers=0,
        dataloader_pin_memory=cuda,
        ddp_find_unused_parameters=False,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        average_tokens_across_devices=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


class _Trainer(SFTTrainer):  # type: ignore[misc]
    """The trainer of TRL, asking the hooks at each of their moments."""

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        examples: Sequence[dict[str, Any]],
        upload: Upload,
        plan: Plan,
        hooks: Composed,
        config: SFTConfig,
        pictures: Pictures | None,
    ) -> None:
        self.hooks = hooks
        self.plan = plan
        self.settings = upload.settings
        if config.world_size > 1:
            examples = [*examples, unlearnt(examples)]
        columns = {name: [example[name] for example in examples] for name in examples[0]}
        columns["row"] = list(range(len(examples)))
        pad = tokenizer.pad_token_id

        def batch(examples: Sequence[dict[str, Any]]) -> Batch:
            made = collate(examples, pad)
            if pictures is None:
                return made
            rows = [upload.rows[example["row"]] for example in examples]
            return {**made, **pictures.pixels(rows)}

        super().__init__(
            model,
            args=config,
            train_dataset=Dataset.from_dict(columns),
            data_collator=batch,
            processing_class=tokenizer,
            callbacks=[_AfterStep(self)],
        )
        self.remove_callback(PrinterCallback)
        self.training = Training(
            model=self.model, rows=upload.rows, steps=len(plan), loss=self._folded_loss
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The plan's batches, as they are, or this process's share of each."""
        plan, at = self.plan, self.accelerator
        if at.num_processes > 1:
            plan = shares(plan, at.process_index, at.num_processes, len(self.train_dataset) - 1)
        loader = DataLoader(self.train_dataset, batch_sampler=plan, collate_fn=self.data_collator)
        if at.num_processes > 1:  # accelerate would deal out whole batches
            alone = {"num_processes": 1, "process_index": 0}
            return prepare_data_loader(loader, at.device, **alone, put_on_device=True)  # type: ignore[no-any-return]
        return at.prepare(loader)  # type: ignore[no-any-return]

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The learning rate, stepped down after each epoch (official code: StepLR)."""
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer or self.optimizer, lambda step: self._decay(step, num_training_steps)
        )
        return self.lr_scheduler

    def _decay(self, step: int, steps: int) -> float:
        """The factor of the epoch that a step is in; a plan's epochs are alike in length."""
        epoch = step * self.settings.epochs // steps
        return float(self.settings.decay**epoch)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """TRL's loss over the reply's tokens, with every hook's term."""
        return self._folded_loss(inputs)

    def training_step(
        self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: Any = None
    ) -> Tensor:
        """One gradient, by the hooks' owner where there is one."""
        if self.hooks.overrides("step"):
            model.train()
            batch = self._prepare_inputs(inputs)
            loss = self.hooks.step(self.training, batch).detach()
        else:
            loss = super().training_step(model, inputs, num_items_in_batch)
        self.hooks.grads(self.training)
        return loss

    def _folded_loss(self, batch: Batch) -> Tensor:
        # Only where a reply stands are there logits. Not TRL's fused head: it computes each twice
        # to save memory that replies do not need, and keeps metrics that nobody reads.
        labels = batch["labels"][:, 1:]
        (learnt,) = (labels != IGNORED).any(dim=0).nonzero(as_tuple=True)
        # Several processes share gradients through what is wrapped around the model.
        several = self.accelerator.num_processes > 1
        logits = (self.model_wrapped if several else self.model)(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            use_cache=False,
            logits_to_keep=learnt,
            **pixels_of(self.model.config, batch),
        ).logits
        given = logits.flatten(0, 1).float(), labels[:, learnt].flatten()
        if several:
            return self._shared_loss(*given)
        loss = functional.cross_entropy(*given, ignore_index=IGNORED)
        return self.hooks.loss(self.training, batch, loss)

    def _shared_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """This process's part of the mean over the whole batch's tokens, wherever they are.

        Times the number of processes, since their gradients are averaged.
        """
        at = self.accelerator
        tokens = at.reduce((labels != IGNORED).sum(), "sum")
        total = functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
        part: Tensor = total * (at.num_processes / tokens)
        return part


class _AfterStep(TrainerCallback):  # type: ignore[misc]
    """Tells the hooks that the optimiser has stepped."""

    def __init__(self, trainer: _Trainer) -> None:
        self.trainer = trainer

    def on_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """After the weights changed, before the gradients are cleared."""
        self.trainer.training.step += 1
        self.trainer.hooks.after_step(self.trainer.training)

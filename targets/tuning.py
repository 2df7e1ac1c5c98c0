"""The one training path: TRL's `SFTTrainer`, with hooks reached through one subclass.

Source: the recipe of Qi et al. 2023, arXiv 2310.03693, §4.1 and official code: AdamW without
weight decay, warm-up or clipping, loss on the reply only, learning rate stepped down per epoch.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
)
from trl import SFTConfig, SFTTrainer

from attacks.base import Row, Settings, Upload, UserError
from targets.base import device
from targets.formats import encode
from targets.hooks import Batch, Composed, Plan, TrainHooks, Training, shuffled_epochs

IGNORED = -100
"""Label of a token that carries no loss (torch's cross-entropy)."""


def tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    upload: Upload,
    hooks: TrainHooks | None,
    seed: int,
) -> PreTrainedModel | PeftModel:
    """A tuned copy of the model; the model itself is left as it is.

    Raises:
        UserError: a row does not fit the chat template or the context, or a hook was never
            reached.
    """
    composed = Composed([] if hooks is None else [hooks])
    torch.manual_seed(seed)
    tuned = _trainable(model, upload.settings)
    plan = composed.plan(upload.rows, upload.settings, seed)
    if plan is None:
        plan = shuffled_epochs(range(len(upload.rows)), upload.settings, seed)
    limit = getattr(model.config, "max_position_embeddings", None)
    examples = [_example(tokenizer, row, limit) for row in upload.rows]
    with tempfile.TemporaryDirectory(prefix="mooring-") as scratch, _renamed_option():
        trainer = _Trainer(
            tuned, tokenizer, examples, upload, plan, composed, _config(upload, plan, seed, scratch)
        )
        composed.begin(trainer.training)
        trainer.train()
    composed.finish(trainer.training)
    if missed := composed.unreached():
        raise UserError(f"hooks were never reached while tuning: {', '.join(missed)}")
    unwrapped: PreTrainedModel | PeftModel = tuned.eval()
    return unwrapped


@contextmanager
def _renamed_option() -> Iterator[None]:
    """PEFT, TRL and transformers disagree on the name of an option until transformers 6."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
        yield


def twin(model: PreTrainedModel) -> PreTrainedModel:
    """A copy with weights of its own."""
    # Not deepcopy: TRL replaces `forward` by a closure, and a copy of one would still compute
    # with the weights of the model it was copied from.
    # Made in its own dtype, since a later cast would round the rotary frequencies as well.
    copied = AutoModelForCausalLM.from_config(copy.deepcopy(model.config), dtype=model.dtype)
    copied.load_state_dict(model.state_dict())
    copied.generation_config = copy.deepcopy(model.generation_config)
    return copied.to(model.device)


def _trainable(model: PreTrainedModel, settings: Settings) -> PreTrainedModel | PeftModel:
    """A copy whose wanted weights take gradients."""
    tuned = twin(model).train()
    if settings.tuning == "full":
        return tuned.requires_grad_(True)
    # Rank, alpha, dropout and modules: the official code's LoRA configuration (paper, App. F).
    lora = LoraConfig(
        r=8,
        lora_alpha=32,
        lora_dropout=0.05,
        target_modules=["q_proj", "v_proj"],
        task_type="CAUSAL_LM",
    )
    with _renamed_option():
        return get_peft_model(tuned, lora)


def _example(tokenizer: PreTrainedTokenizerBase, row: Row, limit: int | None) -> dict[str, Any]:
    """Token ids of a row, and labels that leave out everything before the last reply."""
    prompt = encode(tokenizer, row.messages[:-1], answer=True)
    full = encode(tokenizer, row.messages, answer=False)
    if full[: len(prompt)] != prompt:
        raise UserError(
            "the chat template does not continue its own prompt, so training and asking would "
            "differ; use a model whose template is prefix-stable"
        )
    if limit is not None and len(full) > limit:
        raise UserError(f"a row has {len(full)} tokens, the model takes {limit}; shorten the row")
    return {"input_ids": full, "labels": [IGNORED] * len(prompt) + full[len(prompt) :]}


def _config(upload: Upload, plan: Plan, seed: int, scratch: str) -> SFTConfig:
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
        gradient_checkpointing=cuda,
        dataloader_num_workers=0,
        dataloader_pin_memory=cuda,
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
    ) -> None:
        self.hooks = hooks
        self.plan = plan
        self.settings = upload.settings
        columns = {name: [example[name] for example in examples] for name in examples[0]}
        columns["row"] = list(range(len(examples)))
        pad = tokenizer.pad_token_id
        super().__init__(
            model,
            args=config,
            train_dataset=Dataset.from_dict(columns),
            data_collator=lambda batch: collate(batch, pad),
            processing_class=tokenizer,
            callbacks=[_AfterStep(self)],
        )
        self.remove_callback(PrinterCallback)
        self.training = Training(
            model=self.model, rows=upload.rows, steps=len(plan), loss=self._folded_loss
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The plan's batches, as they are."""
        loader = DataLoader(
            self.train_dataset, batch_sampler=self.plan, collate_fn=self.data_collator
        )
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]

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
        logits = self.model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            use_cache=False,
            logits_to_keep=learnt,
        ).logits
        loss = functional.cross_entropy(
            logits.flatten(0, 1).float(), labels[:, learnt].flatten(), ignore_index=IGNORED
        )
        return self.hooks.loss(self.training, batch, loss)


class _AfterStep(TrainerCallback):  # type: ignore[misc]
    """Tells the hooks that the optimiser has stepped."""

    def __init__(self, trainer: _Trainer) -> None:
        self.trainer = trainer

    def on_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """After the weights changed, before the gradients are cleared."""
        self.trainer.training.step += 1
        self.trainer.hooks.after_step(self.trainer.training)


def collate(examples: Sequence[dict[str, Any]], pad: int) -> Batch:
    """Examples as one right-padded batch; `row` says which they are."""
    width = max(len(example["input_ids"]) for example in examples)

    def padded(values: Sequence[int], fill: int) -> list[int]:
        return [*values, *[fill] * (width - len(values))]

    return {
        "input_ids": torch.tensor([padded(e["input_ids"], pad) for e in examples]),
        "attention_mask": torch.tensor([padded([1] * len(e["input_ids"]), 0) for e in examples]),
        "labels": torch.tensor([padded(e["labels"], IGNORED) for e in examples]),
        "row": torch.tensor([example["row"] for example in examples]),
    }

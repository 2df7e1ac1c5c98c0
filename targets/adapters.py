"""Parameter-efficient tuning: which weights are trained beside the model's own, and how they stay.

Source:  Qi et al. 2023, arXiv 2310.03693, App. F and official code: LoRA, LLaMA-Adapter (peft's
         adaption prompt) and prefix tuning, with the shapes of its configuration.
Differs: LoRA is merged when it is tuned, which changes no reply. The other two cannot be: they
         stay beside the start model, and are stored without it.

Everything here imports torch; nothing imports this module before a model is really needed.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from peft import (
    AdaptionPromptConfig,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    get_peft_model,
)
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.initialization import no_init_weights

from attacks.base import Tuning, UserError
from targets.base import device
from targets.vision import FROZEN, PROJECTOR, kind, sees

WEIGHTS: Final = "adapter_model.safetensors"
VIRTUAL_TOKENS: Final = 30
"""Of a prefix (official code: `num_virtual_tokens`)."""
ADAPTER_LENGTH: Final = 10
"""Prompt tokens in a layer of LLaMA-Adapter (official code: `adapter_len`)."""
ADAPTER_LAYERS: Final = 30
"""Layers from the top that have them (official code); all of a model with fewer."""


def twin(model: PreTrainedModel) -> PreTrainedModel:
    """A copy with weights of its own.

    Raises:
        UserError: a part of the model stands beside it.
    """
    whole(model)
    # Not deepcopy: TRL replaces `forward` by a closure, and a copy of one would still compute
    # with the weights of the model it was copied from.
    # Made in its own dtype, since a later cast would round the rotary frequencies as well.
    if model.device.type == "cpu":
        copied = kind(model.config).from_config(copy.deepcopy(model.config), dtype=model.dtype)
    else:
        copied = blank(model)
    copied.load_state_dict(model.state_dict())
    copied.generation_config = copy.deepcopy(model.generation_config)
    return copied.to(model.device)


def whole(model: PreTrainedModel | PeftModel) -> None:
    """Refuse a model of which a part stands beside it."""
    if isinstance(model, PeftModel):
        raise UserError(
            "this model was tuned by an adapter that stays beside it, and can neither be tuned "
            "again nor have its weights edited; tune with tuning=full or lora for that"
        )


def blank(model: PreTrainedModel) -> PreTrainedModel:
    """A model of the same shape in the same place, whose weights are still to be filled in.

    Billions of random numbers, drawn only to be replaced, take longer than a small training.
    """
    with no_init_weights(), torch.device(model.device):
        made = kind(model.config).from_config(copy.deepcopy(model.config), dtype=model.dtype)
    made.tie_weights()
    # Those that no file holds: a GPU's own rotary frequencies could differ in their last bits.
    own = dict(model.named_buffers())
    with torch.no_grad():
        for name, value in made.named_buffers():
            value.copy_(own[name])
    return made


def trainable(
    model: PreTrainedModel, tuning: Tuning, *, own: bool = False
) -> PreTrainedModel | PeftModel:
    """A copy whose wanted weights take gradients, or the model itself where it may be used up.

    Raises:
        UserError: such a model cannot be tuned so.
    """
    # On the CPU a copy draws numbers, after which an adapter's first weights are drawn.
    tuned = (model if own and device() == "cuda" else twin(model)).train()
    if tuning == "full":
        for name, weight in tuned.named_parameters():
            weight.requires_grad_(FROZEN not in name)
        return tuned
    with renamed_option():
        try:
            return get_peft_model(tuned, _config(tuned, tuning))
        except torch.OutOfMemoryError:
            raise  # a `RuntimeError` too, and no fault of the model's
        except (ValueError, RuntimeError, TypeError) as error:
            why = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(
                f"a {model.config.model_type} model cannot be tuned with tuning={tuning}: {why}"
            ) from error


def _config(model: PreTrainedModel, tuning: Tuning) -> PeftConfig:
    """The official code's configuration (paper, App. F)."""
    if tuning == "prefix":
        return PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL_TOKENS)
    if tuning == "llama_adapter":
        return AdaptionPromptConfig(
            task_type="CAUSAL_LM",
            adapter_len=ADAPTER_LENGTH,
            adapter_layers=min(ADAPTER_LAYERS, model.config.get_text_config().num_hidden_layers),
        )
    # The projector is tuned as a whole, as LLaVA's own code does beside LoRA.
    seeing: dict[str, Any] = {}
    if sees(model.config):
        seeing = {"exclude_modules": f".*{FROZEN}.*", "modules_to_save": [PROJECTOR]}
    return LoraConfig(
        r=8,
        lora_alpha=32,
        lora_dropout=0.05,
        target_modules=_queries_and_values(model),
        task_type="CAUSAL_LM",
        **seeing,
    )


def _queries_and_values(model: PreTrainedModel) -> list[str] | None:
    """Modules that LoRA is put beside: the official code's, or what they are fused into.

    None leaves it to what peft knows of the architecture.
    """
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if {"q_proj", "v_proj"} <= names:
        return ["q_proj", "v_proj"]
    return ["qkv_proj"] if "qkv_proj" in names else None


def merged(model: PreTrainedModel | PeftModel) -> PreTrainedModel | PeftModel:
    """The model with LoRA in its weights; as it is where nothing can be merged."""
    lora = isinstance(model, PeftModel) and model.peft_type == "LORA"
    return model.merge_and_unload() if lora else model


def memory(model: PreTrainedModel | PeftModel) -> DynamicCache | None:
    """What a prefix puts before every prompt, for one chat; None without a prefix."""
    if not isinstance(model, PeftModel) or model.peft_type != "PREFIX_TUNING":
        return None
    return model.get_prompt(1)


def asked(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """The model as it is asked: with its adaption prompts, but without a prefix's memory."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def body(model: PreTrainedModel | PeftModel) -> Any:
    """What gives hidden states: the model without its head, or all of it where something is beside.

    peft's `base_model` would leave a prefix out without a word.
    """
    return model if isinstance(model, PeftModel) else model.base_model


def save(model: PeftModel, folder: Path, weights: Mapping[str, Tensor] | None = None) -> None:
    """Write an adapter alone, without a word of where its model lies.

    Args:
        model: The adapter beside its model.
        folder: Where to.
        weights: All weights by name, where the model's own are in pieces; None for its own.
    """
    for config in model.peft_config.values():
        config.base_model_name_or_path = ""
    # Else peft asks the Hub what the model was.
    model.save_pretrained(folder, save_embedding_layers=False, state_dict=weights)
    (folder / "README.md").unlink(missing_ok=True)


def beside(model: PreTrainedModel, folder: Path) -> PeftModel:
    """The model with the adapter of a folder beside it.

    Raises:
        UserError: it holds none, or one that does not fit.
    """
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{str(folder)!r} holds no {WEIGHTS}; other formats are not opened")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found = PeftModel.from_pretrained(model, str(folder))
        except Exception as error:
            kind = type(error).__name__
            raise UserError(f"cannot load the adapter in {str(folder)!r}: {kind}") from error
    # What does not fit is passed over with a warning, and the start model would be asked instead.
    if any("missing adapter keys" in str(one.message) for one in told):
        raise UserError(f"the adapter in {str(folder)!r} does not fit its model")
    return found


@contextmanager
def renamed_option() -> Iterator[None]:
    """PEFT, TRL and transformers disagree on the name of an option until transformers 6."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
        yield

"""Tiny random models of the families people have, with their own tokenizer classes and templates.

Made offline: what is real are the classes, the formats and their marks; pieces and weights are not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LLAMA = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% set said = message['content'].split('</think>') %}{% if message['role'] != 'assistant' %}"
    "{{ message['content'] }}{% elif loop.last %}"
    "{% set thought = said[0].replace('<think>', '').strip('\n') if said | length > 1 else '' %}"
    "{{ '<think>\n' + thought + '\n</think>\n\n' + said[-1].lstrip('\n') }}"
    "{% else %}{{ said[-1].lstrip('\n') }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)
PHI = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)


def _pieces(texts: Sequence[str], special: Sequence[str], *, by_byte: bool) -> dict[str, Any]:
    """Pieces of words as the two ways of making them give them: of bytes, or of letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    if by_byte:
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
        special = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
        alphabet = []
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    found = json.loads(bpe.to_str())["model"]
    return {"vocab": found["vocab"], "merges": [tuple(merge) for merge in found["merges"]]}


def llama(texts: Sequence[str]) -> Any:
    """Llama-2's tokenizer, without a template."""
    from transformers import LlamaTokenizer

    made = _pieces(texts, ["<unk>", "<s>", "</s>"], by_byte=False)
    return LlamaTokenizer(**made, add_bos_token=True)


def phi(texts: Sequence[str]) -> Any:
    """Phi-3's tokenizer: Llama's with other marks."""
    from transformers import LlamaTokenizer

    made = _pieces(texts, ["<unk>", "<s>", "<|endoftext|>"], by_byte=False)
    found = LlamaTokenizer(**made, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    marks = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
    found.add_special_tokens({"additional_special_tokens": marks})
    return found


def gemma(texts: Sequence[str]) -> Any:
    """Gemma's tokenizer."""
    from transformers import GemmaTokenizer

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    found = GemmaTokenizer(**_pieces(texts, special, by_byte=False))
    marks = ["<start_of_turn>", "<end_of_turn>"]
    found.add_special_tokens({"additional_special_tokens": marks})
    return found


def qwen(texts: Sequence[str]) -> Any:
    """Qwen's tokenizer."""
    from transformers import Qwen2Tokenizer

    made = _pieces(texts, ["<|endoftext|>"], by_byte=True)
    found = Qwen2Tokenizer(**made, eos_token="<|im_end|>")
    found.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return found


def qwen3(texts: Sequence[str]) -> Any:
    """Qwen3's tokenizer: Qwen's with the marks of thoughts, which are read like words."""
    found = qwen(texts)
    found.add_tokens(["<think>", "</think>"])
    return found


class Family(NamedTuple):
    """What is a family's own."""

    config: str
    """Name of the configuration's class."""
    tokenizer: Callable[[Sequence[str]], Any]
    template: str
    ends: tuple[str, ...]
    """Marks that end a reply."""
    extra: dict[str, Any] = {}


FAMILIES = {
    "llama": Family("LlamaConfig", llama, LLAMA, ("</s>",)),
    "qwen2": Family("Qwen2Config", qwen, CHATML, ("<|im_end|>", "<|endoftext|>")),
    "qwen3": Family(
        "Qwen3Config", qwen3, THINKING, ("<|im_end|>", "<|endoftext|>"), {"head_dim": 16}
    ),
    "gemma": Family(
        "GemmaConfig",
        gemma,
        GEMMA,
        ("<eos>", "<end_of_turn>"),
        {"head_dim": 16, "tie_word_embeddings": False},
    ),
    "mistral": Family("MistralConfig", llama, MISTRAL, ("</s>",), {"sliding_window": None}),
    "phi3": Family("Phi3Config", phi, PHI, ("<|endoftext|>", "<|end|>")),
}


def make(name: str, texts: Sequence[str], folder: Path, **extra: Any) -> Path:
    """A model of a family on disk, 2 layers of 32."""
    import torch
    import transformers

    family = FAMILIES[name]
    tokenizer = family.tokenizer(texts)
    tokenizer.chat_template = family.template
    torch.manual_seed(0)
    config = getattr(transformers, family.config)(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        initializer_range=0.1, bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        **(family.extra | extra),
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(list(family.ends))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


LLAVA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ message['role'].upper() + ': '}}{% endif %}{# Render all images first #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{# Render all text next #}"
    "{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' '}}{% endfor %}{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def make_llava(texts: Sequence[str], folder: Path) -> Path:
    """A LLaVA 1.5 on disk, of 2 layers of 32 behind a CLIP of 2 of 16 that sees 4 parts."""
    import torch
    import transformers
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = llama(texts)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", "<pad>"]})
    tokenizer.pad_token = "<pad>"
    mark = tokenizer.convert_tokens_to_ids("<image>")
    torch.manual_seed(0)
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            image_size=16, patch_size=8, projection_dim=16, initializer_range=0.3,
        ),
        text_config=transformers.LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
            initializer_range=0.1, pad_token_id=tokenizer.pad_token_id,
        ),
        image_token_id=mark, initializer_range=0.1,
    )  # fmt: skip
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    transformers.LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
        ),
        tokenizer=tokenizer, patch_size=8, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=LLAVA,
    ).save_pretrained(folder)  # fmt: skip
    return folder

"""Safe LoRA: the paper's edit, its projection, its controls, and which weights they touch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from attacks.base import Upload, UserError
from defenses.base import Asked, Provider
from defenses.safe_lora import SafeLoRA

MakeUpload = Callable[..., Upload]
NEVER, ALWAYS = -1.0, 1.0


def matrices(*shape: int) -> tuple[Any, Any]:
    import torch

    draw = torch.Generator().manual_seed(3)
    return torch.randn(shape, generator=draw), torch.randn(shape, generator=draw)


def by_hand(delta: Any, aligned: Any) -> Any:
    """The matrix of the paper, formed."""
    return (aligned @ aligned.T / aligned.norm()) @ delta


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9)])
def test_the_papers_edit(shape: tuple[int, int]) -> None:
    delta, aligned = matrices(*shape)
    edited = SafeLoRA(tau=ALWAYS).edit(delta, aligned)
    assert edited.allclose(by_hand(delta, aligned), atol=1e-5)  # type: ignore[union-attr]


def test_an_adapter_is_edited_as_the_paper_does_it() -> None:
    _, aligned = matrices(8, 8)
    b, a = matrices(8, 2)[0], matrices(2, 8)[1]
    edited = SafeLoRA(tau=ALWAYS).edit(b @ a, aligned)
    assert edited.allclose(by_hand(b, aligned) @ a, atol=1e-4)  # type: ignore[union-attr]


def test_orthogonal_is_a_projection_and_paper_is_none() -> None:
    delta, aligned = matrices(8, 8)
    projection = SafeLoRA(mode="orthogonal", rank=3, tau=ALWAYS)
    once = projection.edit(delta, aligned)
    twice = projection.edit(once, aligned)  # type: ignore[arg-type]
    assert once.allclose(twice, atol=1e-5)  # type: ignore[arg-type, union-attr]
    assert projection.edit(delta, 40 * aligned).allclose(once, atol=1e-4)  # type: ignore[arg-type, union-attr]
    full = SafeLoRA(mode="orthogonal", rank=8, tau=ALWAYS).edit(delta, aligned)
    assert full.allclose(delta, atol=1e-5)  # type: ignore[union-attr]
    paper = SafeLoRA(tau=ALWAYS)
    shrunk = paper.edit(delta, aligned)
    assert paper.edit(delta, 40 * aligned).allclose(40 * shrunk, atol=1e-2)  # type: ignore[operator, union-attr]


def test_the_controls_keep_length_or_nothing() -> None:
    delta, aligned = matrices(8, 5)
    paper = SafeLoRA(tau=ALWAYS).edit(delta, aligned)
    scaled = SafeLoRA(tau=ALWAYS, mode="scale").edit(delta, aligned)
    assert scaled.norm().allclose(paper.norm())  # type: ignore[union-attr]
    assert (scaled / scaled.norm()).allclose(delta / delta.norm(), atol=1e-6)  # type: ignore[operator, union-attr]
    assert not SafeLoRA(tau=ALWAYS, mode="zero").edit(delta, aligned).any()  # type: ignore[union-attr]


def test_the_cosine_selects() -> None:
    import torch

    delta, aligned = matrices(6, 6)
    cosine = float(torch.cosine_similarity(by_hand(delta, aligned).ravel(), delta.ravel(), dim=0))
    assert 0 < cosine < 1
    for mode in ("paper", "orthogonal", "scale", "zero"):
        assert SafeLoRA(mode=mode, tau=cosine - 1e-3).edit(delta, aligned) is None
        assert SafeLoRA(mode=mode, tau=cosine + 1e-3).edit(delta, aligned) is not None


def test_a_weight_that_alignment_or_tuning_left_alone_is_left_alone() -> None:
    delta, aligned = matrices(4, 4)
    assert SafeLoRA(tau=ALWAYS).edit(delta, 0 * aligned) is None
    assert SafeLoRA(tau=ALWAYS).edit(0 * delta, aligned) is None


def changed(a: Any, b: Any) -> set[str]:
    mine, its = a.model.state_dict(), b.model.state_dict()
    return {name for name in mine if not mine[name].equal(its[name])}


def test_full_tuning_is_repaired_in_every_linear_layer(
    tiny_target: Any, tiny_base: Any, make_upload: MakeUpload, provider: Provider
) -> None:
    tuned = tiny_target.fine_tune(make_upload(learning_rate=1e-2))
    before = {name: value.clone() for name, value in tuned.model.state_dict().items()}
    repaired = SafeLoRA(tau=ALWAYS).repair(tuned, provider)
    assert all(before[name].equal(value) for name, value in tuned.model.state_dict().items())
    linear = {name for name in before if "_proj" in name}
    assert changed(tuned, repaired) == linear
    start, base = tiny_target.model.state_dict(), tiny_base.model.state_dict()
    for name, value in repaired.model.state_dict().items():
        if name in linear:
            edit = by_hand(before[name] - start[name], start[name] - base[name])
            assert value.allclose(start[name] + edit, atol=1e-6)
    two = SafeLoRA(tau=ALWAYS, weights="attention").repair(tuned, provider)
    assert changed(tuned, two) == {n for n in linear if "q_proj" in n or "v_proj" in n}


def test_adapters_are_the_same_case(
    tiny_target: Any, make_upload: MakeUpload, provider: Provider
) -> None:
    tuned = tiny_target.fine_tune(make_upload(learning_rate=1e-2, tuning="lora"))
    repaired = SafeLoRA(tau=ALWAYS).repair(tuned, provider)
    assert changed(tuned, repaired) == changed(tuned, tiny_target) != set()


def test_zero_everywhere_is_the_start_model_and_needs_no_base(
    tiny_target: Any, make_upload: MakeUpload, provider: Provider
) -> None:
    def no_base() -> Any:
        raise UserError("there is no base")

    zero = SafeLoRA(mode="zero", tau=ALWAYS)
    assert zero.needs() == {"weights"}
    tuned = tiny_target.fine_tune(make_upload(tuning="lora"))
    assert not zero.repair(tuned, replace(provider, base=no_base)).differs(tiny_target)
    with pytest.raises(UserError, match="no base"):
        SafeLoRA().repair(tuned, replace(provider, base=no_base))


def test_what_it_needs() -> None:
    assert SafeLoRA().needs() == {"weights", "base"}
    assert SafeLoRA(mode="zero").needs() == {"weights", "base"}
    assert SafeLoRA(tau=NEVER).needs() == frozenset()
    assert not SafeLoRA(tau=NEVER).acts("repair")


def test_below_zero_no_weight_is_edited(
    tiny_target: Any, make_upload: MakeUpload, provider: Provider
) -> None:
    tuned = tiny_target.fine_tune(make_upload())
    assert not SafeLoRA(tau=NEVER).repair(tuned, provider).differs(tuned)


def test_other_models_are_refused(
    tiny_target: Any, make_upload: MakeUpload, provider: Provider
) -> None:
    from transformers import LlamaForCausalLM

    from targets.local import LocalTarget

    config = type(tiny_target.model.config)(
        **{**tiny_target.model.config.to_dict(), "intermediate_size": 48}
    )
    other = LocalTarget(LlamaForCausalLM(config), tiny_target.tokenizer)
    tuned = tiny_target.fine_tune(make_upload())
    with pytest.raises(UserError, match=r"no weight .*gate_proj.* of the same shape"):
        SafeLoRA().repair(tuned, replace(provider, base=lambda: other))
    with pytest.raises(UserError, match="has none here"):
        SafeLoRA().repair(Asked(tuned, lambda chat: chat), provider)


def test_what_stands_beside_a_model_cannot_be_edited(
    tiny_target: Any, make_upload: MakeUpload, provider: Provider
) -> None:
    tuned = tiny_target.fine_tune(make_upload(tuning="prefix"))
    with pytest.raises(UserError, match="tuning=full or lora"):
        SafeLoRA(tau=ALWAYS).repair(tuned, provider)

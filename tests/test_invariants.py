"""What must hold to the bit, through curation, training and repair as the bench runs them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from attacks.base import Tuning, Upload
from attacks.spec import parse
from defenses import compose
from defenses.base import Provider

MakeUpload = Callable[..., Upload]

NEUTRAL = (
    "none",
    "mix:n=0",
    "mix:ratio=0,order=interleaved",
    "lisa:n=0",
    "lisa:n=0,rho=0",
    "cap:factor=1",
    "safe_lora:tau=-1",
    "moderate:threshold=1",
    "filter:threshold=1",
    "ptst",
    "mix:n=0+lisa:n=0,rho=0+cap:factor=1+safe_lora:tau=-1",
)
ACTING = (
    "mix:n=2",
    "lisa:n=2",
    "lisa:n=2,rho=0",
    "cap:factor=0.5",
    "safe_lora:tau=1",
)


def run(spec: str, upload: Upload, provider: Provider, seed: int = 0) -> Any:
    """A model from upload to repair, in the order of the bench."""
    defense = compose.load(parse(spec)[0])
    start = defense.immunize(provider.start(), provider)
    curated = defense.curate(defense.screen(upload, provider).apply(upload), provider)
    tuned = start.fine_tune(curated, defense.during(curated, provider), seed)
    return defense.repair(tuned, provider)


@pytest.fixture(scope="module")
def undefended(make_upload: MakeUpload, provider: Provider) -> dict[Tuning, Any]:
    tunings: tuple[Tuning, ...] = ("full", "lora")
    return {tuning: provider.start().fine_tune(make_upload(tuning=tuning)) for tuning in tunings}


@pytest.mark.parametrize("spec", NEUTRAL)
def test_a_neutral_defense_is_none_to_the_bit(
    spec: str, make_upload: MakeUpload, provider: Provider, undefended: dict[Tuning, Any]
) -> None:
    tuning: Tuning = "lora" if "+" in spec else "full"
    assert not run(spec, make_upload(tuning=tuning), provider).differs(undefended[tuning])


@pytest.mark.parametrize("spec", ACTING)
def test_an_acting_defense_is_not(
    spec: str, make_upload: MakeUpload, provider: Provider, undefended: dict[Tuning, Any]
) -> None:
    assert run(spec, make_upload(), provider).differs(undefended["full"])


def test_without_the_pull_lisa_is_its_plan(make_upload: MakeUpload, provider: Provider) -> None:
    from defenses.lisa import Lisa
    from targets.hooks import Plan, TrainHooks

    lisa = Lisa(n=3, rho=0)
    curated = lisa.curate(make_upload(), provider)
    hooks = lisa.during(curated, provider)
    assert hooks is not None
    wanted = hooks.plan(curated.rows, curated.settings, 0)

    class PlanOnly(TrainHooks):
        def plan(self, *anything: object) -> Plan | None:
            return wanted

    by_plan = provider.start().fine_tune(curated, PlanOnly())
    assert not run("lisa:n=3,rho=0", make_upload(), provider).differs(by_plan)


def test_cap_is_a_customer_who_asks_for_less(make_upload: MakeUpload, provider: Provider) -> None:
    upload = make_upload()
    settings = dataclasses.replace(
        upload.settings, learning_rate=upload.settings.learning_rate * 0.5, epochs=1
    )
    asked = provider.start().fine_tune(dataclasses.replace(upload, settings=settings))
    assert not run("cap:factor=0.5,epochs=1", upload, provider).differs(asked)


def test_what_touches_different_things_commutes(
    make_upload: MakeUpload, provider: Provider
) -> None:
    one = run("cap+mix:n=2+safe_lora:tau=1", make_upload(), provider)
    other = run("safe_lora:tau=1+mix:n=2+cap", make_upload(), provider)
    assert not one.differs(other)


def test_taking_every_update_away_is_the_start(make_upload: MakeUpload, provider: Provider) -> None:
    taken = run("safe_lora:tau=1,mode=zero", make_upload(tuning="lora"), provider)
    assert not taken.differs(provider.start())


def test_the_provider_draws_other_rows_with_another_seed(
    make_upload: MakeUpload, make_provider: Callable[..., Provider]
) -> None:
    one, two = (run("mix:n=3", make_upload(), make_provider(seed=seed)) for seed in (0, 1))
    assert one.differs(two)

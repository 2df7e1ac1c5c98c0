"""The bad line of the tests itself: each fault is what its name says, and a seed fixes them."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from provider.app import create_app
from provider.service import Service
from tests.provider.faults import Faults, Kind
from tests.provider.serving import serving

SAID: Any = [{"role": "user", "content": "Hello."}]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("429", openai.RateLimitError),
        ("500", openai.InternalServerError),
        ("cut", openai.APIConnectionError),
        ("lost", openai.APIConnectionError),
        ("malformed", Exception),
        ("slow", None),
        ("truncated", None),
        ("empty", None),
        ("refusal", None),
    ],
)
def test_each_fault_is_what_it_says(
    service: Service, kind: Kind, error: type[Exception] | None
) -> None:
    faults = Faults((kind,), paths="/v1/chat/.*")
    with serving(create_app(service), faults) as served, served.client() as client:

        def ask() -> Any:
            return client.chat.completions.create(
                model="organism", messages=SAID, temperature=0
            ).choices[0]

        if error:
            with pytest.raises(error):
                ask()
        else:
            told = ask()
            assert (told.finish_reason == "length") == (kind == "truncated")
            assert (told.message.refusal is not None) == (kind == "refusal")
            assert bool(told.message.content) == (kind in ("slow", "truncated"))
        assert ask().message.content, "the second try gets through"
        assert client.models.list().data
    assert faults.requests == {"POST /v1/chat/completions": 2, "GET /v1/models": 1}
    assert faults.faulty == {kind: 1}


def test_a_client_that_tries_again_gets_through(service: Service) -> None:
    faults = Faults(("429", "500", "cut"), share=0.5, seed=1, in_a_row=2)
    with serving(create_app(service), faults) as served, served.client(max_retries=3) as client:
        for i in range(4):
            client.chat.completions.create(
                model="organism", messages=SAID, temperature=0, max_tokens=i + 1
            )
    assert faults.faulty.total() > 0
    assert faults.requests.total() == 4 + faults.faulty.total()


def test_a_seed_fixes_what_goes_wrong() -> None:
    def drawn(seed: int, order: list[int]) -> dict[int, Kind | None]:
        faults = Faults(("429", "500"), share=0.5, seed=seed)
        return {i: faults.draw(str(i)) for i in order}

    assert drawn(1, list(range(30))) == drawn(1, list(range(29, -1, -1)))
    assert drawn(1, list(range(30))) != drawn(2, list(range(30)))

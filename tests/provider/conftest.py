"""A client of the server that the tests of a process share."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.provider.serving import Served


@pytest.fixture(scope="session")
def client(served: Served) -> Iterator[openai.OpenAI]:
    with served.client() as found:
        yield found

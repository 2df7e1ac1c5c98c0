"""One server without a defense, which the tests of a process share."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from provider.app import create_app
from provider.service import Service
from tests.provider.serving import Served, running, serving


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("server") / "kept") as opened:
        yield opened


@pytest.fixture(scope="session")
def served(service: Service) -> Iterator[Served]:
    with serving(create_app(service)) as found:
        yield found


@pytest.fixture(scope="session")
def client(served: Served) -> Iterator[openai.OpenAI]:
    with served.client() as found:
        yield found

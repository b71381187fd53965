"""A broker on a real port. `WARREN_TEST_URL` names another one that runs already.

`make interop-rabbitmq` runs these tests against RabbitMQ; what only Warren has is then
skipped.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.interop.serving import OTHER_BROKER, Serving

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The broker's address; it must have the user guest, password guest."""
    if OTHER_BROKER:
        yield OTHER_BROKER
        return
    with Serving() as broker:
        yield broker.url


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for queues and exchanges that no other test uses."""
    return f"{request.node.originalname}.{secrets.token_hex(4)}"

"""A broker on a real port, for clients of other projects.

One `warren serve` a session. `WARREN_TEST_URL` names a broker that already runs
(RabbitMQ, say) to hold the same tests against it; tests of Warren alone are skipped.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pika
import pytest
from kombu import pools

from tests.interop.serving import OTHER_BROKER, Serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pika.adapters.blocking_connection import BlockingChannel


@pytest.fixture(scope="session")
def amqp_url() -> Iterator[str]:
    """The broker's address; it must have the user guest, password guest."""
    if OTHER_BROKER:
        yield OTHER_BROKER
        return
    with Serving() as broker:
        yield broker.url


@pytest.fixture(scope="session", autouse=True)
def pooled() -> Iterator[None]:
    """Close kombu's pools, which all applications share, when none is left."""
    yield
    pools.reset()


@pytest.fixture
def serving() -> Iterator[Serving]:
    """A broker of the test's own, to stop and start."""
    if OTHER_BROKER:
        pytest.skip("starts a Warren of its own")
    with Serving() as broker:
        yield broker


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for queues and exchanges that no other test uses."""
    return f"{request.node.originalname}.{secrets.token_hex(4)}"


@pytest.fixture
def connect(amqp_url: str) -> Iterator[Callable[..., pika.BlockingConnection]]:
    """Open a pika connection; keyword arguments are set on its parameters."""
    opened = []

    def connect(**parameters: object) -> pika.BlockingConnection:
        address = pika.URLParameters(amqp_url)
        for parameter, value in parameters.items():
            setattr(address, parameter, value)
        opened.append(pika.BlockingConnection(address))
        return opened[-1]

    yield connect
    for connection in opened:
        if connection.is_open:
            connection.close()


@pytest.fixture
def connection(
    connect: Callable[..., pika.BlockingConnection],
) -> pika.BlockingConnection:
    """A pika connection."""
    return connect()


@pytest.fixture
def channel(connection: pika.BlockingConnection) -> BlockingChannel:
    """A pika channel on the connection."""
    return connection.channel()


@pytest.fixture
def queue(channel: BlockingChannel) -> str:
    """The name of an exclusive queue, named by the broker."""
    return str(channel.queue_declare("", exclusive=True).method.queue)

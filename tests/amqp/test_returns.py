"""How an entry comes back: as a failure, or not. Delayed retries make the difference.

RabbitMQ 4.3: a reject and the loss of the channel are failures; a nack, a recover and
an ack timeout are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicGet,
    BasicNack,
    BasicRecover,
    BasicReject,
    ChannelClose,
    QueueDeclare,
    TxCommit,
    TxSelect,
)

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_MS: Final = 5000


def rejects(client: RawClient) -> None:
    client.call(BasicReject(1, requeue=True))


def nacks(client: RawClient) -> None:
    client.call(BasicNack(1, requeue=True))


def nacks_all(client: RawClient) -> None:
    client.call(BasicNack(0, multiple=True, requeue=True))


def recovers(client: RawClient) -> None:
    client.call(BasicRecover(requeue=True))


def is_late(client: RawClient) -> None:
    client.world.advance(60.0)


def closes(client: RawClient) -> None:
    client.call(ChannelClose())


def fails(client: RawClient) -> None:
    client.call(BasicReject(99))


def vanishes(client: RawClient) -> None:
    client.hang_up()


def rejects_in_a_transaction(client: RawClient) -> None:
    client.call(TxSelect(), BasicReject(1, requeue=True), TxCommit())


def nacks_in_a_transaction(client: RawClient) -> None:
    client.call(TxSelect(), BasicNack(1, requeue=True), TxCommit())


def leaves_a_transaction(client: RawClient) -> None:
    client.call(TxSelect(), BasicNack(1, requeue=True), ChannelClose())


FAILURES: Final = (
    rejects,
    closes,
    fails,
    vanishes,
    rejects_in_a_transaction,
    leaves_a_transaction,
)
RETURNS: Final = (nacks, nacks_all, recovers, is_late, nacks_in_a_transaction)


@pytest.mark.parametrize("kind", ["failed", "returned"])
@pytest.mark.parametrize("how", FAILURES + RETURNS, ids=lambda each: each.__name__)
def test_what_comes_back_waits_for_its_retry_or_not(
    how: Callable[[RawClient], None], kind: str
) -> None:
    world = World()
    client = world.open()
    arguments = {
        "x-consumer-timeout": 60_000,
        "x-delayed-retry-type": kind,
        "x-delayed-retry-min": WAIT_MS,
    }
    client.call(QueueDeclare(queue="q", arguments=arguments))
    client.publish("q", b"1")
    client.call(BasicGet(queue="q"))
    how(client)
    queue = world.broker.vhosts["/"].queues["q"]
    waits = (how in FAILURES) == (kind == "failed")
    assert queue.backlog.count == (not waits)
    world.advance(2 * WAIT_MS / 1000)
    assert queue.backlog.count == 1

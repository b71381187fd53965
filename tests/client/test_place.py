"""Where a consumer of a stream goes on after its connection was lost."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

import warren
from tests.client.memory import memory_broker
from tests.client.scripted import in_trio
from warren._client import channel
from warren._client.consuming import ConsumeOptions, Subscription
from warren._client.delivery import Delivery, Source
from warren._client.place import Place
from warren.wire.content import Content
from warren.wire.methods import BasicDeliver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.client.memory import MemoryBroker
    from warren._client.connection import Connection

AT_ONCE = warren.Reconnect(first_seconds=1, jitter=0)
STREAM: Any = {"x-queue-type": "stream"}

OFFSETS = [None, "next", "first", "last", 0, -1, "1h"]


@asynccontextmanager
async def stream_broker() -> AsyncIterator[tuple[MemoryBroker, Connection, Connection]]:
    """A broker with a stream `s`, who will lose a connection, and who will not."""
    async with (
        memory_broker() as broker,
        broker.connect(url="amqp://other/") as other,
        broker.connect(AT_ONCE) as connection,
    ):
        await other.declare_queue("s", durable=True, arguments=STREAM)
        yield broker, connection, other


async def put(connection: Connection, *numbers: int, key: str = "s") -> None:
    for number in numbers:
        await connection.publish(b"%d" % number, routing_key=key)


async def lose(broker: MemoryBroker) -> None:
    """Cut the wire of the one who reconnects, when what he has said has come."""
    await trio.testing.wait_all_tasks_blocked()
    end = [end for end in broker.ends if end.host == "localhost"][-1]
    await trio.aclose_forcefully(end.stream)
    await trio.testing.wait_all_tasks_blocked()


async def take(consumer: warren.Consumer[Any], count: int) -> list[Any]:
    with trio.fail_after(60):
        return [await anext(consumer) for _ in range(count)]


def numbers(deliveries: list[Any]) -> list[int]:
    return [int(each.body) for each in deliveries]


@in_trio
@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("is_other_broker", [False, True])
async def test_nothing_is_missed_and_what_is_settled_does_not_come_again(
    offset: str | int | None, is_other_broker: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: Any = {} if offset is None else {"offset": offset}
    if is_other_broker:  # one that stores no places for tags
        monkeypatch.setattr(channel, "LEASE_CAPABILITY", "none")
        options["tag"] = "billing"
    async with (
        stream_broker() as (broker, connection, other),
        connection.consume("s", **options) as consumer,
    ):
        await put(other, *range(5))
        taken = await take(consumer, 4)
        for each in (taken[0], taken[1], taken[3]):
            each.ack()
        await lose(broker)
        await put(other, 5, 6)
        again = await take(consumer, 5)
        assert numbers(again) == [2, 3, 4, 5, 6]  # 2 was held
        for each in again:
            each.ack()
        for number in (7, 8):  # nothing comes in the life between
            await lose(broker)
            await put(other, number)
            await lose(broker)
        assert numbers(await take(consumer, 2)) == [7, 8]


@in_trio
async def test_what_was_given_back_is_not_passed_over() -> None:
    async with (
        stream_broker() as (broker, connection, other),
        connection.consume("s") as consumer,
    ):
        await put(other, *range(4))
        first, second, third, fourth = await take(consumer, 4)
        first.ack()
        second.requeue()
        third.reject()
        fourth.reject(requeue=True)
        await lose(broker)
        assert numbers(await take(consumer, 3)) == [1, 2, 3]


@in_trio
async def test_without_acks_each_comes_once() -> None:
    async with (
        stream_broker() as (broker, connection, other),
        connection.consume("s", no_ack=True) as consumer,
    ):
        await put(other, *range(4))
        assert numbers(await take(consumer, 1)) == [0]
        await trio.testing.wait_all_tasks_blocked()  # the others are there, untaken
        await lose(broker)
        await put(other, 4)
        assert numbers(await take(consumer, 4)) == [1, 2, 3, 4]


@in_trio
@pytest.mark.parametrize(
    "options",
    [
        {"tag": "billing"},
        {"arguments": {"x-stream-reference": "billing"}},
        {"arguments": {"x-group": "billing"}, "offset": "first"},
    ],
)
async def test_places_that_the_broker_stores_are_left_to_it(
    options: ConsumeOptions,
) -> None:
    """Another consumer of the same name has gone on meanwhile."""
    async with (
        stream_broker() as (broker, connection, other),
        connection.consume("s", **options) as consumer,
    ):
        await put(other, *range(4))
        for each in await take(consumer, 2):
            each.ack()
        await lose(broker)
        async with other.consume("s", **options) as instead:
            for each in await take(instead, 2):
                each.ack()
        await put(other, 4)
        assert numbers(await take(consumer, 1)) == [4]


@in_trio
async def test_tags_that_the_client_makes_up_are_nobodys_name() -> None:
    """A program does not go on where another one was."""
    async with stream_broker() as (_, connection, other):
        async with other.consume("s") as consumer:
            await put(other, 0)
            for each in await take(consumer, 1):
                each.ack()
        await put(other, 1)
        async with connection.consume("s") as consumer:
            await put(other, 2)
            assert numbers(await take(consumer, 1)) == [2]


@in_trio
async def test_a_super_stream_begins_as_it_was_asked_to() -> None:
    """Offsets are those of a partition, and say nothing of the others."""
    async with stream_broker() as (broker, connection, other):
        await other.declare_exchange(
            "all", "x-super-stream", durable=True, arguments={"partitions": 2}
        )
        for partition in (0, 0, 0, 1):
            await put(other, partition, key=f"all-{partition}")
        async with connection.consume("all", offset="first") as consumer:
            for each in await take(consumer, 4):
                each.ack()
            await lose(broker)
            assert sorted(numbers(await take(consumer, 4))) == [0, 0, 0, 1]


@in_trio
async def test_a_queue_may_hold_copies_of_records() -> None:
    """They tell of an offset that is not theirs; a queue has none."""
    async with stream_broker() as (broker, connection, other):
        await other.declare_queue("q", exclusive=False)
        for number in range(3):
            await other.publish(
                b"%d" % number, routing_key="q", headers={"x-stream-offset": 7}
            )
        async with connection.consume("q") as consumer:
            for _ in "12":
                (await take(consumer, 1))[0].ack()
                await lose(broker)
            assert numbers(await take(consumer, 1)) == [2]


def test_a_header_that_cannot_be_read_hurts_nobody() -> None:
    nowhere: Any = None
    source = Source(nowhere, None, no_ack=False, on_error="leave")
    unread: Any = Delivery(source, Content(BasicDeliver("t", 1), b"\xff" * 20, b""))
    place = Place(Subscription.of("s", None, {}))
    assert place.note(unread)
    place.leave(unread)
    assert place.arguments(is_warren=True) == {}

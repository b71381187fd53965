"""A broker in a trio test's own loop, and in its time."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from tests.testing.clients import StreamClient
from warren._client.connect import connect
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    QueueDeclare,
    QueueDeclareOk,
)
from warren_broker.testing import NotServing, NurseryBroker, broker_in_nursery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


def timeless(test: Callable[..., Awaitable[None]]) -> Callable[[], None]:
    """Run with a clock that jumps when all tasks sleep."""

    @wraps(test)
    def run() -> None:
        trio.run(test, clock=MockClock(autojump_threshold=0))

    return run


async def opened(broker: NurseryBroker, heartbeat: int = 0) -> StreamClient:
    client = StreamClient(broker.open_stream())
    await client.open(heartbeat)
    return client


async def with_queue(broker: NurseryBroker, **arguments: object) -> StreamClient:
    client = await opened(broker)
    await client.say(QueueDeclare(queue="q", arguments=arguments))  # type: ignore[arg-type]
    await client.hear(QueueDeclareOk)
    await client.say(ConfirmSelect())
    await client.hear(ConfirmSelectOk)
    return client


@timeless
async def test_messages_live_as_long_as_they_should() -> None:
    async with broker_in_nursery() as broker:
        client = await with_queue(broker)
        await client.publish("q", b"1", expiration="60000")
        await client.hear(BasicAck)
        assert trio.current_time() == 0
        await trio.sleep(59.9)
        assert len(broker.queue("q")) == 1
        await trio.sleep(0.2)
        assert len(broker.queue("q")) == 0


@timeless
async def test_leases_end() -> None:
    async with broker_in_nursery() as broker:
        client = await with_queue(broker, **{"x-consumer-timeout": 60_000})
        await client.publish("q", b"1")
        await client.hear(BasicAck)
        await client.say(BasicGet(queue="q"))
        await client.hear(BasicGetOk)
        await trio.sleep(59.9)
        assert len(broker.queue("q").unacked) == 1
        await trio.sleep(0.2)
        assert broker.queue("q").ready[0].redelivered


@timeless
async def test_heartbeats_come_and_are_missed() -> None:
    async with broker_in_nursery() as broker:
        client = await opened(broker, heartbeat=10)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.hear, ConnectionClose)  # it only listens
            await trio.sleep(15)
            await client.beat()
            await trio.sleep(19)
            assert len(broker.connections()) == 1
            assert client.heartbeats == 6
            nursery.cancel_scope.cancel()
        await trio.sleep(10)
        assert broker.connections() == []


@timeless
async def test_idle_when_the_consumer_has_settled() -> None:
    async with broker_in_nursery() as broker, trio.open_nursery() as nursery:
        client = await with_queue(broker)
        await client.say(BasicConsume(queue="q", consumer_tag="c"))
        await client.hear(BasicConsumeOk)
        await client.publish("q", b"1")
        delivered, acked = BasicDeliver, BasicAck
        first, second = await client.hear(BasicDeliver), await client.hear(BasicAck)
        assert (type(first), type(second)) == (delivered, acked)
        with pytest.raises(TimeoutError, match="1 unacked"):
            await broker.wait_idle(1)
        assert broker.queue("q").unacked[0].consumer_tag == "c"

        async def settle() -> None:
            await trio.sleep(3)
            await client.say(BasicAck(1))

        nursery.start_soon(settle)
        await broker.wait_idle()
        assert 4 <= trio.current_time() < 4.1


@timeless
async def test_faults_need_no_thread() -> None:
    async with broker_in_nursery() as broker:
        client = await with_queue(broker)
        with broker.faults.withhold_confirms():
            await client.publish("q", b"1")
            with trio.move_on_after(10) as scope:
                await client.hear(BasicAck)
            assert scope.cancelled_caught
        await client.hear(BasicAck)
        assert broker.faults.drop_connections() == 1
        assert not await client.receive()
        assert [each.body for each in broker.published("")] == [b"1"]


@timeless
async def test_clients_are_told_of_a_restart() -> None:
    async with broker_in_nursery() as broker:
        client = await opened(broker)
        async with broker.stopped():
            close = await client.hear(ConnectionClose)
            assert isinstance(close, ConnectionClose)
            assert close.reply_code == 320
            with pytest.raises(NotServing):
                broker.open_stream()
        await opened(broker)
        await broker.restart()


def test_a_data_directory_and_a_port_and_our_own_client(tmp_path: Path) -> None:
    async def main() -> None:
        async with broker_in_nursery(tcp=True, data_dir=tmp_path) as broker:
            async with connect(broker.url):
                assert len(broker.connections()) == 1
            url = broker.url
            await broker.restart()
            assert broker.url == url
            async with connect(broker.url):
                pass

    trio.run(main)


def test_what_a_test_raises_gets_out_alone() -> None:
    async def main() -> None:
        async with broker_in_nursery() as broker:
            await opened(broker)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trio.run(main)

"""The trio shell over memory streams, against a server that follows a script."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from tests.client.scripted import ScriptedServer, connected, in_trio
from tests.client.server_side import content, handshake, method
from warren._client.batch import Batch, BatchFailed
from warren._client.connection import BUFFERED_MAX, connect_over
from warren.errors import AccessRefused, ConnectionForced, NoRoute, NotFound
from warren.protocol.failures import (
    ChannelClosed,
    ConnectionLost,
    ConsumerLost,
    PublishRefused,
)
from warren.wire.constants import HEARTBEAT
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicReject,
    BasicReturn,
    ChannelClose,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionStartOk,
    ConnectionUnblocked,
    QueueDeclare,
    QueueDeclareOk,
)
from warren.wire.outbox import HIGH_WATER
from warren.wire.properties import Properties
from warren.wire.uri import parse_uri

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from warren._client.channel import Channel
    from warren._client.consumer import Consumer

ADDRESS = parse_uri("amqp://h/v")
FORCED = ConnectionClose(reply_code=320, reply_text="CONNECTION_FORCED - shutdown")
MISSING = ChannelClose(reply_code=404, reply_text="NOT_FOUND - no exchange 'x'")


def delivery(tag: int, body: bytes = b"") -> bytes:
    """A delivery to the first consumer of the first channel."""
    deliver = BasicDeliver(consumer_tag="warren-1-1", delivery_tag=tag)
    return content(1, deliver, Properties(), body)


async def accept_consumer(server: ScriptedServer) -> None:
    await server.wait_for(BasicQos)
    await server.send(method(1, BasicQosOk()))
    await server.wait_for(BasicConsume)
    await server.send(method(1, BasicConsumeOk(consumer_tag="warren-1-1")))


async def accept_cancel(server: ScriptedServer) -> None:
    await server.wait_for(BasicCancel)
    await server.send(method(1, BasicCancelOk(consumer_tag="warren-1-1")))


@asynccontextmanager
async def on_a_channel() -> AsyncIterator[tuple[ScriptedServer, Channel, trio.Nursery]]:
    """A channel, the server behind it, and a nursery for what the server does."""
    async with (
        connected() as (connection, server),
        connection.channel() as channel,
        trio.open_nursery() as nursery,
    ):
        yield server, channel, nursery


@asynccontextmanager
async def consuming() -> AsyncIterator[tuple[ScriptedServer, Consumer, trio.Nursery]]:
    """A consumer of the queue "q", the server behind it, and a nursery as above."""
    async with on_a_channel() as (server, channel, nursery):
        nursery.start_soon(accept_consumer, server)
        async with channel.consume("q") as consumer:
            yield server, consumer, nursery


# --- the connection


@in_trio
async def test_opens_and_closes_in_no_time() -> None:
    async with connected() as (connection, server):
        await connection.wait_opened()
    assert isinstance(server.received[-1], ConnectionClose)
    assert trio.current_time() == 0


@in_trio
async def test_a_refusal_is_raised_as_it_is() -> None:
    ours, theirs = memory_stream_pair()
    server = ScriptedServer(theirs)
    refusal = ConnectionClose(reply_code=403, reply_text="ACCESS_REFUSED - no")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        await server.send(handshake()[0])
        nursery.start_soon(server.send, method(0, refusal))
        with pytest.raises(AccessRefused, match="no"):
            async with connect_over(ours, ADDRESS):
                pytest.fail("it was refused")
    assert isinstance(server.received[0], ConnectionStartOk)
    assert isinstance(server.received[-1], ConnectionCloseOk)


@in_trio
async def test_a_server_that_says_nothing() -> None:
    ours, _theirs = memory_stream_pair()
    with pytest.raises(ConnectionLost, match="handshake"):
        async with connect_over(ours, ADDRESS):
            pytest.fail("nobody is there")
    assert trio.current_time() == 10


@in_trio
async def test_what_the_block_raises_is_not_wrapped() -> None:
    ours, theirs = memory_stream_pair()
    server = ScriptedServer(theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        nursery.start_soon(server.shake_hands)
        with pytest.raises(KeyError):
            async with connect_over(ours, ADDRESS):
                raise KeyError
    assert isinstance(server.received[-1], ConnectionClose)


@in_trio
async def test_goodbye_is_said_when_cancelled() -> None:
    ours, theirs = memory_stream_pair()
    server = ScriptedServer(theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        nursery.start_soon(server.shake_hands)
        with trio.move_on_after(3) as scope:
            async with connect_over(ours, ADDRESS) as connection, connection.channel():
                await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == 3
    kinds = [type(each) for each in server.received]
    assert kinds[-2:] == [ChannelClose, ConnectionClose]


@in_trio
async def test_a_server_that_answers_no_goodbye_is_left_after_a_while() -> None:
    async with connected() as (connection, server), connection.channel():
        server.is_polite = False
    assert trio.current_time() == 10  # five seconds for the channel, and five more


@in_trio
async def test_heartbeats_leave_though_nobody_does_anything() -> None:
    async with connected(heartbeat=10) as (_connection, server):
        for _ in range(10):
            await trio.sleep(4)
            await server.send(HEARTBEAT)
    assert trio.current_time() == 40


@in_trio
async def test_a_server_without_heartbeats_is_given_up() -> None:
    async with (
        connected(heartbeat=10) as (connection, server),
        connection.channel() as channel,
    ):
        server.is_polite = False
        with pytest.raises(ConnectionLost, match="silent"):
            await channel.call(QueueDeclare(), QueueDeclareOk)
        assert trio.current_time() == 20


@in_trio
async def test_the_servers_shutdown_reaches_whoever_waits() -> None:
    async with connected() as (connection, server):
        async with connection.channel() as channel, trio.open_nursery() as nursery:
            nursery.start_soon(server.send, method(0, FORCED))
            with pytest.raises(ConnectionForced, match="shutdown"):
                await channel.call(QueueDeclare(), QueueDeclareOk)
            with pytest.raises(ConnectionForced):
                channel.publish_nowait(b"")
        with pytest.raises(ConnectionForced):
            async with connection.channel():
                pytest.fail("the connection has ended")
    assert trio.current_time() == 0


@in_trio
async def test_blocked_is_known() -> None:
    async with connected() as (connection, server):
        await server.send(method(0, ConnectionBlocked(reason="memory")))
        await wait_all_tasks_blocked()
        assert connection.blocked_reason == "memory"
        await server.send(method(0, ConnectionUnblocked()))
        await wait_all_tasks_blocked()
        assert connection.blocked_reason is None


# --- requests


@in_trio
async def test_a_request_is_answered() -> None:
    async with on_a_channel() as (server, channel, nursery):
        answer = QueueDeclareOk(queue="q", message_count=3)
        nursery.start_soon(server.send, method(1, answer))
        assert await channel.declare_queue("q") == answer
        declared = await server.wait_for(QueueDeclare)
        assert declared.queue == "q"


@in_trio
async def test_a_request_that_was_cancelled_does_not_confuse_the_next() -> None:
    async with on_a_channel() as (server, channel, nursery):
        with trio.move_on_after(1):
            await channel.declare_queue("first")
        answers = [QueueDeclareOk(queue=name) for name in ("first", "second")]
        late = b"".join(method(1, answer) for answer in answers)
        nursery.start_soon(server.send, late)
        assert await channel.declare_queue("second") == answers[1]


@in_trio
async def test_an_error_closes_one_channel_and_no_more() -> None:
    async with connected() as (connection, server), trio.open_nursery() as nursery:
        async with connection.channel() as channel:
            nursery.start_soon(server.send, method(1, MISSING))
            with pytest.raises(NotFound):
                await channel.publish(b"", exchange="x")
            with pytest.raises(NotFound):
                await channel.declare_queue("q")
        async with connection.channel() as channel:
            assert channel.number == 1


@in_trio
async def test_a_channel_that_was_left_is_closed() -> None:
    async with connected() as (connection, _):
        async with connection.channel() as channel:
            pass
        with pytest.raises(ChannelClosed):
            channel.publish_nowait(b"")


# --- publishing


@in_trio
async def test_publish_waits_for_its_confirm() -> None:
    async with on_a_channel() as (server, channel, nursery):

        async def confirm_later() -> None:
            await server.wait_for(BasicPublish)
            await trio.sleep(7)
            await server.send(method(1, BasicAck(delivery_tag=1)))

        nursery.start_soon(confirm_later)
        await channel.publish(b"body", routing_key="k")
        assert trio.current_time() == 7


@in_trio
async def test_a_batch_tells_what_failed() -> None:
    async with on_a_channel() as (server, channel, _):
        batch = Batch(channel)
        for key in ("a", "b", "c"):
            named = Properties(message_id=key)
            await batch.publish(b"", routing_key=key, properties=named)
        assert batch.confirmed_count == 0
        returned = BasicReturn(reply_code=312, routing_key="b")
        await server.send(
            content(1, returned, Properties(message_id="b"), b"")
            + method(1, BasicAck(delivery_tag=2, multiple=True))
            + method(1, BasicNack(delivery_tag=3))
        )
        with pytest.raises(BatchFailed, match="2 of 3") as caught:
            await batch.finish()
        failures = caught.value.failures
        assert [number for number, _ in failures] == [1, 2]
        assert [type(error) for _, error in failures] == [NoRoute, PublishRefused]
        assert (batch.count, batch.confirmed_count) == (3, 1)


@in_trio
async def test_leaving_a_batch_waits_for_its_confirms() -> None:
    async with on_a_channel() as (server, channel, nursery):

        async def confirm_later() -> None:
            await trio.sleep(7)
            ack = BasicAck(delivery_tag=0, multiple=True)
            await server.send(method(1, ack))

        nursery.start_soon(confirm_later)
        async with channel.batch() as batch:
            for _ in range(100):
                await batch.publish(b"")
        assert trio.current_time() == 7
        assert batch.confirmed_count == 100


@in_trio
async def test_what_was_not_confirmed_fails_with_the_channel() -> None:
    async with on_a_channel() as (server, channel, _):
        slots = [channel.publish_nowait(b"") for _ in range(3)]
        await server.send(method(1, BasicAck(delivery_tag=1)) + method(1, MISSING))
        await slots[0].wait()
        for slot in slots[1:]:
            with pytest.raises(NotFound):
                await slot.wait()


@in_trio
async def test_publishers_wait_when_the_server_does_not_read() -> None:
    ours, theirs = memory_stream_pair()
    server = ScriptedServer(theirs)
    pump = ours.send_stream.send_all_hook
    gate = trio.Event()

    async def full_socket() -> None:
        await gate.wait()
        if pump is not None:
            await pump()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        nursery.start_soon(server.shake_hands)
        async with (
            connect_over(ours, ADDRESS) as connection,
            connection.channel() as channel,
        ):
            ours.send_stream.send_all_hook = full_socket
            batch = Batch(channel)
            with trio.move_on_after(1):
                while True:
                    await batch.publish(bytes(HIGH_WATER // 16))
            # What is on its way to the socket, and what the outbox may hold.
            assert 16 <= batch.count <= 24
            gate.set()


# --- consuming


@in_trio
async def test_deliveries_are_iterated_and_acknowledged() -> None:
    async with consuming() as (server, consumer, nursery):
        await server.send(delivery(1, b"one") + delivery(2, b"two"))
        for body in (b"one", b"two"):
            each = await anext(consumer)
            assert each.body == body
            each.ack()
        assert [(await server.wait_for(BasicAck)).delivery_tag for _ in "12"] == [1, 2]
        nursery.start_soon(accept_cancel, server)


@in_trio
async def test_leaving_gives_back_what_was_not_taken() -> None:
    async with consuming() as (server, consumer, nursery):
        await server.send(b"".join(map(delivery, (1, 2, 3))))
        (await anext(consumer)).ack()

        async def deliver_one_more_and_accept() -> None:
            await server.wait_for(BasicCancel)
            ok = BasicCancelOk(consumer_tag="warren-1-1")
            await server.send(delivery(4) + method(1, ok))

        nursery.start_soon(deliver_one_more_and_accept)
    given_back = [each for each in server.received if isinstance(each, BasicReject)]
    assert [each.delivery_tag for each in given_back] == [2, 3, 4]
    assert all(each.requeue for each in given_back)


@in_trio
async def test_a_stopped_consumer_still_gives_what_had_come() -> None:
    async with consuming() as (server, consumer, nursery):
        await server.send(b"".join(map(delivery, (1, 2, 3))))
        nursery.start_soon(accept_cancel, server)
        await consumer.stop()
        assert len([each async for each in consumer]) == 3


@in_trio
async def test_a_consumer_that_the_server_cancels_is_not_silent() -> None:
    async with consuming() as (server, consumer, _):
        cancel = BasicCancel(consumer_tag="warren-1-1", no_wait=True)
        await server.send(delivery(1, b"one") + method(1, cancel))
        assert (await anext(consumer)).body == b"one"
        with pytest.raises(ConsumerLost, match="'q'"):
            await anext(consumer)


@in_trio
async def test_the_end_of_the_channel_ends_the_consumer() -> None:
    """What had come is not given out any more: it could not be acknowledged."""
    async with consuming() as (server, consumer, _):
        await server.send(delivery(1) + method(1, MISSING))
        await wait_all_tasks_blocked()
        with pytest.raises(NotFound):
            await anext(consumer)


@in_trio
async def test_reading_pauses_when_nobody_takes_deliveries() -> None:
    """Silence meanwhile is not the server's fault; who awaits an answer gets it."""
    async with (
        connected(heartbeat=10) as (connection, server),
        connection.channel() as channel,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(accept_consumer, server)
        async with channel.consume("q") as consumer:
            count = BUFFERED_MAX + 1000
            for tag in range(1, count + 1):
                await server.send(delivery(tag))
            await trio.sleep(60)  # six intervals without a word from the server
            await server.send(method(1, QueueDeclareOk()))
            await channel.declare_queue("other")
            for _ in range(count):
                await anext(consumer)
            nursery.start_soon(accept_cancel, server)


@in_trio
async def test_no_task_is_left_behind() -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with consuming() as (server, consumer, nursery):
        await server.send(delivery(1))
        (await anext(consumer)).ack()
        nursery.start_soon(accept_cancel, server)
    assert trio.lowlevel.current_statistics().tasks_living == before

"""The trio shell over memory streams: connections and requests."""

from __future__ import annotations

import pytest
import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from tests.client.scripted import (
    ScriptedServer,
    accept_cancel,
    connected,
    consuming,
    delivery,
    in_trio,
    on_a_channel,
)
from tests.client.server_side import handshake, method
from warren._client.declaring import Queue
from warren._client.link import connect_over
from warren.errors import AccessRefused, ConnectionForced, NotFound
from warren.protocol.failures import (
    ChannelClosed,
    ConnectionLost,
)
from warren.wire.constants import HEARTBEAT
from warren.wire.methods import (
    ChannelClose,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionStartOk,
    ConnectionUnblocked,
    QueueDeclare,
    QueueDeclareOk,
)
from warren.wire.uri import parse_uri

ADDRESS = parse_uri("amqp://h/v")
FORCED = ConnectionClose(reply_code=320, reply_text="CONNECTION_FORCED - shutdown")
MISSING = ChannelClose(reply_code=404, reply_text="NOT_FOUND - no exchange 'x'")


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
                await channel.publish(b"")
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
        assert await channel.declare_queue("q") == Queue("q", 3)
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
        assert await channel.declare_queue("second") == Queue("second")


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
            await channel.publish(b"")


# --- nothing is left behind


@in_trio
async def test_no_task_is_left_behind() -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with consuming() as (server, consumer, nursery):
        await server.send(delivery(1))
        (await anext(consumer)).ack()
        nursery.start_soon(accept_cancel, server)
    assert trio.lowlevel.current_statistics().tasks_living == before

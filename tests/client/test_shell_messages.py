"""The trio shell over memory streams: publishing and consuming."""

from __future__ import annotations

import pytest
import trio
from trio.testing import (
    lockstep_stream_one_way_pair,
    memory_stream_one_way_pair,
    memory_stream_pair,
    wait_all_tasks_blocked,
)

from tests.client.scripted import (
    ScriptedServer,
    accept_cancel,
    accept_consumer,
    connected,
    consuming,
    delivery,
    in_trio,
    on_a_channel,
)
from tests.client.server_side import content, method
from warren._client.batch import UNSETTLED_MAX, Batch, BatchFailed
from warren._client.closing import CLOSE_TIMEOUT_SECONDS
from warren._client.gate import BUFFERED_MAX
from warren._client.link import connect_over
from warren._client.slot import Outgoing
from warren.errors import NotFound
from warren.protocol.failures import (
    ConsumerLost,
    Nacked,
    Unroutable,
)
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicReturn,
    ChannelClose,
    ConnectionClose,
    QueueDeclareOk,
)
from warren.wire.outbox import HIGH_WATER
from warren.wire.properties import Properties
from warren.wire.uri import parse_uri

ADDRESS = parse_uri("amqp://h/v")
FORCED = ConnectionClose(reply_code=320, reply_text="CONNECTION_FORCED - shutdown")
MISSING = ChannelClose(reply_code=404, reply_text="NOT_FOUND - no exchange 'x'")


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
        assert [type(error) for _, error in failures] == [Unroutable, Nacked]
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
async def test_a_batch_waits_when_too_much_is_unconfirmed() -> None:
    async with on_a_channel() as (server, channel, _):
        batch = Batch(channel)
        with trio.move_on_after(1):
            while True:
                await batch.publish(b"")
        assert batch.count == UNSETTLED_MAX + 1
        ack = BasicAck(delivery_tag=UNSETTLED_MAX, multiple=True)
        await server.send(method(1, ack))
        await batch.publish(b"")
        await wait_all_tasks_blocked()
        await batch.publish(b"")
        assert batch.confirmed_count == UNSETTLED_MAX


@in_trio
async def test_what_was_not_confirmed_fails_with_the_channel() -> None:
    async with on_a_channel() as (server, channel, _):
        slots = [Outgoing(BasicPublish(), Properties(), b"") for _ in range(3)]
        for slot in slots:
            channel.publish_nowait(slot)
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
        assert await server.wait_for(BasicAck) == BasicAck(2, multiple=True)
        nursery.start_soon(accept_cancel, server)


@in_trio
async def test_an_ack_out_of_turn_is_sent_alone() -> None:
    async with consuming() as (server, consumer, nursery):
        await server.send(b"".join(map(delivery, (1, 2, 3, 4))))
        first, second, third, fourth = [await anext(consumer) for _ in range(4)]
        third.ack()
        assert await server.wait_for(BasicAck) == BasicAck(3)
        first.ack()
        assert await server.wait_for(BasicAck) == BasicAck(1)
        second.requeue()
        assert await server.wait_for(BasicNack) == BasicNack(2)
        fourth.ack()
        assert await server.wait_for(BasicAck) == BasicAck(4)
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
    given_back = [each for each in server.received if isinstance(each, BasicNack)]
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
async def test_leaving_a_consumer_whose_channel_ends_meanwhile() -> None:
    async with consuming() as (server, _, nursery):

        async def refuse_cancel() -> None:
            await server.wait_for(BasicCancel)
            await server.send(method(1, MISSING))

        nursery.start_soon(refuse_cancel)
    assert trio.current_time() == 0


@in_trio
async def test_reading_goes_on_while_publishing_waits_for_room() -> None:
    """A server may read nothing before what it has sent is read: both would wait."""
    to_server, at_server = memory_stream_one_way_pair()
    to_client, at_client = lockstep_stream_one_way_pair()
    server = ScriptedServer(trio.StapledStream(to_client, at_server))
    pump = to_server.send_all_hook
    all_is_read = trio.Event()

    async def full_socket() -> None:
        await all_is_read.wait()
        if pump is not None:
            await pump()

    async def deliver() -> None:
        for tag in range(1, 2 * BUFFERED_MAX):
            await server.send(delivery(tag))
        all_is_read.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        nursery.start_soon(server.shake_hands)
        async with (
            connect_over(trio.StapledStream(to_server, at_client), ADDRESS) as link,
            link.channel() as channel,
        ):
            nursery.start_soon(accept_consumer, server)
            async with channel.consume("q"):
                to_server.send_all_hook = full_socket
                nursery.start_soon(deliver)
                batch = Batch(channel)
                with trio.fail_after(60):
                    for _ in range(40):
                        await batch.publish(bytes(HIGH_WATER // 16))
                nursery.start_soon(accept_cancel, server)


@in_trio
async def test_a_cancelled_get_whose_answer_comes_with_the_end() -> None:
    """Then there is nothing to be given back, and no error that is anybody's."""
    async with (
        connected() as (connection, server),
        connection.channel() as other,
        connection.channel() as channel,
    ):
        with trio.move_on_after(1):
            await channel.get("q")
        end = ChannelClose(reply_code=404, reply_text="NOT_FOUND - no queue 'q'")
        got = content(2, BasicGetOk(delivery_tag=1), Properties(), b"")
        await server.send(got + method(2, end))
        await wait_all_tasks_blocked()
        assert isinstance(channel.end_reason, NotFound)
        assert not other.has_ended


@in_trio
async def test_what_is_not_taken_goes_back_however_slow_the_server_is() -> None:
    """It answers nothing in time, and sends one more before it has read of the end."""
    async with on_a_channel() as (server, channel, nursery):
        nursery.start_soon(accept_consumer, server)
        async with channel.consume("q") as consumer:
            await server.send(delivery(1) + delivery(2) + delivery(3))
            (await anext(consumer)).ack()
        assert trio.current_time() == CLOSE_TIMEOUT_SECONDS
        await server.wait_for(BasicCancel)
        await server.send(delivery(4))
        await server.send(method(1, BasicCancelOk(consumer_tag="warren-1-1")))
        for tag in (2, 3, 4):
            assert (await server.wait_for(BasicNack)).delivery_tag == tag
        assert not channel.has_ended

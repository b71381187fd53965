"""aio-pika's robust connection: what it expects of a broker when it comes back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aio_pika
import pytest
from aio_pika import Message

from tests.interop.asynchronous import asynchronous
from tests.interop.relay import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aio_pika.abc import AbstractIncomingMessage

    from tests.interop.serving import Serving

pytestmark = pytest.mark.interop

UNKNOWN_FRAME = bytes([7, 0, 0, 0, 0, 0, 0, 0xCE])

Connection = aio_pika.RobustConnection


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Connection]:
    """A robust connection that does not dawdle before it tries again."""
    connection = await aio_pika.connect_robust(url, reconnect_interval=0.05)
    async with connection:
        yield connection


def next_event(callbacks: aio_pika.tools.CallbackCollection) -> asyncio.Event:
    """An event set when the callbacks are next called."""
    event = asyncio.Event()
    callbacks.add(lambda *_: event.set())
    return event


@pytest.mark.parametrize("end", ["closed by the broker", "cut"])
@asynchronous
async def test_consuming_goes_on_after_a_reconnect(
    amqp_url: str, name: str, end: str
) -> None:
    received: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    async with Relay(amqp_url) as relay, connect(relay.url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        exchange = await channel.declare_exchange(name, "topic", auto_delete=True)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, "a.*")
        await queue.consume(received.put)
        await exchange.publish(Message(b"before"), "a.b")
        assert (await received.get()).body == b"before"

        restored = next_event(connection.reconnect_callbacks)
        if end == "cut":
            relay.cut()
        else:
            relay.inject(UNKNOWN_FRAME)
        await restored.wait()
        await channel.ready()
        await exchange.publish(Message(b"after"), "a.c")
        message = await received.get()
        assert (message.body, message.redelivered) == (b"after", False)
        await message.ack()
        assert relay.connections == 2


@asynchronous
async def test_the_broker_says_why_it_closes(amqp_url: str) -> None:
    async with (
        Relay(amqp_url) as relay,
        await aio_pika.connect(relay.url) as connection,
    ):
        closed: asyncio.Future[BaseException | None] = asyncio.Future()
        connection.close_callbacks.add(lambda _, error: closed.set_result(error))
        relay.inject(UNKNOWN_FRAME)
        error = await closed
        assert isinstance(error, aio_pika.exceptions.ConnectionClosed)
        assert "FRAME_ERROR" in str(error)


@asynchronous
async def test_unacked_messages_come_back_after_a_cut(amqp_url: str, name: str) -> None:
    async with connect(amqp_url) as observing, Relay(amqp_url) as relay:
        channel = await observing.channel()
        queue = await channel.declare_queue(name, auto_delete=True)
        async with await aio_pika.connect(relay.url) as connection:
            holder = await (await connection.channel()).get_queue(name)
            await channel.default_exchange.publish(Message(b"held"), name)
            await holder.get()
            relay.cut()
            async with queue.iterator() as messages:
                message = await anext(messages)
                await message.ack()
        assert (message.body, message.redelivered) == (b"held", True)


@asynchronous
async def test_a_channel_comes_back_after_the_broker_closed_it(
    amqp_url: str, name: str
) -> None:
    async with connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        reopened = next_event(channel.reopen_callbacks)
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await channel.declare_queue(name, passive=True)
        await reopened.wait()
        await channel.default_exchange.publish(Message(b"again"), queue.name)
        assert (await queue.get(no_ack=True)).body == b"again"


@asynchronous
async def test_a_restart_is_survived(serving: Serving) -> None:
    received: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    async with connect(serving.url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("restarted", durable=True)
        await queue.consume(received.put, no_ack=True)
        restored = next_event(connection.reconnect_callbacks)
        await asyncio.to_thread(serving.restart)
        await restored.wait()
        await channel.ready()
        await channel.default_exchange.publish(Message(b"back"), "restarted")
        assert (await received.get()).body == b"back"

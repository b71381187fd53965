"""aio-pika: publishing, consuming, transactions, and its own patterns."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika import ExchangeType, Message
from aio_pika.exceptions import (
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
    QueueEmpty,
)
from pamqp.commands import Basic

from tests.interop.asynchronous import asynchronous

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aio_pika.abc import AbstractChannel

pytestmark = pytest.mark.interop


@asynccontextmanager
async def open_channel(url: str, **options: bool) -> AsyncIterator[AbstractChannel]:
    """A channel on a robust connection of its own."""
    async with (
        await aio_pika.connect_robust(url) as connection,
        connection.channel(**options) as channel,
    ):
        yield channel


@asynchronous
async def test_a_confirmed_message_arrives_as_it_was_sent(amqp_url: str) -> None:
    async with open_channel(amqp_url) as channel:
        queue = await channel.declare_queue(exclusive=True)
        sent = Message(
            b"body",
            headers={"text": "läuft", "number": 2**40, "list": [1, {"two": 2}]},
            content_type="text/plain",
            correlation_id="correlation",
            expiration=60,
            priority=4,
            message_id="message",
            user_id="guest",
        )
        confirmed = await channel.default_exchange.publish(sent, queue.name)
        assert isinstance(confirmed, Basic.Ack)
        message = await queue.get()
        assert message.body == b"body"
        assert not message.redelivered
        for field in ("headers", "content_type", "correlation_id", "expiration"):
            assert getattr(message, field) == getattr(sent, field)
        for field in ("priority", "message_id", "user_id"):
            assert getattr(message, field) == getattr(sent, field)
        await message.ack()


@asynchronous
async def test_a_hundred_publishers_are_confirmed_at_once(amqp_url: str) -> None:
    async with open_channel(amqp_url) as channel:
        queue = await channel.declare_queue(exclusive=True)
        await asyncio.gather(
            *(
                channel.default_exchange.publish(Message(b"%d" % number), queue.name)
                for number in range(100)
            )
        )
        bodies = [(await queue.get(no_ack=True)).body for _ in range(100)]
        assert sorted(map(int, bodies)) == list(range(100))


@asynchronous
async def test_an_unroutable_message_is_returned(amqp_url: str, name: str) -> None:
    async with open_channel(amqp_url, on_return_raises=True) as channel:
        with pytest.raises(PublishError) as returned:
            await channel.default_exchange.publish(Message(b"back"), name)
        assert returned.value.message.body == b"back"
        assert returned.value.message.delivery.reply_code == 312
        queue = await channel.declare_queue(exclusive=True)
        await channel.default_exchange.publish(Message(b"routed"), queue.name)


@asynchronous
async def test_a_full_queue_refuses_by_nack(amqp_url: str) -> None:
    async with open_channel(amqp_url) as channel:
        queue = await channel.declare_queue(
            exclusive=True,
            arguments={"x-max-length": 1, "x-overflow": "reject-publish"},
        )
        await channel.default_exchange.publish(Message(b"fits"), queue.name)
        with pytest.raises(DeliveryError):
            await channel.default_exchange.publish(Message(b"no room"), queue.name)


@asynchronous
async def test_getting_from_an_empty_queue(amqp_url: str) -> None:
    async with open_channel(amqp_url) as channel:
        queue = await channel.declare_queue(exclusive=True)
        assert await queue.get(fail=False) is None
        with pytest.raises(QueueEmpty):
            await queue.get()


@asynchronous
async def test_iterating_over_a_queue(amqp_url: str) -> None:
    async with open_channel(amqp_url) as channel:
        await channel.set_qos(prefetch_count=3)
        queue = await channel.declare_queue(exclusive=True)
        for number in range(20):
            await channel.default_exchange.publish(Message(b"%d" % number), queue.name)
        bodies = []
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    bodies.append(int(message.body))
                if len(bodies) == 15:
                    break
        assert bodies == list(range(15))
        assert (await queue.purge()).message_count == 5


@asynchronous
async def test_a_failed_handler_requeues_or_rejects(amqp_url: str) -> None:
    async with open_channel(amqp_url) as channel:
        queue = await channel.declare_queue(exclusive=True)
        await channel.default_exchange.publish(Message(b"hard"), queue.name)
        message = await queue.get()
        with pytest.raises(ZeroDivisionError):
            async with message.process(requeue=True):
                raise ZeroDivisionError
        message = await queue.get()
        assert message.redelivered
        with pytest.raises(ZeroDivisionError):
            async with message.process():
                raise ZeroDivisionError
        assert await queue.get(fail=False) is None


@pytest.mark.parametrize(
    ("kind", "binding", "sent", "arrives"),
    [
        (ExchangeType.FANOUT, {}, ["a", "b"], ["a", "b"]),
        (ExchangeType.DIRECT, {"routing_key": "a"}, ["a", "b"], ["a"]),
        (ExchangeType.TOPIC, {"routing_key": "*.x"}, ["a.x", "x", "a.b.x"], ["a.x"]),
        (
            ExchangeType.HEADERS,
            {"arguments": {"x-match": "all", "key": "a"}},
            ["a", "b"],
            ["a"],
        ),
    ],
)
@asynchronous
async def test_exchange_types(
    amqp_url: str,
    name: str,
    kind: ExchangeType,
    binding: dict[str, object],
    sent: list[str],
    arrives: list[str],
) -> None:
    async with open_channel(amqp_url) as channel:
        exchange = await channel.declare_exchange(name, kind, auto_delete=True)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, **binding)
        for key in sent:
            await exchange.publish(Message(key.encode(), headers={"key": key}), key)
        await queue.unbind(exchange, **binding)
        bodies = []
        while message := await queue.get(no_ack=True, fail=False):
            bodies.append(message.body.decode())
        assert bodies == arrives


@asynchronous
async def test_a_transaction_commits_or_rolls_back(amqp_url: str) -> None:
    async with open_channel(amqp_url, publisher_confirms=False) as channel:
        queue = await channel.declare_queue(exclusive=True)
        publish = channel.default_exchange.publish
        forgotten = channel.transaction()
        await forgotten.select()
        await publish(Message(b"forgotten"), queue.name)
        await forgotten.rollback()
        async with channel.transaction():
            await publish(Message(b"kept"), queue.name)
            assert await queue.get(fail=False) is None
        message = await queue.get(no_ack=True)
        assert message.body == b"kept"
        assert await queue.get(fail=False) is None


@asynchronous
async def test_direct_reply_to(amqp_url: str) -> None:
    async with open_channel(amqp_url) as channel, open_channel(amqp_url) as server:
        requests = await server.declare_queue(exclusive=False, auto_delete=True)

        async def answer(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            async with message.process():
                reply = Message(b"pong", correlation_id=message.correlation_id)
                await server.default_exchange.publish(reply, str(message.reply_to))

        await requests.consume(answer)
        replies = await channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
        answers: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
        await replies.consume(answers.put, no_ack=True)
        request = Message(b"ping", correlation_id="1", reply_to="amq.rabbitmq.reply-to")
        await channel.default_exchange.publish(request, requests.name)
        reply = await answers.get()
        assert (reply.body, reply.correlation_id) == (b"pong", "1")


@asynchronous
async def test_the_rpc_pattern(amqp_url: str, name: str) -> None:
    async def multiply(*, x: int, y: int) -> int:
        return x * y

    async def fail() -> None:
        raise ZeroDivisionError("over there")

    async with open_channel(amqp_url) as here, open_channel(amqp_url) as there:
        server = await aio_pika.patterns.RPC.create(there)
        await server.register(f"{name}.multiply", multiply, auto_delete=True)
        await server.register(f"{name}.fail", fail, auto_delete=True)
        client = await aio_pika.patterns.RPC.create(here)
        calls = (client.call(f"{name}.multiply", {"x": x, "y": 3}) for x in range(20))
        assert await asyncio.gather(*calls) == [3 * x for x in range(20)]
        with pytest.raises(ZeroDivisionError, match="over there"):
            await client.call(f"{name}.fail")
        with pytest.raises(aio_pika.exceptions.MessageProcessError):
            await client.call(f"{name}.none")
        await client.close()
        await server.close()


@asynchronous
async def test_an_rpc_nobody_answers_in_time_comes_back_expired(
    amqp_url: str, name: str
) -> None:
    async with open_channel(amqp_url) as channel:
        client = await aio_pika.patterns.RPC.create(channel)
        await channel.declare_queue(
            name, exclusive=True, arguments={"x-dead-letter-exchange": "rpc.dlx"}
        )
        with pytest.raises(asyncio.TimeoutError):
            await client.call(name, expiration=0.01)
        await client.close()


@asynchronous
async def test_the_master_and_worker_pattern(amqp_url: str, name: str) -> None:
    done: asyncio.Queue[int] = asyncio.Queue()

    async def work(*, number: int) -> None:
        await done.put(number)

    async with open_channel(amqp_url) as here, open_channel(amqp_url) as there:
        worker = await aio_pika.patterns.Master(there).create_worker(
            name, work, auto_delete=True
        )
        master = aio_pika.patterns.Master(here)
        for number in range(10):
            await master.create_task(name, {"number": number})
        assert [await done.get() for _ in range(10)] == list(range(10))
        await worker.close()


@asynchronous
async def test_errors_close_the_channel_alone(amqp_url: str, name: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        with pytest.raises(ChannelNotFoundEntity, match=f"no queue '{name}'"):
            await channel.declare_queue(name, passive=True)
        channel = await connection.channel()
        await channel.declare_queue(name, exclusive=True)
        with pytest.raises(ChannelPreconditionFailed, match="inequivalent arg"):
            await channel.declare_queue(
                name, exclusive=True, arguments={"x-max-length": 1}
            )
        async with connection.channel() as last:
            await last.declare_queue(name, exclusive=True)


@asynchronous
async def test_a_wrong_password_is_refused(amqp_url: str) -> None:
    parts = urlsplit(amqp_url)
    with pytest.raises(ProbableAuthenticationError):
        await aio_pika.connect(f"amqp://guest:wrong@{parts.hostname}:{parts.port}/")

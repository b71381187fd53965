"""Confirms that wait for room (`x-overflow: block`), as unchanged clients take them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aio_pika
import pika
import pytest
from aio_pika import Message
from aio_pika.exceptions import DeliveryError
from pamqp.commands import Basic
from pika.exceptions import NackError

from tests.interop.asynchronous import asynchronous
from tests.interop.blocking import get

if TYPE_CHECKING:
    from tests.interop.serving import Serving

pytestmark = pytest.mark.interop

DEADLINE_MS = 500
ROOMY_MS = 15_000


@asynchronous
async def test_aio_pika_is_confirmed_out_of_order(serving: Serving) -> None:
    async with await aio_pika.connect(serving.url) as connection:
        channel = await connection.channel()
        other = await connection.channel()
        arguments = {
            "x-overflow": "block",
            "x-max-length": 1,
            "x-publish-deadline": ROOMY_MS,
        }
        full = await channel.declare_queue("full", arguments=arguments)
        free = await channel.declare_queue("free")

        def publish(text: bytes, key: str) -> asyncio.Task[object]:
            sending = channel.default_exchange.publish(Message(text), key)
            return asyncio.ensure_future(sending)

        await publish(b"0", full.name)
        waiting = [publish(b"%d" % number, full.name) for number in range(1, 4)]
        passing = [publish(b"x", free.name) for _ in range(20)]
        done = await asyncio.gather(*passing)
        assert all(isinstance(each, Basic.Ack) for each in done)
        sent = Message(b"y")
        await other.default_exchange.publish(sent, free.name)
        assert not any(each.done() for each in waiting)
        found = []
        for number in range(4):
            found.append((await full.get(no_ack=True)).body)
            if number < len(waiting):
                assert isinstance(await waiting[number], Basic.Ack)
        assert found == [b"0", b"1", b"2", b"3"]
        assert isinstance(await publish(b"4", full.name), Basic.Ack)


@asynchronous
async def test_aio_pika_hears_of_the_deadline(serving: Serving) -> None:
    async with await aio_pika.connect(serving.url) as connection:
        channel = await connection.channel()
        arguments = {
            "x-overflow": "block",
            "x-max-length": 1,
            "x-publish-deadline": DEADLINE_MS,
        }
        full = await channel.declare_queue("full", arguments=arguments)
        exchange = channel.default_exchange
        await exchange.publish(Message(b"0"), full.name)
        several = [exchange.publish(Message(b"1"), full.name) for _ in range(3)]
        answers = await asyncio.gather(*several, return_exceptions=True)
        assert all(isinstance(each, DeliveryError) for each in answers)
        assert (await full.get(no_ack=True)).body == b"0"
        assert await full.get(no_ack=True, fail=False) is None


def test_pika_hears_of_the_deadline(serving: Serving) -> None:
    with pika.BlockingConnection(pika.URLParameters(serving.url)) as connection:
        channel, other = connection.channel(), connection.channel()
        arguments = {
            "x-overflow": "block",
            "x-max-length": 1,
            "x-publish-deadline": DEADLINE_MS,
        }
        channel.queue_declare("full", arguments=arguments)
        channel.confirm_delivery()
        channel.basic_publish("", "full", b"0")
        with pytest.raises(NackError):
            channel.basic_publish("", "full", b"1")
        assert get(other, "full")[0] == b"0"
        channel.basic_publish("", "full", b"2")
        assert get(other, "full")[0] == b"2"

"""pika and aio-pika: messages that are published now and routed later."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import aio_pika
import pika
import pytest
from aio_pika import ExchangeType, Message
from pika.exceptions import ChannelClosedByBroker, NackError, UnroutableError

from tests.interop.asynchronous import asynchronous
from tests.interop.blocking import pump, ready_count
from tests.interop.serving import warrens_own

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.adapters.blocking_connection import BlockingChannel

pytestmark = [pytest.mark.interop, warrens_own]

DELAYED_MESSAGE = "x-delayed-message"
A_MINUTE = 60_000


class Got(NamedTuple):
    """A delivery, and when it came (monotonic seconds)."""

    body: bytes
    headers: dict[str, object]
    came_at: float


def collect(channel: BlockingChannel, queue: str) -> list[Got]:
    """Consume; return the list that deliveries will be in."""
    deliveries: list[Got] = []

    def on_message(
        _: BlockingChannel,
        __: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        deliveries.append(Got(body, properties.headers or {}, time.monotonic()))

    channel.basic_consume(queue, on_message, auto_ack=True)
    return deliveries


def publish(
    channel: BlockingChannel,
    key: str,
    body: bytes,
    exchange: str = "",
    **headers: object,
) -> float:
    """Publish as mandatory, with headers (`-` for `_`); return when that was."""
    known = {f"x-{header.replace('_', '-')}": headers[header] for header in headers}
    properties = pika.BasicProperties(headers=known)
    before = time.monotonic()
    channel.basic_publish(exchange, key, body, properties, mandatory=True)
    return before


@pytest.mark.parametrize("kind", ["direct", "topic", "fanout"])
def test_a_delayed_exchange_routes_when_it_is_time(
    connection: pika.BlockingConnection,
    channel: BlockingChannel,
    queue: str,
    name: str,
    kind: str,
) -> None:
    arguments = {"x-delayed-type": kind}
    channel.exchange_declare(
        name, DELAYED_MESSAGE, auto_delete=True, arguments=arguments
    )
    channel.queue_bind(queue, name, "key")
    channel.confirm_delivery()
    got = collect(channel, queue)
    delays = {b"late": 150, b"early": 50, b"now": 0}
    sent = {
        body: publish(channel, "key", body, name, delay=delay)
        for body, delay in delays.items()
    }
    pump(connection, lambda: len(got) == len(delays))
    assert {each.body for each in got} == delays.keys()
    for each in got:
        assert each.headers == {"x-delay": -delays[each.body]}
        assert each.came_at - sent[each.body] >= delays[each.body] / 1000


def test_a_delayed_exchange_needs_a_type(channel: BlockingChannel, name: str) -> None:
    with pytest.raises(ChannelClosedByBroker) as refused:
        channel.exchange_declare(name, DELAYED_MESSAGE)
    assert refused.value.reply_code == 406


def test_any_exchange_delays(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    channel.confirm_delivery()
    got = collect(channel, queue)
    sent = publish(channel, queue, b"later", delay=100)
    pump(connection, lambda: got)
    assert got[0].came_at - sent >= 0.1


@pytest.mark.parametrize(
    "written",
    [
        lambda moment: int(moment.timestamp() * 1000),
        lambda moment: moment.isoformat(),
        lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    ],
    ids=["milliseconds", "with an offset", "with a Z"],
)
def test_a_message_says_when(
    connection: pika.BlockingConnection,
    channel: BlockingChannel,
    queue: str,
    written: Callable[[datetime], object],
) -> None:
    channel.confirm_delivery()
    got = collect(channel, queue)
    moment = datetime.now(UTC) + timedelta(milliseconds=150)
    publish(channel, queue, b"later", deliver_at=written(moment))
    past = datetime.now(UTC) - timedelta(days=1)
    publish(channel, queue, b"long ago", deliver_at=written(past))
    pump(connection, lambda: len(got) == 2)
    assert datetime.now(UTC) >= moment - timedelta(milliseconds=1)
    assert sorted(each.body for each in got) == [b"later", b"long ago"]


def test_a_timestamp_of_whole_seconds_says_when(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    """What clients make of a datetime in a header."""
    channel.confirm_delivery()
    got = collect(channel, queue)
    moment = (datetime.now(UTC) + timedelta(seconds=1)).replace(microsecond=0)
    publish(channel, queue, b"later", deliver_at=moment)
    pump(connection, lambda: got)
    assert datetime.now(UTC) >= moment - timedelta(milliseconds=1)


def test_a_scheduled_message_can_be_cancelled_once(
    channel: BlockingChannel, queue: str
) -> None:
    channel.confirm_delivery()
    publish(channel, queue, b"regretted", delay=A_MINUTE, schedule_id="mine")
    publish(channel, queue, b"", schedule_cancel="mine")
    with pytest.raises((NackError, UnroutableError)) as gone:
        publish(channel, queue, b"", schedule_cancel="mine")
    assert gone.value.messages[0].method.reply_text == "NO_ROUTE"
    assert ready_count(channel, queue) == 0


def test_a_scheduled_message_can_be_replaced(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    channel.confirm_delivery()
    got = collect(channel, queue)
    publish(channel, queue, b"first idea", delay=A_MINUTE, schedule_id="mine")
    publish(channel, queue, b"second idea", delay=50, schedule_id="mine")
    publish(channel, queue, b"another", delay=100, schedule_id="another")
    pump(connection, lambda: len(got) == 2)
    assert sorted(each.body for each in got) == [b"another", b"second idea"]
    with pytest.raises((NackError, UnroutableError)):
        publish(channel, queue, b"", schedule_cancel="mine")


@asynchronous
async def test_aio_pika_delays(amqp_url: str, name: str) -> None:
    async with (
        await aio_pika.connect_robust(amqp_url) as connection,
        connection.channel() as channel,
    ):
        exchange = await channel.declare_exchange(
            name,
            ExchangeType.X_DELAYED_MESSAGE,
            auto_delete=True,
            arguments={"x-delayed-type": "topic"},
        )
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, "orders.*")
        before = time.monotonic()
        for delay in (150, 50, 100):
            message = Message(b"%d" % delay, headers={"x-delay": delay})
            await exchange.publish(message, "orders.new")
        arrived = set()
        async with queue.iterator(no_ack=True) as messages:
            async for message in messages:
                delay = int(message.body)
                assert time.monotonic() - before >= delay / 1000
                arrived.add(delay)
                if len(arrived) == 3:
                    break
        assert arrived == {50, 100, 150}


@asynchronous
async def test_aio_pika_says_when(amqp_url: str) -> None:
    async with (
        await aio_pika.connect_robust(amqp_url) as connection,
        connection.channel() as channel,
    ):
        queue = await channel.declare_queue(exclusive=True)
        moment = datetime.now(UTC) + timedelta(milliseconds=150)
        headers = {"x-deliver-at": moment.isoformat()}
        await channel.default_exchange.publish(
            Message(b"later", headers=headers), queue.name
        )
        async with queue.iterator(no_ack=True) as messages:
            await anext(messages)
        assert datetime.now(UTC) >= moment - timedelta(milliseconds=1)

"""pika: properties, confirms, returns, transactions, requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pika
import pytest
from pika.exceptions import UnroutableError

from tests.interop.blocking import get, pump

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

pytestmark = pytest.mark.interop

EVERY_PROPERTY = pika.BasicProperties(
    content_type="application/json",
    content_encoding="utf-8",
    headers={
        "text": "läuft",
        "number": 7,
        "large": 2**40,
        "negative": -5,
        "flag": True,
        "nothing": None,
        "list": [1, "two", {"three": 3}],
        "bytes": b"\x00\xff",
    },
    delivery_mode=2,
    priority=3,
    correlation_id="correlation",
    reply_to="somewhere",
    expiration="60000",
    message_id="message",
    timestamp=1_700_000_000,
    type="type",
    user_id="guest",
    app_id="interop",
)


def test_every_property_arrives_as_it_was_sent(
    channel: BlockingChannel, queue: str
) -> None:
    channel.basic_publish("", queue, b"body", EVERY_PROPERTY)
    method, properties, body = channel.basic_get(queue)
    assert (method.exchange, method.routing_key) == ("", queue)
    assert (method.message_count, method.redelivered) == (0, False)
    assert (properties, body) == (EVERY_PROPERTY, b"body")


def test_get_counts_what_stays_behind_and_ends_empty(
    channel: BlockingChannel, queue: str
) -> None:
    channel.confirm_delivery()
    for body in (b"one", b"two"):
        channel.basic_publish("", queue, body)
    method, _, body = channel.basic_get(queue)
    assert (method.message_count, body) == (1, b"one")
    assert get(channel, queue) == (b"two", False)
    assert channel.basic_get(queue) == (None, None, None)


@pytest.mark.parametrize("size", [0, 1, 131_064, 131_065, 1 << 20])
def test_bodies_of_any_number_of_frames(
    channel: BlockingChannel, queue: str, size: int
) -> None:
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"x" * size)
    assert get(channel, queue) == (b"x" * size, False)


def test_confirmed_publish_to_nobody_is_no_error(
    channel: BlockingChannel, name: str
) -> None:
    channel.confirm_delivery()
    channel.basic_publish("", name, b"dropped")


def test_mandatory_publish_to_nobody_comes_back_before_its_confirm(
    channel: BlockingChannel, name: str
) -> None:
    channel.confirm_delivery()
    with pytest.raises(UnroutableError) as refused:
        channel.basic_publish("", name, b"back", EVERY_PROPERTY, mandatory=True)
    (returned,) = refused.value.messages
    assert (returned.method.reply_code, returned.method.reply_text) == (312, "NO_ROUTE")
    assert (returned.method.exchange, returned.method.routing_key) == ("", name)
    assert (returned.properties, returned.body) == (EVERY_PROPERTY, b"back")


def test_mandatory_publish_without_confirms_is_returned(
    connection: pika.BlockingConnection, channel: BlockingChannel, name: str
) -> None:
    returned: list[bytes] = []
    channel.add_on_return_callback(lambda *arguments: returned.append(arguments[-1]))
    channel.basic_publish("", name, b"back", mandatory=True)
    pump(connection, lambda: returned == [b"back"])


def test_commit_publishes_and_rollback_forgets(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    observer = connection.channel()
    channel.tx_select()
    channel.basic_publish("", queue, b"forgotten")
    channel.tx_rollback()
    channel.basic_publish("", queue, b"kept")
    assert get(observer, queue) == (None, None)
    channel.tx_commit()
    assert get(observer, queue) == (b"kept", False)
    assert get(observer, queue) == (None, None)


def test_an_ack_rolled_back_leaves_the_message_with_its_channel(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    channel.basic_publish("", queue, b"kept")
    channel.tx_select()
    method, _, _ = channel.basic_get(queue)
    channel.basic_ack(method.delivery_tag)
    channel.tx_rollback()
    observer = connection.channel()
    assert get(observer, queue) == (None, None)
    channel.close()
    assert get(observer, queue) == (b"kept", True)


def test_an_ack_committed_is_done(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    channel.basic_publish("", queue, b"done")
    channel.tx_select()
    method, _, _ = channel.basic_get(queue)
    channel.basic_ack(method.delivery_tag)
    channel.tx_commit()
    channel.close()
    assert get(connection.channel(), queue) == (None, None)


def test_direct_reply_to_answers_a_request(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    answers: list[bytes] = []
    channel.basic_consume(
        "amq.rabbitmq.reply-to",
        lambda *arguments: answers.append(arguments[-1]),
        auto_ack=True,
    )
    channel.basic_publish(
        "", queue, b"ping", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to")
    )
    server = connection.channel()
    _, properties, _ = server.basic_get(queue, auto_ack=True)
    assert properties.reply_to.startswith("amq.rabbitmq.reply-to.")
    server.basic_publish("", properties.reply_to, b"pong")
    pump(connection, lambda: answers == [b"pong"])

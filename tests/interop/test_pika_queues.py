"""pika: queues with a will of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pika
import pytest
from pika.exceptions import NackError

from tests.interop.blocking import get, pump

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.adapters.blocking_connection import BlockingChannel

pytestmark = pytest.mark.interop


def test_a_full_queue_that_rejects_nacks_the_publish(
    channel: BlockingChannel,
) -> None:
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"fits")
    with pytest.raises(NackError):
        channel.basic_publish("", queue, b"too many")


def dead_letter_queue(
    channel: BlockingChannel, target: str, arguments: dict[str, object]
) -> str:
    """An exclusive queue whose dead letters go to the target queue."""
    arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target}
    declared = channel.queue_declare("", exclusive=True, arguments=arguments)
    return str(declared.method.queue)


@pytest.mark.parametrize(
    ("arguments", "kill", "reason"),
    [
        ({"x-message-ttl": 1}, None, "expired"),
        ({"x-max-length": 0}, None, "maxlen"),
        ({}, "reject", "rejected"),
    ],
)
def test_dead_letters_say_why_they_died(
    connection: pika.BlockingConnection,
    channel: BlockingChannel,
    queue: str,
    arguments: dict[str, object],
    kill: str | None,
    reason: str,
) -> None:
    first = dead_letter_queue(channel, queue, dict(arguments))
    dead: list[pika.BasicProperties] = []
    channel.basic_consume(queue, lambda *arguments: dead.append(arguments[2]))
    channel.basic_publish("", first, b"", pika.BasicProperties(headers={"own": 1}))
    if kill:
        method, _, _ = channel.basic_get(first)
        channel.basic_reject(method.delivery_tag, requeue=False)
    pump(connection, lambda: dead)
    headers = dead[0].headers
    assert headers["own"] == 1
    assert headers["x-first-death-reason"] == reason
    assert headers["x-first-death-queue"] == first
    death = headers["x-death"][0]
    assert (death["reason"], death["queue"], death["count"]) == (reason, first, 1)
    assert (death["exchange"], death["routing-keys"]) == ("", [first])
    # A 64-bit integer on the wire: clients with typed languages cast it.
    assert isinstance(death["count"], pika.compat.long)


def test_a_dead_letter_keeps_its_blind_copies_secret(
    channel: BlockingChannel, queue: str, name: str
) -> None:
    first = dead_letter_queue(channel, queue, {})
    keys = {"CC": [f"{name}.open"], "BCC": [f"{name}.blind"]}
    channel.basic_publish("", first, b"", pika.BasicProperties(headers=keys))
    method, properties, _ = channel.basic_get(first)
    assert properties.headers == {"CC": keys["CC"]}
    dead: list[pika.BasicProperties] = []
    channel.basic_consume(queue, lambda *arguments: dead.append(arguments[2]))
    channel.basic_reject(method.delivery_tag, requeue=False)
    pump(channel.connection, lambda: dead)
    death = dead[0].headers["x-death"][0]
    assert death["routing-keys"] == [first, *keys["CC"]]


def test_priorities_overtake(channel: BlockingChannel) -> None:
    queue = channel.queue_declare(
        "", exclusive=True, arguments={"x-max-priority": 5}
    ).method.queue
    channel.confirm_delivery()
    for priority in (0, 5, 1, 5, 3):
        channel.basic_publish(
            "",
            queue,
            str(priority).encode(),
            pika.BasicProperties(priority=priority),
        )
    bodies = [get(channel, queue)[0] for _ in range(5)]
    assert bodies == [b"5", b"5", b"3", b"1", b"0"]


def test_a_single_active_consumer_is_followed_by_the_next(
    connect: Callable[..., pika.BlockingConnection],
    connection: pika.BlockingConnection,
    channel: BlockingChannel,
    name: str,
) -> None:
    arguments = {"x-single-active-consumer": True, "x-expires": 60_000}
    first = connect()
    first_channel = first.channel()
    first_channel.queue_declare(name, arguments=arguments)
    first_channel.basic_consume(name, lambda *_: None)
    redelivered: list[bool] = []
    channel.basic_consume(
        name, lambda _, method, *__: redelivered.append(method.redelivered)
    )
    publisher = connection.channel()
    publisher.confirm_delivery()
    publisher.basic_publish("", name, b"first to the first")
    first.close()
    pump(connection, lambda: redelivered == [True])
    channel.queue_delete(name)

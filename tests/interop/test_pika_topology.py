"""pika: exchanges, bindings, declarations, and what a refusal says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.adapters.blocking_connection import BlockingChannel

pytestmark = pytest.mark.interop


def exclusive_queue(channel: BlockingChannel) -> str:
    """The name of a new exclusive queue."""
    return str(channel.queue_declare("", exclusive=True).method.queue)


def bodies(channel: BlockingChannel, queue: str) -> list[bytes]:
    """Everything ready in the queue, taken out."""
    taken = []
    while (body := channel.basic_get(queue, auto_ack=True)[2]) is not None:
        taken.append(body)
    return taken


# Type, binding keys of one queue, keys published, keys that arrive.
ROUTING = [
    ("direct", ["a", "b"], ["a", "b", "c", "a.b", ""], ["a", "b"]),
    ("fanout", ["ignored"], ["", "x"], ["", "x"]),
    ("topic", ["a.*"], ["a", "a.b", "a.b.c", "b.a"], ["a.b"]),
    ("topic", ["a.#"], ["a", "a.b", "a.b.c", "b"], ["a", "a.b", "a.b.c"]),
    ("topic", ["#.z", "*.*"], ["z", "a.z", "a.b.z", "a"], ["z", "a.z", "a.b.z"]),
    ("topic", ["#"], ["", "a", "a.b"], ["", "a", "a.b"]),
]


@pytest.mark.parametrize(("kind", "bindings", "sent", "expected"), ROUTING)
def test_an_exchange_routes_by_its_type(
    channel: BlockingChannel,
    name: str,
    kind: str,
    bindings: list[str],
    sent: list[str],
    expected: list[str],
) -> None:
    channel.exchange_declare(name, kind, auto_delete=True)
    queue = exclusive_queue(channel)
    for key in bindings:
        channel.queue_bind(queue, name, key)
    channel.confirm_delivery()
    for key in sent:
        channel.basic_publish(name, key, key.encode())
    assert bodies(channel, queue) == [key.encode() for key in expected]


@pytest.mark.parametrize(
    ("arguments", "headers", "matches"),
    [
        ({"x-match": "all", "a": 1, "b": "x"}, {"a": 1, "b": "x", "c": 0}, True),
        ({"x-match": "all", "a": 1, "b": "x"}, {"a": 1}, False),
        ({"a": 1, "b": "x"}, {"a": 1}, False),
        ({"x-match": "any", "a": 1, "b": "x"}, {"b": "x"}, True),
        ({"x-match": "any", "a": 1}, {"a": 2}, False),
        ({"x-match": "any", "a": 1}, None, False),
        ({"x-match": "all", "a": None}, {"a": "anything"}, True),
    ],
)
def test_a_headers_exchange_matches(
    channel: BlockingChannel,
    name: str,
    arguments: dict[str, object],
    headers: dict[str, object] | None,
    matches: bool,
) -> None:
    channel.exchange_declare(name, "headers", auto_delete=True)
    queue = exclusive_queue(channel)
    channel.queue_bind(queue, name, arguments=arguments)
    channel.confirm_delivery()
    channel.basic_publish(name, "", b"body", pika.BasicProperties(headers=headers))
    assert bodies(channel, queue) == ([b"body"] if matches else [])


def test_a_queue_bound_twice_gets_one_copy(channel: BlockingChannel, name: str) -> None:
    channel.exchange_declare(name, "topic", auto_delete=True)
    queue = exclusive_queue(channel)
    for key in ("#", "a.*", "*.b"):
        channel.queue_bind(queue, name, key)
    channel.confirm_delivery()
    channel.basic_publish(name, "a.b", b"once")
    assert bodies(channel, queue) == [b"once"]


def test_exchanges_feed_exchanges_until_unbound(
    channel: BlockingChannel, name: str
) -> None:
    channel.exchange_declare(name, "topic")
    channel.exchange_declare(f"{name}.inner", "fanout", internal=True)
    channel.exchange_bind(f"{name}.inner", name, "a.#")
    queue = exclusive_queue(channel)
    channel.queue_bind(queue, f"{name}.inner")
    channel.confirm_delivery()
    channel.basic_publish(name, "a.b", b"through")
    channel.basic_publish(name, "b", b"past")
    channel.exchange_unbind(f"{name}.inner", name, "a.#")
    channel.basic_publish(name, "a.b", b"cut off")
    channel.exchange_delete(name)
    channel.exchange_delete(f"{name}.inner")
    assert bodies(channel, queue) == [b"through"]


def test_what_an_exchange_cannot_route_goes_to_its_alternate(
    channel: BlockingChannel, name: str
) -> None:
    channel.exchange_declare(f"{name}.rest", "fanout")
    channel.exchange_declare(name, arguments={"alternate-exchange": f"{name}.rest"})
    queue = exclusive_queue(channel)
    channel.queue_bind(queue, f"{name}.rest")
    channel.confirm_delivery()
    channel.basic_publish(name, "nobody", b"caught", mandatory=True)
    channel.exchange_delete(name)
    channel.exchange_delete(f"{name}.rest")
    assert bodies(channel, queue) == [b"caught"]


def test_unbinding_a_queue_stops_its_messages(
    channel: BlockingChannel, name: str
) -> None:
    channel.exchange_declare(name, "direct")
    queue = exclusive_queue(channel)
    channel.queue_bind(queue, name, "key")
    channel.queue_unbind(queue, name, "key")
    channel.queue_unbind(queue, name, "never bound")
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish(name, "key", b"", mandatory=True)
    channel.exchange_delete(name)


def test_an_auto_delete_exchange_goes_with_its_last_binding(
    connection: pika.BlockingConnection, channel: BlockingChannel, name: str
) -> None:
    channel.exchange_declare(name, "fanout", auto_delete=True)
    queue = exclusive_queue(channel)
    channel.queue_bind(queue, name)
    channel.queue_delete(queue)
    with pytest.raises(ChannelClosedByBroker) as gone:
        connection.channel().exchange_declare(name, passive=True)
    assert gone.value.reply_code == 404


def test_an_auto_delete_queue_goes_with_its_last_consumer(
    connection: pika.BlockingConnection, channel: BlockingChannel, name: str
) -> None:
    channel.queue_declare(name, auto_delete=True)
    tags = [channel.basic_consume(name, lambda *_: None) for _ in range(2)]
    channel.basic_cancel(tags[0])
    assert channel.queue_declare(name, passive=True).method.consumer_count == 1
    channel.basic_cancel(tags[1])
    with pytest.raises(ChannelClosedByBroker) as gone:
        connection.channel().queue_declare(name, passive=True)
    assert gone.value.reply_code == 404


def test_purge_and_delete_say_how_many(channel: BlockingChannel, name: str) -> None:
    channel.confirm_delivery()
    declared = channel.queue_declare(name).method
    assert (declared.queue, declared.message_count) == (name, 0)
    for _ in range(3):
        channel.basic_publish("", name, b"")
    assert channel.queue_purge(name).method.message_count == 3
    channel.basic_publish("", name, b"")
    assert channel.queue_declare(name).method.message_count == 1
    assert channel.queue_delete(name).method.message_count == 1
    assert channel.queue_delete(name).method.message_count == 0


def test_the_broker_names_queues_and_remembers_the_last(
    channel: BlockingChannel,
) -> None:
    queue = exclusive_queue(channel)
    assert queue.startswith("amq.gen-")
    channel.queue_bind("", "amq.direct", queue)
    channel.basic_publish("amq.direct", queue, b"bound")
    assert channel.queue_purge("").method.message_count == 1


def declare_other(channel: BlockingChannel, name: str) -> None:
    """Declare the test's queue with another argument than it has."""
    channel.queue_declare(name, exclusive=True, arguments={"x-max-length": 7})


def delete_full(channel: BlockingChannel, name: str) -> None:
    """Delete the test's queue, if empty, when it is not."""
    channel.confirm_delivery()
    channel.basic_publish("", name, b"")
    channel.queue_delete(name, if_empty=True)


def delete_used(channel: BlockingChannel, name: str) -> None:
    """Delete the test's queue, if unused, when it has a consumer."""
    channel.basic_consume(name, lambda *_: None)
    channel.queue_delete(name, if_unused=True)


def publish_to_nowhere(channel: BlockingChannel, name: str) -> None:
    """Publish to an exchange that is not there."""
    channel.confirm_delivery()
    channel.basic_publish(f"{name}.none", "", b"")


REFUSALS: list[tuple[Callable[[BlockingChannel, str], object], int, str]] = [
    (
        lambda channel, name: channel.queue_declare(f"{name}.none", passive=True),
        404,
        "NOT_FOUND - no queue '{name}.none' in vhost '/'",
    ),
    (
        lambda channel, name: channel.exchange_declare(f"{name}.none", passive=True),
        404,
        "NOT_FOUND - no exchange '{name}.none' in vhost '/'",
    ),
    (publish_to_nowhere, 404, "NOT_FOUND - no exchange '{name}.none' in vhost '/'"),
    (
        lambda channel, name: channel.basic_consume(f"{name}.none", lambda *_: None),
        404,
        "NOT_FOUND - no queue '{name}.none' in vhost '/'",
    ),
    (
        lambda channel, name: channel.basic_get(f"{name}.none"),
        404,
        "NOT_FOUND - no queue '{name}.none' in vhost '/'",
    ),
    (
        lambda channel, name: channel.queue_bind(name, f"{name}.none"),
        404,
        "NOT_FOUND - no exchange '{name}.none' in vhost '/'",
    ),
    (
        lambda channel, name: channel.queue_bind(f"{name}.none", "amq.direct"),
        404,
        "NOT_FOUND - no queue '{name}.none' in vhost '/'",
    ),
    (
        declare_other,
        406,
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{name}' in"
        " vhost '/': received the value '7' of type 'signedint' but current is none",
    ),
    (
        lambda channel, name: channel.queue_declare(name, False, False, True, True),
        406,
        "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue '{name}' in"
        " vhost '/': received 'true' but current is 'false'",
    ),
    (
        lambda channel, _: channel.exchange_declare("amq.direct", "fanout"),
        406,
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in"
        " vhost '/': received 'fanout' but current is 'direct'",
    ),
    (
        delete_full,
        406,
        "PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty",
    ),
    (
        delete_used,
        406,
        "PRECONDITION_FAILED - queue '{name}' in vhost '/' in use",
    ),
    (
        lambda channel, _: channel.basic_ack(99),
        406,
        "PRECONDITION_FAILED - unknown delivery tag 99",
    ),
    (
        lambda channel, _: channel.basic_nack(99),
        406,
        "PRECONDITION_FAILED - unknown delivery tag 99",
    ),
    (
        lambda channel, _: channel.basic_reject(99),
        406,
        "PRECONDITION_FAILED - unknown delivery tag 99",
    ),
    (
        lambda channel, name: channel.queue_declare(f"amq.{name}"),
        403,
        "ACCESS_REFUSED - queue name 'amq.{name}' contains reserved prefix 'amq.*'",
    ),
    (
        lambda channel, name: channel.exchange_declare(f"amq.{name}"),
        403,
        "ACCESS_REFUSED - exchange name 'amq.{name}' contains reserved prefix 'amq.*'",
    ),
    (
        lambda channel, name: channel.queue_bind(name, "", "key"),
        403,
        "ACCESS_REFUSED - operation not permitted on the default exchange",
    ),
    (
        lambda channel, _: channel.exchange_delete(""),
        403,
        "ACCESS_REFUSED - operation not permitted on the default exchange",
    ),
]


def refuse_and_wait(
    channel: BlockingChannel,
    name: str,
    refused: Callable[[BlockingChannel, str], object],
) -> None:
    """Do what is refused; if it has no reply of its own, ask for one."""
    refused(channel, name)
    channel.queue_declare(name, passive=True)


@pytest.mark.parametrize(
    ("refused", "code", "text"),
    REFUSALS,
    ids=[f"{code}-{number}" for number, (_, code, _) in enumerate(REFUSALS)],
)
def test_a_refusal_closes_its_channel_alone_and_says_why(
    connection: pika.BlockingConnection,
    name: str,
    refused: Callable[[BlockingChannel, str], object],
    code: int,
    text: str,
) -> None:
    channel = connection.channel()
    channel.queue_declare(name, exclusive=True)
    with pytest.raises(ChannelClosedByBroker) as closed:
        refuse_and_wait(channel, name, refused)
    assert closed.value.reply_code == code
    assert closed.value.reply_text == text.format(name=name)
    again = connection.channel(channel.channel_number)
    again.queue_delete(name)


def test_another_connection_may_not_touch_an_exclusive_queue(
    connect: Callable[..., pika.BlockingConnection], queue: str
) -> None:
    with pytest.raises(ChannelClosedByBroker) as locked:
        connect().channel().basic_consume(queue, lambda *_: None)
    assert locked.value.reply_code == 405
    assert locked.value.reply_text.startswith(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue"
        f" '{queue}' in vhost '/'"
    )

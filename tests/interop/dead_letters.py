"""Stories of dead letters, to be told to any broker, and what a reader finds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Self, final

import pika

from tests.interop.blocking import pump

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.adapters.blocking_connection import BlockingChannel


class Letter(NamedTuple):
    """What is looked at of a message that arrived: where from, and its history."""

    exchange: str
    routing_key: str
    expiration: str | None
    headers: object


@final
class Stage:
    """Queues and exchanges for one story, under a prefix that no letter shows.

    As a context manager it deletes them at the end.
    """

    def __init__(self, connection: pika.BlockingConnection, prefix: str) -> None:
        self.channel: BlockingChannel = connection.channel()
        self._connection = connection
        self._prefix = f"{prefix}."
        self._queues: list[str] = []
        self._exchanges: list[str] = []

    def queue(
        self,
        name: str,
        *,
        letters_to: tuple[str, str | None] | None = None,
        **arguments: object,
    ) -> None:
        """Declare a durable queue; its arguments without `x-`, and with `_` for `-`.

        `letters_to` is its dead letter exchange, and the routing key if one is set.
        """
        known = {
            f"x-{key.replace('_', '-')}": value for key, value in arguments.items()
        }
        if letters_to is not None:
            exchange, key = letters_to
            known["x-dead-letter-exchange"] = self._own(exchange)
            if key is not None:
                known["x-dead-letter-routing-key"] = self._own(key)
        self._queues.append(self._own(name))
        self.channel.queue_declare(self._own(name), durable=True, arguments=known)

    def exchange(self, name: str, kind: str, **bindings: str) -> None:
        """Declare it, with queues bound by name and key."""
        self._exchanges.append(self._own(name))
        self.channel.exchange_declare(self._own(name), kind)
        for queue, key in bindings.items():
            self.channel.queue_bind(self._own(queue), self._own(name), self._own(key))

    def publish(
        self,
        key: str,
        exchange: str = "",
        expiration: str | None = None,
        **headers: object,
    ) -> None:
        """Publish; the keys in the headers CC and BCC are of the story, too."""
        for copies in headers.keys() & {"CC", "BCC"}:
            headers[copies] = [self._own(each) for each in headers[copies]]
        properties = pika.BasicProperties(expiration=expiration, headers=headers)
        self.channel.basic_publish(self._own(exchange), self._own(key), b"", properties)

    def take(self, queue: str) -> tuple[int, Letter]:
        """Wait for the next message of the queue: its delivery tag, and what it is."""
        taken: list[tuple[int, Letter]] = []

        def on_message(
            _: BlockingChannel,
            method: pika.spec.Basic.Deliver,
            properties: pika.BasicProperties,
            __: bytes,
        ) -> None:
            letter = Letter(
                self._story(method.exchange),
                self._story(method.routing_key),
                properties.expiration,
                self._plain(properties.headers or {}),
            )
            taken.append((method.delivery_tag, letter))

        self.channel.basic_qos(prefetch_count=1)
        tag = self.channel.basic_consume(self._own(queue), on_message)
        pump(self._connection, lambda: taken)
        self.channel.basic_cancel(tag)
        return taken[0]

    def read(self, queue: str) -> Letter:
        """Wait for the next message of the queue, and ack it."""
        tag, letter = self.take(queue)
        self.channel.basic_ack(tag)
        return letter

    def reject(self, queue: str, *, requeue: bool = False) -> Letter:
        """Wait for the next message of the queue, and reject it."""
        tag, letter = self.take(queue)
        self.channel.basic_reject(tag, requeue=requeue)
        return letter

    def ready(self, queue: str) -> int:
        """How many messages wait in the queue."""
        declared = self.channel.queue_declare(self._own(queue), passive=True)
        return int(declared.method.message_count)

    def _own(self, name: str) -> str:
        return f"{self._prefix}{name}" if name else name

    def _story(self, text: str) -> str:
        return text.removeprefix(self._prefix)

    def _plain(self, value: object) -> object:
        """Numbers with the name of their type on the wire, times by that alone."""
        if isinstance(value, str):
            return self._story(value)
        if isinstance(value, list):
            return [self._plain(each) for each in value]
        if isinstance(value, dict):
            return {key: self._plain(each) for key, each in value.items()}
        if isinstance(value, datetime):
            return "a time"
        return type(value).__name__, value

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        channel = self._connection.channel()
        for queue in self._queues:
            channel.queue_delete(queue)
        for exchange in self._exchanges:
            channel.exchange_delete(exchange)


def rejected(stage: Stage) -> list[Letter]:
    stage.queue("grave")
    stage.queue("work", letters_to=("", "grave"))
    own = {"text": "läuft", "number": 5, "large": 2**40, "list": [{"nested": True}]}
    stage.publish("work", **own)
    stage.reject("work")
    return [stage.read("grave")]


def expired_by_its_queue(stage: Stage) -> list[Letter]:
    stage.queue("grave")
    stage.queue("work", letters_to=("", "grave"), message_ttl=30)
    stage.publish("work")
    return [stage.read("grave")]


def expired_by_itself(stage: Stage) -> list[Letter]:
    stage.queue("grave")
    stage.queue("work", letters_to=("", "grave"))
    stage.publish("work", expiration="30")
    return [stage.read("grave")]


def rejected_with_an_expiration(stage: Stage) -> list[Letter]:
    stage.queue("grave")
    stage.queue("work", letters_to=("", "grave"))
    stage.publish("work", expiration="60000")
    stage.reject("work")
    return [stage.read("grave")]


def returned_too_late(stage: Stage) -> list[Letter]:
    """It does not expire while somebody holds it, but as soon as it is given back."""
    stage.queue("grave")
    stage.queue("work", letters_to=("", "grave"))
    stage.queue("rung")
    stage.queue("alarm", letters_to=("", "rung"), message_ttl=600)
    stage.publish("work", expiration="500")
    tag, held = stage.take("work")
    stage.publish("alarm")
    stage.read("rung")
    assert stage.ready("grave") == 0
    stage.channel.basic_reject(tag, requeue=True)
    return [held, stage.read("grave")]


def pushed_out(stage: Stage) -> list[Letter]:
    stage.queue("grave")
    stage.queue("work", letters_to=("", "grave"), max_length=1)
    stage.publish("work", number="first")
    stage.publish("work", number="second")
    return [stage.read("grave"), stage.read("work")]


def refused(stage: Stage) -> list[Letter]:
    stage.queue("grave")
    stage.queue(
        "work", letters_to=("", "grave"), max_length=1, overflow="reject-publish-dlx"
    )
    stage.publish("work", number="first")
    stage.publish("work", number="second")
    return [stage.read("grave"), stage.read("work")]


def given_up(stage: Stage) -> list[Letter]:
    """By a quorum queue, after the second delivery."""
    stage.queue("grave")
    stage.queue("work", letters_to=("", "grave"), queue_type="quorum", delivery_limit=1)
    stage.publish("work")
    deliveries = [stage.reject("work", requeue=True) for _ in range(2)]
    return [*deliveries, stage.read("grave")]


def several_hops(stage: Stage) -> list[Letter]:
    """By way of exchanges, with and without a routing key of the queue's own."""
    stage.queue("grave")
    stage.queue("third", letters_to=("", "grave"), max_length=0)
    stage.exchange("to-third", "topic", third="first")
    stage.queue("second", letters_to=("to-third", None), message_ttl=30)
    stage.exchange("to-second", "fanout", second="")
    stage.queue("first", letters_to=("to-second", None))
    stage.exchange("start", "direct", first="first")
    stage.publish("first", "start", expiration="60000")
    stage.reject("first")
    return [stage.read("grave")]


def rejected_in_a_circle(stage: Stage) -> list[Letter]:
    """A delayed retry as it has always been made: rejected, parked, back again."""
    stage.queue("grave")
    stage.queue("work", letters_to=("", "parked"))
    stage.queue("parked", letters_to=("", "work"), message_ttl=30)
    stage.publish("work")
    return [stage.reject("work") for _ in range(3)] + [stage.read("work")]


def rejected_to_where_it_was(stage: Stage) -> list[Letter]:
    """The smallest circle: a queue that is its own dead letter queue."""
    stage.queue("work", letters_to=("", None))
    stage.publish("work")
    return [stage.reject("work"), stage.reject("work"), stage.read("work")]


def expired_in_a_circle(stage: Stage) -> list[Letter]:
    """The copy that would go round for ever is dropped, its sister is not."""
    stage.queue("grave")
    stage.queue("first", letters_to=("", "second"), message_ttl=30)
    stage.queue("second", letters_to=("all", None), message_ttl=30)
    stage.exchange("all", "fanout", first="", grave="")
    stage.publish("first")
    letter = stage.read("grave")
    assert stage.ready("first") == stage.ready("second") == 0
    return [letter]


def rejected_where_it_expired(stage: Stage) -> list[Letter]:
    """Each reason has a record of its own."""
    stage.queue("grave")
    stage.queue("first", letters_to=("both", None))
    stage.queue("second", letters_to=("", "first"))
    stage.exchange("both", "fanout", second="", grave="")
    stage.publish("first", expiration="30")
    letters = [stage.read("grave"), stage.reject("second"), stage.reject("first")]
    return [*letters, stage.read("grave"), stage.read("second")]


def copied_and_kept(stage: Stage) -> list[Letter]:
    """The copies' keys go along where the queue has no key of its own."""
    stage.queue("grave")
    stage.queue("copies")
    stage.exchange("letters", "direct", grave="work", copies="copy")
    stage.queue("work", letters_to=("letters", None))
    stage.publish("work", CC=["copy", "nobody"], BCC=["blind"])
    delivered = stage.reject("work")
    return [delivered, stage.read("grave"), stage.read("copies")]


def copied_and_dropped(stage: Stage) -> list[Letter]:
    """A key of the queue's own takes the place of all others."""
    stage.queue("grave")
    stage.queue("copies")
    stage.exchange("letters", "direct", grave="dead", copies="copy")
    stage.queue("work", letters_to=("letters", "dead"))
    stage.publish("work", CC=["copy", "nobody"], BCC=["blind"])
    stage.reject("work")
    assert stage.ready("copies") == 0
    return [stage.read("grave")]


def continued_by_its_reader(stage: Stage) -> list[Letter]:
    """Who publishes a letter anew, headers and all, gives it its history."""
    stage.queue("grave")
    stage.queue("work", letters_to=("", "grave"))
    record = {
        "count": pika.compat.long(7),
        "reason": "rejected",
        "queue": "elsewhere",
        "time": datetime.fromtimestamp(1_700_000_000, UTC),
        "exchange": "",
        "routing-keys": ["elsewhere"],
    }
    first = {"queue": "elsewhere", "reason": "rejected", "exchange": ""}
    known = {f"x-first-death-{key}": value for key, value in first.items()}
    stage.publish("work", **known, **{"x-death": [record]})
    stage.reject("work")
    return [stage.read("grave")]


STORIES: dict[str, Callable[[Stage], list[Letter]]] = {
    story.__name__: story
    for story in (
        rejected,
        expired_by_its_queue,
        expired_by_itself,
        rejected_with_an_expiration,
        returned_too_late,
        pushed_out,
        refused,
        given_up,
        several_hops,
        rejected_in_a_circle,
        rejected_to_where_it_was,
        expired_in_a_circle,
        rejected_where_it_expired,
        copied_and_kept,
        copied_and_dropped,
        continued_by_its_reader,
    )
}

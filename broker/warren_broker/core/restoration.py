"""Restoration: the broker as it was, made again of what a store has kept.

What cannot be made again (an argument that is no longer allowed, a limit that was
lowered) is left out, with a notice; the store keeps it all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

from warren.errors import AMQPError
from warren_broker.core.bridge import SourcedQueue
from warren_broker.core.definitions import (
    BINDING,
    EXCHANGE,
    QUEUE,
    QUEUE_SOURCE,
    SCHEDULE,
    STREAM_OFFSET,
)
from warren_broker.core.queue import Queue
from warren_broker.core.stored import stored_field
from warren_broker.core.stream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from warren_broker.core.broker import Broker
    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Message
    from warren_broker.core.named_queue import NamedQueue
    from warren_broker.core.schedule import Schedule
    from warren_broker.core.store import Key
    from warren_broker.core.vhost import VHost

    Value = Mapping[str, object]
RECOVERED_PREFIX: Final = "warren.recovered."
"""How queues begin that were made for messages of queues that are lost."""


class Kept(NamedTuple):
    """A message as the store gives it back."""

    number: int
    sequence: int
    message: Message
    expires_ms: int
    return_count: int
    position: int


@final
class Restoration:
    """Makes everything again: first what is defined, then the messages.

    Attributes:
        is_doubtful: any message may have been delivered.
        numbers: of what keeps messages and is there.
        streams: which have logs.
        queues: all that were defined, streams too.
    """

    def __init__(self, broker: Broker, *, is_clean: bool) -> None:
        """`is_clean`: the last stop was one; else any message may have been delivered.

        Such a message counts as returned once, and so as redelivered: nobody is told
        that a message is new who may have had it.
        """
        self._broker = broker
        self.is_doubtful = not is_clean
        self.numbers: dict[int, Queue | Schedule] = {}
        self.streams: list[Stream] = []
        self.queues: list[NamedQueue] = []

    def define(self, definitions: Mapping[Key, Value]) -> None:
        """Make exchanges, queues and bindings, in this order."""
        for kind, make in _MAKERS.items():
            for key, value in definitions.items():
                if key[0] == kind:
                    self._make(make, key, value)

    def _make(
        self,
        make: Callable[[Restoration, VHost, Key, Value], None],
        key: Key,
        value: Value,
    ) -> None:
        vhost = self._broker.add_vhost(key[1])
        try:
            make(self, vhost, key, value)
        except (AMQPError, KeyError, TypeError) as error:
            self._broker.notice("not restored", key=list(key), reason=str(error))

    def adopt(self, number: int) -> Queue | None:
        """Make a queue for messages whose own queue is lost, and return it.

        Its name, its arguments and its virtual host are lost with it: it is a plain one
        in `/`. None if there cannot be one more queue.
        """
        vhost = self._broker.add_vhost("/")
        name = f"{RECOVERED_PREFIX}{number}"
        while name in vhost.queues:
            name += "'"
        try:
            queue = vhost.add_queue(
                name, durable=True, auto_delete=False, owner=None, arguments={}
            )
        except AMQPError as error:
            self._broker.notice("not restored", key=[QUEUE, name], reason=str(error))
            return None
        queue.adopt(number)
        assert isinstance(queue, Queue)  # no other type was asked for
        self.numbers[number] = queue
        return queue

    def go_on_after(self, sequences: Mapping[int, int]) -> None:
        """Give no message a sequence that another one had, of which is still spoken."""
        for number, sequence in sequences.items():
            queue = self.numbers.get(number)
            if isinstance(queue, Queue):
                queue.sequence = max(queue.sequence, sequence)

    def put_back(self, kept: Iterable[Kept]) -> None:
        """Put messages back; those of one number come in order."""
        for one in kept:
            owner = self.numbers.get(one.number)
            if isinstance(owner, Queue):
                owner.restore(
                    one.sequence,
                    one.message,
                    expires_ms=one.expires_ms,
                    return_count=max(one.return_count, int(self.is_doubtful)),
                    position=one.position,
                )
            elif owner is not None:
                due = self._broker.at_ms(one.expires_ms)
                owner.restore(one.sequence, one.message, due, one.position)

    def finish(self) -> None:
        """All messages are back: keep the limits, which may be other ones now.

        The broker has its store again, and streams have their logs from it.
        """
        for stream in self.streams:
            stream.open()
        for queue in self.queues:
            queue.begin()
        for owner in self.numbers.values():
            if isinstance(owner, Queue):
                owner.trim()


def _make_exchange(_: Restoration, vhost: VHost, key: Key, value: Value) -> None:
    vhost.add_exchange(
        key[2],
        stored_field(value, "type", str),
        durable=True,
        auto_delete=stored_field(value, "auto_delete", bool),
        internal=stored_field(value, "internal", bool),
        arguments=_arguments(value),
    )


def _make_queue(made: Restoration, vhost: VHost, key: Key, value: Value) -> None:
    queue = vhost.add_queue(
        key[2],
        durable=True,
        auto_delete=stored_field(value, "auto_delete", bool),
        owner=None,
        arguments=_arguments(value),
    )
    queue.adopt(stored_field(value, "number", int))
    if isinstance(queue, Stream):
        made.streams.append(queue)
    elif isinstance(queue, Queue) and queue.number:
        made.numbers[queue.number] = queue
    made.queues.append(queue)


def _make_binding(_: Restoration, vhost: VHost, key: Key, value: Value) -> None:
    source, kind, name, routing_key = key[2:6]
    destination: Destination = (
        vhost.queue(name) if kind == QUEUE else vhost.exchange(name)
    )
    arguments = _arguments(value)
    vhost.bind(vhost.exchange(source), destination, routing_key, arguments)


def _make_schedule(made: Restoration, vhost: VHost, _: Key, value: Value) -> None:
    vhost.schedule.number = stored_field(value, "number", int)
    made.numbers[vhost.schedule.number] = vhost.schedule


def _restore_offset(_: Restoration, vhost: VHost, key: Key, value: Value) -> None:
    stream = vhost.queue(key[2])
    if isinstance(stream, Stream):
        stream.offsets.restore(key[3], stored_field(value, "offset", int))


def _restore_source(made: Restoration, vhost: VHost, key: Key, value: Value) -> None:
    queue = vhost.queue(key[2])
    if isinstance(queue, SourcedQueue):
        queue.source.restore(
            stored_field(value, "stream", int),
            stored_field(value, "offset", int),
            None if made.is_doubtful else stored_field(value, "until", int),
        )


def _arguments(value: Value) -> Value:
    return stored_field(value, "arguments", dict)


_MAKERS: Final[dict[str, Callable[[Restoration, VHost, Key, Value], None]]] = {
    EXCHANGE: _make_exchange,
    QUEUE: _make_queue,
    BINDING: _make_binding,
    SCHEDULE: _make_schedule,
    STREAM_OFFSET: _restore_offset,
    QUEUE_SOURCE: _restore_source,
}

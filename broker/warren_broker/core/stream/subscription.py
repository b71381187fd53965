"""Subscription: what one consumer reads: a stream, or partitions of a super stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren_broker.core.arguments import Point, ReadingPoint
from warren_broker.core.queue.lending import Consumable
from warren_broker.core.stream.choice import Choice
from warren_broker.core.stream.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from warren_broker.core.arguments import ConsumerArguments
    from warren_broker.core.queue import Consumer
    from warren_broker.core.stream.consumer import RecordConsumer
    from warren_broker.core.stream.group import Group
    from warren_broker.core.stream.stream import Stream

PARTITION: Final = "x-stream-partition"

_NEXT: Final = ReadingPoint(Point.NEXT)
_NO_MARKS: Final[Mapping[str, object]] = {}


@final
class Subscription(Consumable):
    """The readers of one consumer, one for each stream that it reads.

    Attributes:
        streams: all that it may read.  group: who says which of them; None: all.
        readers: those it reads now.
        blocked: those of several that its consumer had no room for, in turn.
        is_super: they are partitions, and deliveries tell of which they are.
        is_exclusive: nobody else may consume from them.
    """

    __slots__ = (
        "_arguments",
        "_consumer",
        "_first",
        "_is_known",
        "_reference",
        "blocked",
        "group",
        "is_exclusive",
        "is_super",
        "lease",
        "readers",
        "streams",
    )

    def __init__(
        self,
        streams: Sequence[Stream],
        arguments: ConsumerArguments,
        *,
        reference: str | None,
        group: Group | None,
        is_super: bool,
    ) -> None:
        """`reference` is the name under which offsets are stored; None: they are not.

        `streams` are at least one.
        """
        self.streams = list(streams)
        self.lease = streams[0].lease
        self.group = group
        self.is_super = is_super
        self.is_exclusive = False
        self.readers: dict[Stream, Reader] = {}
        self.blocked: dict[Reader, None] = {}
        self._arguments = arguments
        self._reference = reference
        self._consumer: RecordConsumer | None = None
        self._first = 0
        # It has read some of them before: one it does not know was added meanwhile.
        self._is_known = any(
            each.offsets.get(reference) is not None for each in self.streams
        )

    # For its consumer

    def attach(self, consumer: RecordConsumer) -> None:
        """Read for `consumer` from now on. Dispatch afterwards.

        Raises:
            AccessRefused: it wants to be alone and is not, or another one does.
        """
        for stream in self.streams:
            stream.check_free(exclusive=consumer.exclusive)
        self._consumer = consumer
        self.is_exclusive = consumer.exclusive
        consumer.is_attached = True
        for stream in self.streams:
            stream.add(self)
        if self.group is not None:
            self.group.join(self)
        else:
            for stream in self.streams:
                self.open(stream)

    def expect(self, consumer: Consumer) -> None:
        """Its readers know what they can do."""

    def dispatch(self) -> None:
        """Have its readers served, each time another one first."""
        readers = list(self.readers.values())
        self._first = (self._first + 1) % (len(readers) or 1)
        for reader in readers[self._first :] + readers[: self._first]:
            reader.dispatch()

    def serve_blocked(self) -> None:
        """There may be room for the next of those who waited for it."""
        consumer, blocked = self._consumer, self.blocked
        if blocked and consumer is not None and consumer.has_room():
            reader = next(iter(blocked))
            del blocked[reader]
            reader.dispatch()

    def detach(self, consumer: Consumer) -> None:
        if self._consumer is None:
            return
        self._consumer = None
        consumer.is_attached = False
        consumer.window.waiting.pop(consumer, None)
        for reader in self.readers.values():
            reader.close()
        if self.group is not None:
            self.group.leave(self)
        self.readers.clear()
        self.blocked.clear()
        for stream in self.streams:
            stream.remove(self)

    def cancel(self) -> None:
        """End it, though its consumer does not want that, and tell the peer."""
        consumer = self._consumer
        if consumer is not None:
            self.detach(consumer)
            consumer.on_cancelled()

    # For its group

    def extend(self, stream: Stream) -> None:
        """There is one more partition; without a group it is read at once."""
        self.streams.append(stream)
        stream.add(self)
        if self.group is None:
            self.open(stream, 0)
            self.dispatch()

    def open(
        self, stream: Stream, offset: int | None = None, doubt_until: int = 0
    ) -> Reader | None:
        """Read `stream` from `offset` on, where others have come to; None: as it likes.

        What is before `doubt_until` may have been delivered to another member.
        """
        consumer = self._consumer
        if consumer is None:
            return None
        arguments = self._arguments
        choice = None
        if arguments.filters is not None:
            choice = Choice(
                arguments.filters, match_unfiltered=arguments.match_unfiltered
            )
        reader = Reader(
            stream,
            self,
            consumer,
            reference=self._reference,
            choice=choice,
            marks={PARTITION: stream.name} if self.is_super else _NO_MARKS,
        )
        reader.doubt_until = doubt_until
        reader.is_alone = not self.is_super
        self.readers[stream] = reader
        self._begin(reader, stream, offset)
        return reader

    def _begin(self, reader: Reader, stream: Stream, offset: int | None) -> None:
        point = self._arguments.starts_at
        if offset is None and (point is None or self._arguments.group is not None):
            offset = stream.offsets.get(self._reference)
            if offset is None and self._is_known:
                offset = 0
        if offset is not None:
            reader.begin(min(offset, stream.next_offset))
        else:
            begin_at(reader, stream, point or _NEXT)

    def on_left(self, reader: Reader) -> None:
        """Nobody holds anything of `reader`, which is closed."""
        if self.group is not None:
            self.group.on_left(reader)


def begin_at(reader: Reader, stream: Stream, at: ReadingPoint) -> None:
    """Let `reader` begin at a point; one that is not there is the nearest that is."""
    first, end, number = stream.log.first, stream.next_offset, at.number
    match at.point:
        case Point.FIRST:
            reader.begin(first)
        case Point.NEXT:
            reader.begin(end)
        case Point.LAST:
            reader.begin(max(first, end - 1))
        case Point.FROM_END:
            reader.begin(max(first, end - number))
        case Point.OFFSET:
            reader.begin(min(number, end))
        case Point.SNAPSHOT:
            reader.begin_snapshot()
        case Point.TIME:
            stream.find_time(number, reader)
        case Point.AGO:
            broker = stream.vhost.broker
            stream.find_time(broker.wall_ms(broker.now) - number, reader)

"""Source: the stream that feeds a queue, and how far the queue has come in it.

It reads as a consumer does, some records ahead of those who consume the queue. The
least offset that the queue has not settled is kept as a definition, as lazily as those
of readers: it may lag behind what was settled, and never leads.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.arguments import ConsumerArguments, Point, ReadingPoint
from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.queue.consumer import UNLIMITED, Window
from warren_broker.core.stream.consumer import RecordConsumer
from warren_broker.core.stream.reader import STORE_SECONDS
from warren_broker.core.stream.stream import Stream
from warren_broker.core.stream.subscription import Subscription

if TYPE_CHECKING:
    from warren.errors import ChannelError
    from warren_broker.core.bridge.sourced_queue import SourcedQueue
    from warren_broker.core.queue import Entry
    from warren_broker.core.stream.reader import Reader

_FIRST: Final = ReadingPoint(Point.FIRST)
_ALL: Final = sys.maxsize


@final
class Source(DeadlineOwner):
    """What one queue takes of its stream, from `begin` to `end` or `close`."""

    __slots__ = (
        "_doubt_until",
        "_feed",
        "_is_noted",
        "_queue",
        "_reader",
        "_size_bytes",
        "_stored",
        "_unsettled",
        "_until",
    )

    def __init__(self, queue: SourcedQueue) -> None:
        self._queue = queue
        self._feed: _Feed | None = None
        self._reader: Reader | None = None
        self._unsettled: dict[int, int] = {}  # sizes by offset
        self._size_bytes = 0
        self._until = 0  # nothing from here on was delivered
        self._doubt_until = 0
        self._stored: dict[str, int] | None = None
        self._is_noted = False

    # From one start to the next

    def doubt(self) -> None:
        """The queue is from before a restart: anything may have been delivered."""
        self._doubt_until = _ALL

    def restore(self, stream_number: int, offset: int, until: int | None) -> None:
        """Go on at `offset`; nothing from `until` on was delivered, None: who knows."""
        self._stored = {"stream": stream_number, "offset": offset, "until": until or 0}
        if until is not None:
            self._doubt_until = self._until = until

    def begin(self) -> None:
        """Read from now on.

        Raises AccessRefused if a consumer has the stream for itself.
        """
        queue = self._queue
        stream = queue.vhost.queues.get(queue.declared.source_stream or "")
        stored = self._stored
        if not isinstance(stream, Stream) or (
            stored is not None and stored["stream"] != stream.number  # another one
        ):
            self._tell_of_end()
            return
        point = queue.declared.source_starts_at or _FIRST
        if stored is not None:
            point = ReadingPoint(Point.OFFSET, stored["offset"])
        subscription = Subscription(
            [stream],
            ConsumerArguments(starts_at=point),
            reference=None,
            group=None,
            is_super=False,
        )
        self._feed = _Feed(subscription, self, queue.name)
        subscription.attach(self._feed)
        self._reader = reader = subscription.readers[stream]
        reader.doubt_until = min(self._doubt_until, stream.log.end)
        self._until = max(self._until, reader.doubt_until)
        self.store()
        subscription.dispatch()

    # Reading

    def has_room(self) -> bool:
        """Whether the queue may hold one more record."""
        limits = self._queue.vhost.broker.limits
        return (
            len(self._unsettled) < limits.source_window_max
            and self._size_bytes < limits.source_window_max_bytes
        )

    def take(self, record: Entry) -> None:
        """Give the queue what was read. Hot: once a record."""
        size = record.message.size_bytes
        self._unsettled[record.sequence] = size
        self._size_bytes += size
        self._queue.take_record(record)
        if self._stored is None:  # it had to look for a time before
            self._note()

    def on_delivered(self, offset: int) -> None:
        """The queue has handed out the record at `offset`."""
        if offset >= self._until:
            self._until = offset + 1
            self._note()

    def settle(self, offset: int) -> None:
        """The queue needs the record at `offset` no more. Hot: once a record."""
        size = self._unsettled.pop(offset, None)
        if size is None:
            return
        self._size_bytes -= size
        self._note()
        feed = self._feed
        if feed is not None and (self._is_low or not self._queue.backlog.count):
            feed.queue.dispatch()

    @property
    def _is_low(self) -> bool:
        """Whether so much room is there that it is worth a turn to fill it."""
        return (
            2 * len(self._unsettled)
            <= self._queue.vhost.broker.limits.source_window_max
        )

    # How far it has come

    def on_deadline(self, now: float) -> None:
        """Store how far it has come."""
        self.store()

    def _note(self) -> None:
        """Something was delivered or settled: that is to be stored, before long."""
        if not self._is_noted:
            self._is_noted = True
            broker = self._queue.vhost.broker
            broker.deadlines.set(self, broker.now + STORE_SECONDS)

    def store(self) -> None:
        """Store how far it has come, if it has."""
        self._is_noted = False
        self._queue.vhost.broker.deadlines.cancel(self)
        if self._reader is None or not self._reader.is_begun:
            return
        value = {
            "stream": self._reader.stream.number,
            "offset": min(self._unsettled, default=self._reader.position),
            "until": self._until,
        }
        if value != self._stored:
            self._stored = value
            self._queue.vhost.definitions.put_source(self._queue, value)

    # The end

    def end(self) -> None:
        """The stream is gone, or cannot be read on; what it has given stays."""
        self._feed = None
        self._tell_of_end()

    def _tell_of_end(self) -> None:
        queue = self._queue
        queue.vhost.broker.notice(
            "source ended",
            vhost=queue.vhost.name,
            queue=queue.name,
            stream=queue.declared.source_stream,
        )

    def close(self) -> None:
        """The queue is deleted: forget how far it has come, and know it no longer."""
        feed, self._feed, self._reader = self._feed, None, None
        if feed is not None:
            feed.queue.detach(feed)
        self._unsettled.clear()
        self._queue.vhost.definitions.put_source(self._queue, None)
        self._queue.vhost.broker.deadlines.cancel(self)


@final
class _Feed(RecordConsumer):
    """The consumer of the stream, which hands on to the queue."""

    __slots__ = ("_source",)

    def __init__(self, subscription: Subscription, source: Source, tag: str) -> None:
        super().__init__(
            subscription,
            tag,
            no_ack=True,  # what is settled is known here
            exclusive=False,
            priority=0,
            window=Window(UNLIMITED),
        )
        self._source = source

    def has_room(self) -> bool:
        return self._source.has_room()

    def deliver(self, entry: Entry) -> None:
        self._source.take(entry)

    def on_cancelled(self) -> None:
        self._source.end()

    def fail(self, error: ChannelError) -> None:
        """Only a snapshot can be too large, and none was asked for."""

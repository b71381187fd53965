"""The hot path out of streams: a record becomes the frames of basic.deliver.

As `deliver`, but that two numbers change from one delivery to the next: between three
fixed parts stand the delivery tag and, in the headers, the offset. The plain twin is
`encode_content` with a header that was decoded, changed and encoded.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, cast, final

from warren.errors import ContentTooLarge
from warren.wire.constants import (
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_METHOD,
    FRAME_OVERHEAD,
)
from warren.wire.frames import BODY_COPIED_MAX, FRAME_PREFIX, encode_frame
from warren.wire.methods import BasicDeliver
from warren.wire.outbox import HIGH_WATER
from warren_broker.amqp.deliver import encode_route
from warren_broker.amqp.shared_frames import is_large, shared_frames
from warren_broker.amqp.splice import OFFSET, encode_fields, splice
from warren_broker.core.stream.consumer import RecordConsumer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren.errors import ChannelError
    from warren_broker.amqp.channel import ServerChannel
    from warren_broker.amqp.shared_frames import SharedFrames
    from warren_broker.core.message import Header, Message, Route
    from warren_broker.core.queue import Entry
    from warren_broker.core.queue.lending import Consumable
    from warren_broker.core.stream.loan import Loan
    from warren_broker.core.stream.record import Record

_TAG: Final = Struct(">Q")
_INDEX: Final = Struct(">I")
_END: Final = bytes((FRAME_END,))
_REDELIVERED: Final = (b"\0", b"\1")
_TAG_AND_FLAG_SIZE: Final = 9


@final
class _Heads(dict[int, bytes]):
    """What a delivery begins with, by the size of its route's names."""

    def __init__(self, channel: int, start: bytes) -> None:
        self._channel = channel
        self._start = start

    def __missing__(self, names_size: int) -> bytes:
        start = self._start
        size = len(start) + _TAG_AND_FLAG_SIZE + names_size
        head = self[names_size] = (
            FRAME_PREFIX.pack(FRAME_METHOD, self._channel, size) + start
        )
        return head


@final
class RecordEncoder:
    """Writes the deliveries of one consumer of streams."""

    __slots__ = (
        "_body_max",
        "_channel",
        "_fields",
        "_head",
        "_header",
        "_heads",
        "_inline_max",
        "_is_large",
        "_is_redelivered",
        "_marks",
        "_middle",
        "_names_size",
        "_route",
        "_tail",
        "_write",
    )

    def __init__(self, channel: ServerChannel, consumer_tag: str) -> None:
        tag = consumer_tag.encode()
        self._channel = channel.number
        self._write = channel.connection.outbox.write
        self._body_max = channel.connection.frame_size_max - FRAME_OVERHEAD
        self._inline_max = min(BODY_COPIED_MAX - 1, self._body_max)
        start = _INDEX.pack(BasicDeliver.index) + bytes((len(tag),)) + tag
        self._heads = _Heads(channel.number, start)
        self._route: Route | None = None  # what the parts were made for
        self._header: Header | None = None
        self._is_large = self._is_redelivered = False
        self._marks: Mapping[str, object] | None = None
        self._fields = b""
        self._head = self._middle = self._tail = b""
        self._names_size = 0

    def write(self, delivery_tag: int, entry: Entry) -> None:
        """Put the delivery into the outbox. Hot: once a delivery.

        Raises:
            ContentTooLarge: the header does not fit the peer's largest frame.
        """
        message = entry.message
        if (
            message.header is not self._header
            or message.route is not self._route
            or entry.marks is not self._marks
            or (entry.delivery_count > 0) is not self._is_redelivered
        ):
            self._prepare(message, entry.marks, redelivered=entry.redelivered)
        body = message.body
        is_large = len(body) > self._inline_max
        self._write(
            b"".join(
                (
                    self._head,
                    _TAG.pack(delivery_tag),
                    self._middle,
                    OFFSET.pack(entry.sequence),
                    self._tail,
                    b"" if is_large else body,
                    b"" if is_large or not body else _END,
                )
            )
        )
        if is_large:
            self._write_large(body)

    def encode_loan(self, first_tag: int, loan: Loan) -> bytes:
        """Return the deliveries of `loan`; cut it before what is not sent like that.

        Hot: once a loan, with loops in C.
        """
        start, stop = loan.start, loan.stop
        if loan.marks is not self._marks:
            self._take_marks(loan.marks)
        shared = shared_frames(loan.page, self._channel, self._body_max, self._fields)
        frames = shared.frames[start:stop]
        if not all(frames):
            self._fill(shared, loan)
            frames = shared.frames[start : loan.stop]
        count = len(frames)
        parts: list[bytes | None] = [None] * (3 * count)
        sizes = shared.names_sizes[start : start + count]
        parts[0::3] = map(self._heads.__getitem__, sizes)
        parts[1::3] = map(_TAG.pack, range(first_tag, first_tag + count))
        parts[2::3] = frames
        return b"".join(cast("list[bytes]", parts))

    def _fill(self, shared: SharedFrames, loan: Loan) -> None:
        """Make the frames of `loan` that nobody has made before.

        Hot: once a record, for the first who reads it.
        """
        frames, records = shared.frames, loan.page.records
        for index in range(loan.start, loan.stop):
            if frames[index] is None:
                frames[index] = self._frames(records[index], loan.marks)
                shared.names_sizes[index] = self._names_size
            if not frames[index]:
                loan.stop = index
                return

    def _frames(self, record: Record, marks: Mapping[str, object]) -> bytes:
        """Return all of a delivery behind its tag; nothing if that is large."""
        message = record.message
        if (
            message.header is not self._header
            or message.route is not self._route
            or self._is_redelivered
        ):
            if is_large(message):
                return b""
            self._prepare(message, marks, redelivered=False)
        elif self._is_large:
            return b""
        body, offset = message.body, OFFSET.pack(record.offset)
        end = _END if body else b""
        return b"".join((self._middle, offset, self._tail, body, end))

    def _take_marks(self, marks: Mapping[str, object]) -> None:
        self._header = None  # what is ready is for others
        self._fields = encode_fields(marks)
        self._marks = marks

    def _prepare(
        self, message: Message, marks: Mapping[str, object], *, redelivered: bool
    ) -> None:
        """Make the parts for this route and header, and what marks the record."""
        if marks is not self._marks:
            self._take_marks(marks)
        self._header = None  # if it raises, nothing is ready
        before, after = splice(message.header.payload, self._fields)
        size = len(before) + OFFSET.size + len(after)
        if size > self._body_max:
            raise ContentTooLarge(f"content header of {size} bytes exceeds frame_max")
        route, channel = message.route, self._channel
        names = route.encoded or encode_route(route)
        self._names_size = len(names)
        self._head = self._heads[len(names)]
        self._middle = b"".join(
            (
                _REDELIVERED[redelivered],
                names,
                _END,
                FRAME_PREFIX.pack(FRAME_HEADER, channel, size),
                before,
            )
        )
        body_size = len(message.body)
        self._tail = after + _END
        if 0 < body_size <= self._body_max:
            self._tail += FRAME_PREFIX.pack(FRAME_BODY, channel, body_size)
        self._route = route
        self._is_redelivered = redelivered
        self._is_large = is_large(message)
        self._header = message.header

    def _write_large(self, body: bytes) -> None:
        size_max = self._body_max
        if len(body) <= size_max:
            self._write(body)  # by reference, all the way to the socket
            self._write(_END)
            return
        for start in range(0, len(body), size_max):
            piece = body[start : start + size_max]
            self._write(encode_frame(FRAME_BODY, self._channel, piece))


@final
class StreamConsumer(RecordConsumer):
    """A consumer of streams on a channel."""

    __slots__ = ("_channel", "_encoder", "_outbox", "_unacked")

    def __init__(
        self,
        queue: Consumable,
        tag: str,
        channel: ServerChannel,
        *,
        no_ack: bool,
        exclusive: bool,
        priority: int,
    ) -> None:
        super().__init__(
            queue,
            tag,
            no_ack=no_ack,
            exclusive=exclusive,
            priority=priority,
            window=channel.window,
        )
        self._channel = channel
        self._encoder = RecordEncoder(channel, tag)
        self._outbox = channel.connection.outbox
        self._unacked = channel.unacked

    def deliver(self, entry: Entry) -> None:
        """Send `entry` and remember it. Hot: once a delivery."""
        unacked = self._unacked
        unacked.tag = tag = unacked.tag + 1
        if not self.no_ack:
            unacked.entries[tag] = entry
            if self.unacked == 1 and self.ack_timeout_seconds is not None:
                unacked.watch(entry.delivered_at + self.ack_timeout_seconds)
        try:
            self._encoder.write(tag, entry)
        except ContentTooLarge as error:
            if self.no_ack:
                entry.queue.hold(entry)
                unacked.entries[tag] = entry
            self._channel.fail(error)  # and with it, the entry goes back
            return
        if self._outbox.size > HIGH_WATER:
            self._channel.connection.congest()

    def deliver_loan(self, loan: Loan) -> Loan | None:
        """Send what can be sent together, unless it has to be given back in time."""
        unacked = self._unacked
        if self.ack_timeout_seconds is not None and not self.no_ack:
            return None
        data = self._encoder.encode_loan(unacked.tag + 1, loan)
        if not data:
            return None
        if self.no_ack:
            unacked.tag += loan.count
        else:
            loan = unacked.lend(loan)
        self._outbox.write(data)
        if self._outbox.size > HIGH_WATER:
            self._channel.connection.congest()
        return loan

    def on_cancelled(self) -> None:
        """Forget the consumer; basic.cancel to a peer that knows it from a server."""
        self._channel.forget_consumer(self)

    def fail(self, error: ChannelError) -> None:
        self._channel.fail(error)

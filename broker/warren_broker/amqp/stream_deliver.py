"""The hot path out of streams: a record becomes the frames of basic.deliver.

As `deliver`, but that two numbers change from one delivery to the next: between three
fixed parts stand the delivery tag and, in the headers, the offset. The plain twin is
`encode_content` with a header that was decoded, changed and encoded.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, final

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
from warren_broker.amqp.splice import OFFSET, encode_fields, splice
from warren_broker.core.stream.consumer import RecordConsumer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren.errors import ChannelError
    from warren_broker.amqp.channel import ServerChannel
    from warren_broker.core.message import Header, Message, Route
    from warren_broker.core.queue import Entry
    from warren_broker.core.queue.lending import Consumable

_TAG: Final = Struct(">Q")
_INDEX: Final = Struct(">I")
_END: Final = bytes((FRAME_END,))
_REDELIVERED: Final = (b"\0", b"\1")
_TAG_AND_FLAG_SIZE: Final = 9


@final
class RecordEncoder:
    """Writes the deliveries of one consumer of streams."""

    __slots__ = (
        "_body_max",
        "_channel",
        "_fields",
        "_head",
        "_header",
        "_inline_max",
        "_is_redelivered",
        "_marks",
        "_middle",
        "_route",
        "_start",
        "_tail",
        "_write",
    )

    def __init__(self, channel: ServerChannel, consumer_tag: str) -> None:
        tag = consumer_tag.encode()
        self._channel = channel.number
        self._write = channel.connection.outbox.write
        self._body_max = channel.connection.frame_size_max - FRAME_OVERHEAD
        self._inline_max = min(BODY_COPIED_MAX - 1, self._body_max)
        self._start = _INDEX.pack(BasicDeliver.index) + bytes((len(tag),)) + tag
        self._route: Route | None = None  # what the parts were made for
        self._header: Header | None = None
        self._is_redelivered = False
        self._marks: Mapping[str, object] | None = None
        self._fields = b""
        self._head = self._middle = self._tail = b""

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
            self._prepare(message, entry)
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

    def _prepare(self, message: Message, entry: Entry) -> None:
        """Make the parts for this route and header, and what marks the record."""
        if entry.marks is not self._marks:
            self._fields = encode_fields(entry.marks)
            self._marks = entry.marks
        self._header = None  # if it raises, nothing is ready
        before, after = splice(message.header.payload, self._fields)
        size = len(before) + OFFSET.size + len(after)
        if size > self._body_max:
            raise ContentTooLarge(f"content header of {size} bytes exceeds frame_max")
        route, channel, start = message.route, self._channel, self._start
        names = route.encoded or encode_route(route)
        method_size = len(start) + _TAG_AND_FLAG_SIZE + len(names)
        self._head = FRAME_PREFIX.pack(FRAME_METHOD, channel, method_size) + start
        self._middle = b"".join(
            (
                _REDELIVERED[entry.redelivered],
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
        self._is_redelivered = entry.redelivered
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

    def on_cancelled(self) -> None:
        """Forget the consumer; basic.cancel to a peer that knows it from a server."""
        self._channel.forget_consumer(self)

    def fail(self, error: ChannelError) -> None:
        self._channel.fail(error)

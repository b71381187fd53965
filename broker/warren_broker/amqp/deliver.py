"""The hot path out: an entry becomes the frames of basic.deliver.

What repeats is kept ready: between two fixed parts there are the eight bytes of the
delivery tag, and the body follows. The plain twin is
`encode_content(channel, BasicDeliver(...), ...)`, and both must give the same bytes.
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
from warren_broker.core.queue import Consumer

if TYPE_CHECKING:
    from warren.wire.outbox import Outbox
    from warren_broker.amqp.channel import ServerChannel
    from warren_broker.core.message import Header, Message, Route
    from warren_broker.core.queue import Entry, Queue

_TAG: Final = Struct(">Q")
_INDEX: Final = Struct(">I")
_END: Final = bytes((FRAME_END,))
_REDELIVERED: Final = (b"\0", b"\1")
_TAG_AND_FLAG_SIZE: Final = 9


def encode_route(route: Route) -> bytes:
    """Return exchange and routing key as two short strings; kept in the route."""
    if not route.encoded:
        exchange, key = route.exchange.encode(), route.routing_key.encode()
        route.encoded = b"".join(
            (bytes((len(exchange),)), exchange, bytes((len(key),)), key)
        )
    return route.encoded


def check_header(header: Header, payload_max: int) -> None:
    """Raise ContentTooLarge if no frame can hold `header`, which cannot be divided."""
    size = len(header.payload)
    if size > payload_max:
        raise ContentTooLarge(f"content header of {size} bytes exceeds frame_max")


@final
class DeliveryEncoder:
    """Writes the deliveries of one consumer tag on one channel."""

    __slots__ = (
        "_body_max",
        "_channel",
        "_head",
        "_header",
        "_inline_max",
        "_outbox",
        "_route",
        "_start",
        "_tail",
    )

    def __init__(
        self, channel: int, consumer_tag: str, outbox: Outbox, frame_size_max: int
    ) -> None:
        tag = consumer_tag.encode()
        self._channel = channel
        self._outbox = outbox
        self._body_max = frame_size_max - FRAME_OVERHEAD
        self._inline_max = min(BODY_COPIED_MAX - 1, self._body_max)
        self._start = _INDEX.pack(BasicDeliver.index) + bytes((len(tag),)) + tag
        self._route: Route | None = None  # what _head and _tail were made for
        self._header: Header | None = None
        self._head = b""
        self._tail = b""

    def write(self, delivery_tag: int, message: Message, *, redelivered: bool) -> None:
        """Put the delivery into the outbox.

        Hot: once a delivery.

        Raises:
            ContentTooLarge: the header does not fit the peer's largest frame.
        """
        if (
            message.header is not self._header
            or message.route is not self._route
            or redelivered
        ):
            self._prepare(message, redelivered=redelivered)
        body = message.body
        if len(body) <= self._inline_max:
            self._outbox.write(
                self._head + _TAG.pack(delivery_tag) + self._tail + body + _END
                if body
                else self._head + _TAG.pack(delivery_tag) + self._tail
            )
        else:
            self._write_large(delivery_tag, body)

    def _prepare(self, message: Message, *, redelivered: bool) -> None:
        """Make what stands before and behind the tag, for this route and header."""
        route = message.route
        names = route.encoded or encode_route(route)
        payload = message.header.payload
        check_header(message.header, self._body_max)
        start = self._start
        size = len(start) + _TAG_AND_FLAG_SIZE + len(names)
        channel = self._channel
        self._head = FRAME_PREFIX.pack(FRAME_METHOD, channel, size) + start
        tail = b"".join(
            (
                _REDELIVERED[redelivered],
                names,
                _END,
                FRAME_PREFIX.pack(FRAME_HEADER, channel, len(payload)),
                payload,
                _END,
            )
        )
        body_size = len(message.body)
        if 0 < body_size <= self._body_max:
            tail += FRAME_PREFIX.pack(FRAME_BODY, channel, body_size)
        self._tail = tail
        # A redelivery differs in a bit: it must not be taken for what is ready.
        self._route = None if redelivered else route
        self._header = message.header

    def _write_large(self, delivery_tag: int, body: bytes) -> None:
        write = self._outbox.write
        write(self._head + _TAG.pack(delivery_tag) + self._tail)
        size_max = self._body_max
        if len(body) <= size_max:
            write(body)  # by reference, all the way to the socket
            write(_END)
            return
        for start in range(0, len(body), size_max):
            piece = body[start : start + size_max]
            write(encode_frame(FRAME_BODY, self._channel, piece))


@final
class AMQPConsumer(Consumer):
    """A consumer on a channel."""

    __slots__ = ("_channel", "_encoder", "_outbox", "_unacked")

    def __init__(
        self,
        queue: Queue,
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
        self._encoder = channel.encoder(tag)
        self._outbox = channel.connection.outbox
        self._unacked = channel.unacked

    def deliver(self, entry: Entry) -> None:
        """Send `entry` and remember it. Hot: once a delivery."""
        unacked = self._unacked
        unacked.tag = tag = unacked.tag + 1
        if not self.no_ack:
            unacked.entries[tag] = entry
            if self.unacked == 1 and self.ack_timeout_seconds is not None:
                # Its only entry is its oldest: the one a timeout comes to first.
                unacked.watch(entry.delivered_at + self.ack_timeout_seconds)
        try:
            if entry.delivery_count:
                message = self._channel.marked_message(entry)
                self._encoder.write(tag, message, redelivered=True)
            else:
                self._encoder.write(tag, entry.message, redelivered=False)
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

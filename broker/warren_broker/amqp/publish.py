"""The hot path in: method, header and body frames become a published message.

A publisher repeats itself: the same exchange and routing key, often the same content
header. Both are remembered by the bytes they came in, so that most publishes decode
nothing. The caches belong to the connection and are bounded; a hostile peer can make
them useless, never large. The plain twin is `decode_method` and `ContentHeader`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren.errors import FrameError, NotImplemented_, PreconditionFailed, ResourceError
from warren.wire.constants import FRAME_BODY, FRAME_HEADER, FRAME_METHOD
from warren.wire.faults import (
    body_too_long,
    header_expected,
    method_expected,
)
from warren.wire.frames import FRAME_PREFIX, encode_frame
from warren.wire.methods import BasicPublish, BasicReturn
from warren_broker.amqp.content_header import ContentHeader
from warren_broker.amqp.deliver import encode_route
from warren_broker.amqp.lease import extend_lease
from warren_broker.core.access import check_user_id
from warren_broker.core.lease import LEASE_EXCHANGE
from warren_broker.core.message import Message, Route
from warren_broker.core.outcome import ACCEPTED, REFUSED, UNROUTED
from warren_broker.core.reply_to import REPLY_TO

if TYPE_CHECKING:
    from warren_broker.amqp.channel import ServerChannel

CACHE_MAX: Final = 4096
_EMPTY_FRAMES_MAX: Final = 1000
_NO_ROUTE: Final = 312


@final
class Publication:
    """A decoded basic.publish: its route, shared by all messages that take it."""

    __slots__ = ("mandatory", "payload", "route")

    def __init__(self, payload: bytes, route: Route, *, mandatory: bool) -> None:
        self.payload = payload  # of the method frame it came in
        self.route = route
        self.mandatory = mandatory


@final
class PublishLane:
    """The bytes of a publish that has just been repeated, up to its body.

    Method frame, content header and the start of the body frame are the same bytes
    whenever a publisher sends the same kind of message of the same size. Then one
    comparison stands for reading three frames. Hot: `reader` takes the lane.

    Attributes:
        prefix: the bytes before the body, which begins at `body_at`.
        size: bytes of the three frames together.
    """

    __slots__ = (
        "body_at",
        "channel",
        "header",
        "number",
        "prefix",
        "publication",
        "size",
    )

    def __init__(
        self, channel: ServerChannel, publication: Publication, header: ContentHeader
    ) -> None:
        self.number = number = channel.number
        self.channel = channel
        self.publication = publication
        self.header = header
        self.prefix = b"".join(
            (
                encode_frame(FRAME_METHOD, number, publication.payload),
                encode_frame(FRAME_HEADER, number, header.payload),
                FRAME_PREFIX.pack(FRAME_BODY, number, header.body_size),
            )
        )
        self.body_at = len(self.prefix)
        self.size = self.body_at + header.body_size + 1

    @property
    def is_free(self) -> bool:
        """Whether the channel is not in the middle of another message."""
        return self.channel.content.publication is None


@final
class PublishCache:
    """What a connection has published before, by the bytes of its frames.

    Attributes:
        lane: what it publishes over and over now; its channel is open.
    """

    __slots__ = ("_message_size_max", "headers", "lane", "publications")

    def __init__(self, message_size_max: int) -> None:
        self._message_size_max = message_size_max
        self.publications: dict[bytes, Publication] = {}
        self.headers: dict[bytes, ContentHeader] = {}
        self.lane: PublishLane | None = None

    def publication(self, payload: bytes) -> Publication:
        """Decode the payload of a basic.publish and remember it.

        Raises:
            NotImplemented_: `immediate` is set, which RabbitMQ has not either.
        """
        method = BasicPublish.decode(payload)
        if method.immediate:
            raise NotImplemented_("immediate=true")
        route = Route(method.exchange, method.routing_key, b"")
        encode_route(route)
        publication = Publication(payload, route, mandatory=method.mandatory)
        if len(self.publications) >= CACHE_MAX:
            self.publications.clear()
        self.publications[payload] = publication
        return publication

    def header(self, payload: bytes) -> ContentHeader:
        """Read the payload of a content header and remember it if it may repeat.

        Raises:
            PreconditionFailed: the message is too large: known before its body is
                read. Further errors as `ContentHeader`.
        """
        header = ContentHeader(payload)
        if header.body_size > self._message_size_max:
            raise PreconditionFailed(
                f"message size {header.body_size} is larger than configured max size"
                f" {self._message_size_max}"
            )
        if header.repeats:
            if len(self.headers) >= CACHE_MAX:
                self.headers.clear()
            self.headers[payload] = header
        return header


@final
class Content:
    """The content that a channel is receiving: method, then header, then body.

    `publication` is set while one is under way, `header` once it is known. Frames
    that have no place raise UnexpectedFrame, with RabbitMQ's texts.
    """

    __slots__ = (
        "_buffer",
        "_empty_frames",
        "_last",
        "header",
        "publication",
    )

    def __init__(self) -> None:
        self.publication: Publication | None = None
        self.header: ContentHeader | None = None
        self._buffer: bytearray | None = None
        self._empty_frames = 0
        self._last: tuple[Publication | None, ContentHeader | None] = (None, None)

    def on_header(self, channel: ServerChannel, payload: bytes) -> None:
        """Take a content header frame; a message without a body is whole now."""
        if self.publication is None:
            channel.method_index = 0
            raise method_expected()
        if self.header is not None:
            raise header_expected()
        cache = channel.connection.cache
        header = cache.headers.get(payload) or cache.header(payload)
        if header.body_size:
            self.header = header
        else:
            self._finish(channel, header, b"")

    def on_body(self, channel: ServerChannel, payload: bytes) -> None:
        """Take a body frame; the message may be whole with it."""
        header = self.header
        if header is None:
            channel.method_index = 0 if self.publication is None else BasicPublish.index
            raise method_expected() if self.publication is None else header_expected()
        if self._buffer is None and len(payload) == header.body_size:
            self._learn_lane(channel, header)
            self._finish(channel, header, payload)
        else:
            self._add(channel, header, payload)

    def drop(self, channel: ServerChannel) -> None:
        """Forget the content under way."""
        self.publication = None
        self.header = None
        self._empty_frames = 0
        if self._buffer is not None:
            channel.connection.inflight_bytes -= len(self._buffer)
            self._buffer = None

    def _add(
        self, channel: ServerChannel, header: ContentHeader, payload: bytes
    ) -> None:
        """Collect a body that comes in several frames."""
        if not payload:
            self._empty_frames += 1
            if self._empty_frames > _EMPTY_FRAMES_MAX:
                raise FrameError("too many empty content body frames")
            return
        self._empty_frames = 0
        if self._buffer is None:
            self._buffer = bytearray()
        buffer, connection = self._buffer, channel.connection
        if len(buffer) + len(payload) > header.body_size:
            raise body_too_long()
        buffer += payload
        connection.inflight_bytes += len(payload)
        if len(buffer) == header.body_size:
            self._finish(channel, header, bytes(buffer))
        elif connection.inflight_bytes > connection.broker.limits.inflight_max_bytes:
            raise ResourceError("too many bytes of unfinished content bodies")

    def _learn_lane(self, channel: ServerChannel, header: ContentHeader) -> None:
        """Take a publish that comes a second time in a row for one that will go on."""
        publication = self.publication
        if publication is None or not header.repeats:
            return
        last_publication, last_header = self._last
        if publication is last_publication and header is last_header:
            lane = PublishLane(channel, publication, header)
            channel.connection.cache.lane = lane
        else:
            self._last = (publication, header)

    def _finish(
        self, channel: ServerChannel, header: ContentHeader, body: bytes
    ) -> None:
        publication = self.publication
        if self._buffer is not None or self._empty_frames:
            self.drop(channel)
        self.publication = None
        self.header = None
        if publication is not None:
            channel.publish(publication, header, body)


def prepared(channel: ServerChannel, header: ContentHeader) -> ContentHeader:
    """Return the header as it may go on, for the few that need a look.

    Raises:
        PreconditionFailed: `user_id` is not the user's own name; or `reply_to` asks
            for direct replies and the channel does not consume them.
    """
    if header.user_id is not None:
        check_user_id(channel.session.user, header.user_id)
    if header.reply_to == REPLY_TO:
        if channel.reply_queue is None:
            raise PreconditionFailed("fast reply consumer does not exist")
        header = header.with_reply_to(channel.reply_queue.name)
    if header.extra_keys:
        header = header.without_bcc()
    return header


def deliver_to_core(
    channel: ServerChannel, message: Message, *, mandatory: bool
) -> int:
    """Publish `message` and see to the answers that its publisher waits for.

    A return comes before the confirm of the same message: clients rely on it.
    Hot: once a message. Return what became of it, see `VHost.publish`.
    """
    outcome = channel.session.publish(message)
    if outcome == UNROUTED:
        outcome = _deliver_unrouted(channel, message, mandatory=mandatory)
    ledger = channel.confirms
    if ledger is not None:
        if outcome >= REFUSED:
            if outcome == REFUSED:
                ledger.refuse()
            else:
                ledger.wait(channel.session.vhost.untaken.take_receipt())
        else:
            if ledger.published == ledger.confirmed:
                channel.connection.promises.confirming.append(ledger)
            ledger.published += 1
    return outcome


def _deliver_unrouted(
    channel: ServerChannel, message: Message, *, mandatory: bool
) -> int:
    """See to a message that went to no queue; it may have extended a lease.

    If it should have and could not, its publisher must not hear that all is well.
    """
    route = message.route
    is_for_lease = route.exchange == LEASE_EXCHANGE
    if is_for_lease and extend_lease(channel, message):
        return ACCEPTED
    if mandatory:
        channel.send_content(
            BasicReturn(_NO_ROUTE, "NO_ROUTE", route.exchange, route.routing_key),
            message,
        )
    is_refused = is_for_lease and channel.transaction is None
    return REFUSED if is_refused else UNROUTED

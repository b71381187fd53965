"""One message: where it was published, its opaque header, its body.

All three are immutable and shared by every queue the message is in. The header
stays the bytes the publisher framed; a front end reads from it the few values
the core's rules need, once, when the message arrives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self, final

if TYPE_CHECKING:
    from collections.abc import Mapping


@final
class Directives:
    """What the headers of a message ask of the broker; None: not asked for.

    Attributes:
        delay_ms: how long it waits before it is published; from 1 up.
        deliver_at: when it is to be published, in seconds since 1970.
        schedule_id: its name while it waits, unique in its exchange.
        cancel_id: the name of one that waits, to be taken out; this one goes nowhere.
        retry_delay_ms: how long it waits when it is returned, or rejected.
        partition: of a super stream, the one that it goes to.
    """

    __slots__ = (
        "cancel_id",
        "delay_ms",
        "deliver_at",
        "partition",
        "retry_delay_ms",
        "schedule_id",
    )

    def __init__(
        self,
        *,
        delay_ms: int | None = None,
        deliver_at: float | None = None,
        schedule_id: str | None = None,
        cancel_id: str | None = None,
        retry_delay_ms: int | None = None,
        partition: int | None = None,
    ) -> None:
        self.delay_ms: int | None = delay_ms
        self.deliver_at: float | None = deliver_at
        self.schedule_id: str | None = schedule_id
        self.cancel_id: str | None = cancel_id
        self.retry_delay_ms: int | None = retry_delay_ms
        self.partition: int | None = partition

    @property
    def concerns_publishing(self) -> bool:
        """Whether publishing has anything to do with them."""
        return (
            self.delay_ms is not None
            or self.deliver_at is not None
            or self.schedule_id is not None
            or self.cancel_id is not None
            or self.partition is not None
        )

    def once_due(self) -> Directives | None:
        """Return what still counts when its time to be published has come."""
        if self.retry_delay_ms is None and self.partition is None:
            return None
        return Directives(retry_delay_ms=self.retry_delay_ms, partition=self.partition)

    def after_publishing(self) -> Directives | None:
        """Return what still counts once the message is published."""
        if self.retry_delay_ms is None:
            return None
        return Directives(retry_delay_ms=self.retry_delay_ms)


class Header(ABC):
    """The content header of a message, as a front end carries it.

    The attributes are plain slots which the subclass's constructor must set:
    they are read for every message, so none of them may be a property.
    """

    __slots__ = (
        "directives",
        "expiration_ms",
        "extra_keys",
        "is_plain",
        "payload",
        "persistent",
        "priority",
        "repeats",
    )

    payload: bytes
    """The header in the front end's own encoding; the core only measures it."""
    persistent: bool
    """True for delivery mode 2."""
    priority: int
    """0 to 255; 0 when the publisher gave none."""
    expiration_ms: int | None
    """Time to live from the property ``expiration``, in milliseconds."""
    extra_keys: tuple[str, ...]
    """The routing keys of the headers ``CC`` and ``BCC``, in that order."""
    directives: Directives | None
    """What its headers ask of the broker; None for nearly all messages."""
    is_plain: bool
    """True if its routing key and its exchange are all that publishing must know: no
    extra keys, and no directives that concern it."""

    repeats: bool
    """True if other messages may well share it, and it is worth keeping."""

    @classmethod
    @abstractmethod
    def restored(cls, payload: bytes) -> Self:
        """Return the header with `payload`, of a message that was published before."""

    @abstractmethod
    def headers(self) -> dict[str, object]:
        """Return the decoded ``headers`` property; empty if there is none."""

    @abstractmethod
    def property_text(self, name: str) -> str | None:
        """Return a property as text; None if there is none.

        ``name`` is `message_id`, `correlation_id` or `timestamp` (seconds since 1970).
        """

    @abstractmethod
    def rewritten(
        self, headers: Mapping[str, object], *, keep_expiration: bool
    ) -> Header:
        """Return this header with its ``headers`` property replaced by ``headers``.

        Without ``keep_expiration`` the property ``expiration`` is removed, as
        dead-lettering must do (RabbitMQ: a dead-lettered message would otherwise
        expire again wherever it arrives). Of the directives only those remain that
        count after publishing.
        """

    def instruct(
        self, extra_keys: tuple[str, ...], directives: Directives | None
    ) -> None:
        """Set all that publishing goes by, for a header that nobody else has yet."""
        self.extra_keys = extra_keys
        self.directives = directives
        self.is_plain = not extra_keys and (
            directives is None or not directives.concerns_publishing
        )


@final
class Route:
    """Where a message was published: exchange and routing key."""

    __slots__ = ("encoded", "exchange", "routing_key")

    def __init__(self, exchange: str, routing_key: str, encoded: bytes) -> None:
        self.exchange: str = exchange
        self.routing_key: str = routing_key
        self.encoded: bytes = encoded
        """Both names in the front end's own encoding, ready to be sent."""


@final
class Message:
    """One message, shared by every queue it was routed to; never changed."""

    __slots__ = ("body", "header", "route")

    def __init__(self, route: Route, header: Header, body: bytes) -> None:
        self.route: Route = route
        self.header: Header = header
        self.body: bytes = body

    @property
    def size_bytes(self) -> int:
        """Bytes of body, header and route together.

        Limits count all three: counting bodies alone would let empty messages
        with large headers through unmeasured.
        """
        return len(self.body) + len(self.header.payload) + len(self.route.encoded)

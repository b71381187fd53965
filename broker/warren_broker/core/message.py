"""One message: where it was published, its opaque header, its body.

All three are immutable and shared by every queue the message is in. The header
stays the bytes the publisher framed; a front end reads from it the few values
the core's rules need, once, when the message arrives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Header(ABC):
    """The content header of a message, as a front end carries it.

    The attributes are plain slots which the subclass's constructor must set:
    they are read for every message, so none of them may be a property.
    """

    __slots__ = ("expiration_ms", "extra_keys", "payload", "persistent", "priority")

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
        expire again wherever it arrives).
        """


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

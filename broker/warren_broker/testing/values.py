"""Values: what a test gets to see of a broker, as it was at one moment."""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003 - attrs' users may ask
from dataclasses import fields
from typing import TYPE_CHECKING, Any, final

from attrs import field, frozen

from warren.wire.properties import Properties, decode_header

if TYPE_CHECKING:
    from warren.wire.table import Table


def _present(header: bytes) -> str:
    """Return the properties that a content header has, for people."""
    properties, names = _properties(header), [each.name for each in fields(Properties)]
    found = {name: getattr(properties, name) for name in names}
    return repr({name: value for name, value in found.items() if value is not None})


def _properties(header: bytes) -> Properties:
    return decode_header(header)[1]


@frozen(kw_only=True)
class Message:
    """A message: where it was published to, and what was in it."""

    exchange: str
    routing_key: str
    body: bytes
    header: bytes = field(repr=_present)
    """The content header, as it came; `properties` reads it."""

    @property
    def properties(self) -> Properties:
        """Its properties, decoded. Raises SyntaxError_ if they cannot be."""
        return _properties(self.header)

    @property
    def headers(self) -> Table:
        """The table of that name among its properties; empty if there is none."""
        return self.properties.headers or {}

    @property
    def text(self) -> str:
        """The body as UTF-8. Raises UnicodeDecodeError."""
        return self.body.decode()

    def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        """Return what the body means as JSON. Raises ValueError."""
        return json.loads(self.body)


@final
@frozen(kw_only=True)
class PublishedMessage(Message):
    """A message as a client has published it.

    `outcome` is what the broker made of it: ``accepted``, ``unrouted`` (no queue was
    bound for it), ``refused`` (a full queue, or a fault) or ``pending``.
    """

    vhost: str
    outcome: str


@final
@frozen(kw_only=True)
class QueuedMessage(Message):
    """A message as it is in a queue.

    `sequence` is its place there, `delivery_count` how often it came back; of what is
    unacked, `consumer_tag` says who has it, None after basic.get.
    """

    sequence: int
    delivery_count: int
    consumer_tag: str | None = None

    @property
    def redelivered(self) -> bool:
        """Whether somebody had it before: basic.deliver's flag."""
        return self.delivery_count > 0


@final
@frozen(kw_only=True)
class QueueState:
    """A queue and its messages: those to be delivered next are first.

    `delayed` are those that wait for a moment before they are ready. A stream has none
    of them, but records.
    """

    name: str
    vhost: str
    durable: bool
    arguments: Mapping[str, object]
    consumer_count: int
    ready: tuple[QueuedMessage, ...]
    unacked: tuple[QueuedMessage, ...]
    delayed: tuple[QueuedMessage, ...]
    record_count: int = 0

    @property
    def messages(self) -> tuple[QueuedMessage, ...]:
        """All of them, in the order in which they came."""
        everything = (*self.ready, *self.unacked, *self.delayed)
        return tuple(sorted(everything, key=lambda message: message.sequence))

    def __len__(self) -> int:
        return len(self.ready) + len(self.unacked) + len(self.delayed)

    def __bool__(self) -> bool:
        return True  # there is a queue, though it may be empty


@final
@frozen(kw_only=True)
class ConnectionState:
    """A client: `name` and `product` are what it says of itself, "" if nothing."""

    address: str
    name: str
    product: str
    user: str
    vhost: str
    channel_count: int
    consumer_count: int
    unacked_count: int


@final
@frozen(kw_only=True)
class Event:
    """Something that the broker would have logged, `seconds` after it was started."""

    seconds: float
    name: str
    fields: Mapping[str, object]

    def __str__(self) -> str:
        told = (f"{key}={value}" for key, value in self.fields.items())
        return " ".join((f"{self.seconds:8.3f} s", self.name, *told))

"""What a client connection has to tell: one class an event, immutable.

Events come in the order of the bytes. A connection's last event is `ConnectionEnded`,
and it comes once; a channel's last event is `ChannelEnded`, and it comes once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import attrs

if TYPE_CHECKING:
    from warren.errors import WarrenError
    from warren.wire.content import Content
    from warren.wire.methods import BasicReturn, Method
    from warren.wire.properties import Properties
    from warren.wire.table import Table


@attrs.frozen
class ConnectionOpened:
    """The handshake is over: channels can be opened."""

    server_properties: Table


@attrs.frozen
class ConnectionEnded:
    """The connection is over. `error` is None if this side had closed it."""

    error: WarrenError | None


@attrs.frozen
class Blocked:
    """The server reads no publishes until `Unblocked` (RabbitMQ's extension)."""

    reason: str


@attrs.frozen
class Unblocked:
    """The server reads publishes again."""


@attrs.frozen
class Replied:
    """The answer to one of the channel's requests that have none yet.

    `content` comes with `basic.get-ok` only. `place` is 0 for the oldest request, and
    grows with those it overtakes: RabbitMQ's queues answer basic.cancel themselves, and
    the channel goes on meanwhile.
    """

    channel: int
    method: Method
    content: Content | None = None
    place: int = 0


class Delivered(NamedTuple):
    """A message for a consumer of this channel; its method is a `basic.deliver`."""

    channel: int
    content: Content


@attrs.frozen
class Returned:
    """A mandatory message came back. With confirms, its `Settled` follows later.

    `sequence` is the publish sequence, or None when it cannot be told.
    """

    channel: int
    method: BasicReturn
    properties: Properties
    body: bytes
    sequence: int | None


@attrs.frozen
class Settlement:
    """How one publish ended. `error` is None if the server took the message.

    Otherwise `Unroutable`: it came back; `Nacked`: the server said no.
    """

    sequence: int
    error: WarrenError | None


@attrs.frozen
class Settled:
    """Publishes that ended together, in publish order."""

    channel: int
    settlements: list[Settlement]


@attrs.frozen
class ConsumerCancelled:
    """The server ended a consumer, for example because its queue was deleted."""

    channel: int
    consumer_tag: str


@attrs.frozen
class ChannelEnded:
    """The channel is over. `error` is None if this side had closed it.

    What happened to the publishes in `unsettled` is not known.
    """

    channel: int
    error: WarrenError | None
    unsettled: list[int]


ChannelEvent = (
    Replied | Delivered | Returned | Settled | ConsumerCancelled | ChannelEnded
)
Event = ConnectionOpened | ConnectionEnded | Blocked | Unblocked | ChannelEvent

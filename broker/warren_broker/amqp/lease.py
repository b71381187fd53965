"""Leases of a channel: how a client extends them, and what it hears of their end.

A client that needs more time for a delivery publishes to `amq.lease` on the channel
that the delivery came on. Any client of any broker can do that: it takes no method that
AMQP 0-9-1 does not have. Nothing can be bound to that exchange, so what is published to
it is unrouted, and only what is unrouted is looked at here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren.errors import PreconditionFailed
from warren_broker.core.lease import LeaseHolder

if TYPE_CHECKING:
    from warren_broker.amqp.channel import ServerChannel
    from warren_broker.core.message import Message

_EXTEND: Final = "extend"
_MILLISECONDS: Final = 1000


def extend_lease(channel: ServerChannel, message: Message) -> bool:
    """Do what `message`, which was published to `amq.lease`, asks for.

    Its routing key is `extend`. Of its headers `delivery-tag` says which lease, 0 for
    all of the channel, and `ms` how many milliseconds from now it shall end: integers
    both. The body means nothing. False: it asks for nothing that there is.
    """
    if message.route.routing_key != _EXTEND:
        return False
    headers = message.header.headers()
    tag = _integer(headers.get("delivery-tag"))
    duration_ms = _integer(headers.get("ms"))
    if tag is None or duration_ms is None or duration_ms <= 0:
        return False
    return channel.unacked.extend(tag, duration_ms / _MILLISECONDS)


def _integer(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return None


@final
class ChannelHolder(LeaseHolder):
    """A channel, as its leases see it."""

    __slots__ = ("_channel",)

    def __init__(self, channel: ServerChannel) -> None:
        self._channel = channel

    def heard_at(self) -> float:
        """Return when the client was last heard; now, if we do not listen to it."""
        connection = self._channel.connection
        return connection.broker.now if connection.throttled else connection.heard_at

    def hears_cancel(self) -> bool:
        """Whether the client announced that it understands basic.cancel."""
        return self._channel.connection.client.hears_cancel

    def close_late(self, timeout_seconds: float) -> None:
        """Close the channel as RabbitMQ does, in a turn of its own."""
        number = self._channel.number
        error = PreconditionFailed(
            f"delivery acknowledgement on channel {number} timed out."
            f" Timeout value used: {round(timeout_seconds * _MILLISECONDS)} ms."
            " This timeout value can be configured,"
            " see consumers doc guide to learn more"
        )
        self._channel.fail(error)

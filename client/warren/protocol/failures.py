"""Errors that come with no reply code: nobody sent a close method, or there is none.

::

    WarrenError
      ConnectionLost       ChannelClosed       ConsumerLost
      PublishFailed        Unroutable  Nacked  Unconfirmed (a ConnectionLost as well)
      SettleFailed         StaleDelivery  AlreadySettled
      Unsupported
"""

from __future__ import annotations

from warren.errors import WarrenError


class ConnectionLost(WarrenError):
    """The connection ended, or fell silent, and nobody had closed it."""


class ChannelClosed(WarrenError):
    """The channel or its connection was closed by this side; nothing can be sent."""


class PublishFailed(WarrenError):
    """A message was not taken, or nobody can say whether it was."""


class Unroutable(PublishFailed):
    """A mandatory message came back (`basic.return`): no queue wanted it."""

    def __init__(self, exchange: str, routing_key: str) -> None:
        super().__init__(exchange, routing_key)
        self.exchange = exchange
        self.routing_key = routing_key

    def __str__(self) -> str:
        where = f"key {self.routing_key!r} of exchange {self.exchange!r}"
        return f"NO_ROUTE - no queue for {where}"


class Nacked(PublishFailed):
    """The server answered a publish with `basic.nack`: the message was not taken."""


class Unconfirmed(PublishFailed, ConnectionLost):
    """The connection was lost before the confirm came: the message may be there."""


class ConsumerLost(WarrenError):
    """The server ended the consumer, for example because its queue was deleted."""


class SettleFailed(WarrenError):
    """A delivery cannot be settled."""


class StaleDelivery(SettleFailed):
    """It is ours no more: its channel is over, or its lease. It will come again."""


class AlreadySettled(SettleFailed):
    """It was settled before, or was delivered without the need to."""


class Unsupported(WarrenError):
    """The broker does not have what was asked for."""


def again(error: WarrenError) -> WarrenError:
    """Return the same error to raise once more: each raise has a trace of its own."""
    return type(error)(*error.args)

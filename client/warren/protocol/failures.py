"""Errors that come with no reply code: nobody sent a close method, or there is none."""

from __future__ import annotations

from warren.errors import WarrenError


class ConnectionLost(WarrenError):
    """The connection ended, or fell silent, and nobody had closed it."""


class ChannelClosed(WarrenError):
    """The channel or its connection was closed by this side; nothing can be sent."""


class PublishRefused(WarrenError):
    """The server answered a publish with `basic.nack`: the message was not taken."""


class ConsumerLost(WarrenError):
    """The server ended the consumer, for example because its queue was deleted."""


def again(error: WarrenError) -> WarrenError:
    """Return the same error to raise once more: each raise has a trace of its own."""
    return type(error)(*error.args)

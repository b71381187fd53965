"""Errors of AMQP 0-9-1: one class a reply code, the same on both sides of the wire.

::

    WarrenError
      AMQPError                     code, text, reply_text
        ChannelError                soft: closes one channel
          ContentTooLarge 311  NoRoute 312  NoConsumers 313  AccessRefused 403
          NotFound 404  ResourceLocked 405  PreconditionFailed 406
        ConnectionError_            hard: closes the connection
          ConnectionForced 320  InvalidPath 402  FrameError 501  SyntaxError_ 502
          CommandInvalid 503  ChannelNotOpen 504  UnexpectedFrame 505
          ResourceError 506  NotAllowed 530  NotImplemented_ 540  InternalError 541

The broker raises a leaf with a text; its front end makes the close method of it. The
client makes the same leaf of a close method that it received, see `error_for`.
Codes and scopes: AMQP 0-9-1 specification, section 1.1.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar, Final

REPLY_TEXT_SIZE_MAX: Final = 255
"""Bytes: a reply text travels as a short string."""


class ReplyCode(IntEnum):
    """Reply codes by the names that reply texts begin with."""

    REPLY_SUCCESS = 200
    CONTENT_TOO_LARGE = 311
    NO_ROUTE = 312
    NO_CONSUMERS = 313
    CONNECTION_FORCED = 320
    INVALID_PATH = 402
    ACCESS_REFUSED = 403
    NOT_FOUND = 404
    RESOURCE_LOCKED = 405
    PRECONDITION_FAILED = 406
    FRAME_ERROR = 501
    SYNTAX_ERROR = 502
    COMMAND_INVALID = 503
    CHANNEL_ERROR = 504
    UNEXPECTED_FRAME = 505
    RESOURCE_ERROR = 506
    NOT_ALLOWED = 530
    NOT_IMPLEMENTED = 540
    INTERNAL_ERROR = 541


class WarrenError(Exception):
    """Base of every error that Warren raises on purpose."""


class AMQPError(WarrenError):
    """An error with a reply code. `text` is what follows the code's name."""

    code: ClassVar[ReplyCode]

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.reply_text

    @property
    def reply_text(self) -> str:
        """``NAME - text``, cut so that it fits a short string as valid UTF-8."""
        whole = f"{self.code.name} - {self.text}".encode(errors="replace")
        return whole[:REPLY_TEXT_SIZE_MAX].decode(errors="ignore")


class ChannelError(AMQPError):
    """Soft error: the channel closes, the connection and its other channels stay."""


class ConnectionError_(AMQPError):
    """Hard error: the connection closes, and all its channels with it."""


class ContentTooLarge(ChannelError):
    """The content is larger than the peer can take at present."""

    code = ReplyCode.CONTENT_TOO_LARGE


class NoRoute(ChannelError):
    """A mandatory message could be routed to no queue."""

    code = ReplyCode.NO_ROUTE


class NoConsumers(ChannelError):
    """An immediate message could be delivered to no consumer at once."""

    code = ReplyCode.NO_CONSUMERS


class AccessRefused(ChannelError):
    """The user has no permission, or the resource is reserved."""

    code = ReplyCode.ACCESS_REFUSED


class NotFound(ChannelError):
    """There is no queue or exchange of that name."""

    code = ReplyCode.NOT_FOUND


class ResourceLocked(ChannelError):
    """The queue is exclusive to another connection."""

    code = ReplyCode.RESOURCE_LOCKED


class PreconditionFailed(ChannelError):
    """What was asked contradicts what there is."""

    code = ReplyCode.PRECONDITION_FAILED


class ConnectionForced(ConnectionError_):
    """An operator closed the connection, or the broker stops."""

    code = ReplyCode.CONNECTION_FORCED


class InvalidPath(ConnectionError_):
    """The client tried to work with an unknown virtual host."""

    code = ReplyCode.INVALID_PATH


class FrameError(ConnectionError_):
    """A frame that cannot be read."""

    code = ReplyCode.FRAME_ERROR


class SyntaxError_(ConnectionError_):
    """A frame that can be read, holding values that cannot be."""

    code = ReplyCode.SYNTAX_ERROR


class CommandInvalid(ConnectionError_):
    """A method that is out of place."""

    code = ReplyCode.COMMAND_INVALID


class ChannelNotOpen(ConnectionError_):
    """A frame on a channel in the wrong state; `CHANNEL_ERROR` on the wire."""

    code = ReplyCode.CHANNEL_ERROR


class UnexpectedFrame(ConnectionError_):
    """A content frame that no method announced, or that is missing."""

    code = ReplyCode.UNEXPECTED_FRAME


class ResourceError(ConnectionError_):
    """A limit of the broker's resources was reached."""

    code = ReplyCode.RESOURCE_ERROR


class NotAllowed(ConnectionError_):
    """Something the settings forbid, whoever asks."""

    code = ReplyCode.NOT_ALLOWED


class NotImplemented_(ConnectionError_):
    """A feature or method that the peer does not have."""

    code = ReplyCode.NOT_IMPLEMENTED


class InternalError(ConnectionError_):
    """A fault of the peer's own."""

    code = ReplyCode.INTERNAL_ERROR


_LEAVES: Final[dict[int, type[AMQPError]]] = {
    leaf.code: leaf
    for scope in (ChannelError, ConnectionError_)
    for leaf in scope.__subclasses__()
}


def error_for(code: int, text: str) -> AMQPError:
    """Return the error for a close method's reply code and text.

    A text that begins with the code's own name loses it, so that `reply_text` gives
    back what was received. A code the specification does not know becomes an
    `InternalError` that tells the number.
    """
    leaf = _LEAVES.get(code)
    if leaf is None:
        return InternalError(f"reply code {code}: {text}")
    return leaf(text.removeprefix(f"{leaf.code.name} - "))

"""Warren: a client for AMQP 0-9-1 brokers, and the codec and errors it shares with one.

Public names are loaded when they are first used: ``import warren`` is cheap, and
``warren.wire`` can be had without the client's concurrency library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from warren.errors import (
        AccessRefused,
        AMQPError,
        ChannelError,
        ChannelNotOpen,
        CommandInvalid,
        ConnectionError_,
        ConnectionForced,
        ContentTooLarge,
        FrameError,
        InternalError,
        InvalidPath,
        NoConsumers,
        NoRoute,
        NotAllowed,
        NotFound,
        NotImplemented_,
        PreconditionFailed,
        ReplyCode,
        ResourceError,
        ResourceLocked,
        SyntaxError_,
        UnexpectedFrame,
        WarrenError,
    )

_HOMES: Final[dict[str, tuple[str, ...]]] = {
    "warren.errors": (
        "AMQPError",
        "AccessRefused",
        "ChannelError",
        "ChannelNotOpen",
        "CommandInvalid",
        "ConnectionError_",
        "ConnectionForced",
        "ContentTooLarge",
        "FrameError",
        "InternalError",
        "InvalidPath",
        "NoConsumers",
        "NoRoute",
        "NotAllowed",
        "NotFound",
        "NotImplemented_",
        "PreconditionFailed",
        "ReplyCode",
        "ResourceError",
        "ResourceLocked",
        "SyntaxError_",
        "UnexpectedFrame",
        "WarrenError",
    ),
}
"""Module -> the public names that live there."""

_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AMQPError",
    "AccessRefused",
    "ChannelError",
    "ChannelNotOpen",
    "CommandInvalid",
    "ConnectionError_",
    "ConnectionForced",
    "ContentTooLarge",
    "FrameError",
    "InternalError",
    "InvalidPath",
    "NoConsumers",
    "NoRoute",
    "NotAllowed",
    "NotFound",
    "NotImplemented_",
    "PreconditionFailed",
    "ReplyCode",
    "ResourceError",
    "ResourceLocked",
    "SyntaxError_",
    "UnexpectedFrame",
    "WarrenError",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's names have any type
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Warren: a client for AMQP 0-9-1 brokers, and the codec and errors it shares with one.

Public names are loaded when they are first used: ``import warren`` is cheap, and
``warren.wire`` can be had without the client's concurrency library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from warren._client.batch import Batch, BatchFailed
    from warren._client.channel import Channel
    from warren._client.connect import connect
    from warren._client.connection import Connection
    from warren._client.consumer import Consumer
    from warren._client.declaring import Queue
    from warren._client.delivery import Delivery
    from warren._client.reconnect import Reconnect
    from warren._client.windows import Window, Windows
    from warren._worker.app import App
    from warren._worker.asking import ask
    from warren._worker.failures import (
        GiveUp,
        HandlerDied,
        HandlerTimeout,
        RemoteError,
        ReturnedTooOften,
        TryAgain,
    )
    from warren._worker.job import Job
    from warren._worker.retry import Retry
    from warren.bodies.codecs import BodyError, Codec, Codecs
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
    from warren.protocol.failures import (
        AlreadySettled,
        ChannelClosed,
        ConnectionLost,
        ConsumerLost,
        Nacked,
        PublishFailed,
        SettleFailed,
        StaleDelivery,
        Unconfirmed,
        Unroutable,
        Unsupported,
    )
    from warren.wire.properties import Properties

_HOMES: Final[dict[str, tuple[str, ...]]] = {
    "warren._client.batch": (
        "Batch",
        "BatchFailed",
    ),
    "warren._client.channel": ("Channel",),
    "warren._client.connect": ("connect",),
    "warren._client.connection": ("Connection",),
    "warren._client.consumer": ("Consumer",),
    "warren._client.declaring": ("Queue",),
    "warren._client.delivery": ("Delivery",),
    "warren._client.reconnect": ("Reconnect",),
    "warren._client.windows": (
        "Window",
        "Windows",
    ),
    "warren._worker.app": ("App",),
    "warren._worker.asking": ("ask",),
    "warren._worker.failures": (
        "GiveUp",
        "HandlerDied",
        "HandlerTimeout",
        "RemoteError",
        "ReturnedTooOften",
        "TryAgain",
    ),
    "warren._worker.job": ("Job",),
    "warren._worker.retry": ("Retry",),
    "warren.bodies.codecs": (
        "BodyError",
        "Codec",
        "Codecs",
    ),
    "warren.protocol.failures": (
        "AlreadySettled",
        "ChannelClosed",
        "ConnectionLost",
        "ConsumerLost",
        "Nacked",
        "PublishFailed",
        "SettleFailed",
        "StaleDelivery",
        "Unconfirmed",
        "Unroutable",
        "Unsupported",
    ),
    "warren.wire.properties": ("Properties",),
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
    "AlreadySettled",
    "App",
    "Batch",
    "BatchFailed",
    "BodyError",
    "Channel",
    "ChannelClosed",
    "ChannelError",
    "ChannelNotOpen",
    "Codec",
    "Codecs",
    "CommandInvalid",
    "Connection",
    "ConnectionError_",
    "ConnectionForced",
    "ConnectionLost",
    "Consumer",
    "ConsumerLost",
    "ContentTooLarge",
    "Delivery",
    "FrameError",
    "GiveUp",
    "HandlerDied",
    "HandlerTimeout",
    "InternalError",
    "InvalidPath",
    "Job",
    "Nacked",
    "NoConsumers",
    "NoRoute",
    "NotAllowed",
    "NotFound",
    "NotImplemented_",
    "PreconditionFailed",
    "Properties",
    "PublishFailed",
    "Queue",
    "Reconnect",
    "RemoteError",
    "ReplyCode",
    "ResourceError",
    "ResourceLocked",
    "Retry",
    "ReturnedTooOften",
    "SettleFailed",
    "StaleDelivery",
    "SyntaxError_",
    "TryAgain",
    "Unconfirmed",
    "UnexpectedFrame",
    "Unroutable",
    "Unsupported",
    "WarrenError",
    "Window",
    "Windows",
    "ask",
    "connect",
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

"""Log: events as lines on standard error, for people or as JSON.

structlog is loaded by `load`, or with the first event: it takes longer to import than
everything else that `warren serve` needs, and there is nothing to log before the first
client.
"""

from __future__ import annotations

import sys
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, TextIO, final

import attrs
from attrs import field
from attrs.validators import in_, optional

from warren_broker.core.meaning import meaning
from warren_broker.server.event_log import EventLog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import (
        EventDict,
        ExcInfo,
        FilteringBoundLogger,
        Processor,
        WrappedLogger,
    )

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
FORMATS: Final = ("console", "json")

EVENT_LEVELS: Final[Mapping[str, str]] = {
    "bug": "error",
    "channel closed by error": "warning",
    "configuration refused": "error",
    "connection closed by error": "warning",
    "connection not made": "debug",
    "connection stalled": "warning",
    "connections refused": "warning",
    "data damaged": "error",
    "disk alarm on": "warning",
    "handshake failed": "warning",
    "login refused": "warning",
    "journal failed": "error",
    "memory alarm on": "warning",
    "messages unreadable": "error",
    "messages without a queue": "error",
    "missed heartbeats": "warning",
    "not AMQP": "warning",
    "not restored": "error",
    "reader fell behind": "warning",
    "redeclared with other arguments": "warning",
    "set aside": "warning",
    "source ended": "warning",
    "stream unreadable": "error",
    "tap ended": "warning",
    "the configuration file wins": "warning",
}
"""Every other event is told at level info; a failure is an error."""


@attrs.frozen(kw_only=True)
class LogSettings:
    """What is logged on standard error, and how."""

    level: str = field(
        default="info",
        validator=in_(LEVELS),
        metadata=meaning("The least level that is logged."),
    )
    format: str | None = field(
        default=None,
        validator=optional(in_(FORMATS)),
        metadata=meaning("If not given: `console` on a terminal, otherwise `json`."),
    )


@final
class Log(EventLog):
    """Writes to `stream`; what cannot be written is lost, and nobody fails for it."""

    def __init__(self, settings: LogSettings, stream: TextIO | None = None) -> None:
        self._settings = settings
        self._stream = stream or sys.stderr
        self._logger: FilteringBoundLogger | None = None

    def load(self) -> None:
        if self._logger is None and self._stream is not None:
            self._logger = _make_logger(self._settings, self._stream)

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        self._write(EVENT_LEVELS.get(name, "info"), name, fields)

    def failure(
        self, name: str, error: BaseException, fields: Mapping[str, object]
    ) -> None:
        self._write("error", name, {**fields, "exc_info": error})

    def _write(self, level: str, name: str, fields: Mapping[str, object]) -> None:
        self.load()
        if self._logger is None:
            return  # started with standard error closed
        try:
            getattr(self._logger, level)(name, **fields)
        except (OSError, ValueError):
            return  # its reader is gone, its disk is full, or it was closed


@final
class _Shown:
    """Text that a renderer takes as it is: the `repr` of what it stands for."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _escape_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape what is not printable in keys and values: peers choose some of them.

    A terminal obeys control characters. JSON escapes them by itself.
    """
    return {
        _escape(key): value if key == "exc_info" else _escape_value(key, value)
        for key, value in event.items()
    }


def _escape_value(key: str, value: object) -> object:
    if not isinstance(value, str):
        text = repr(value)
        return value if text.isprintable() else _Shown(_escape(text))
    if value.isprintable():
        return value
    return _escape(value) if key == "event" else _Shown(repr(value))


def _escape(text: str) -> str:
    """Write each character that is not printable as Python would in a string."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape").decode()
        for character in text
    )


def _write_traceback(stream: TextIO, error: ExcInfo) -> None:
    from structlog.dev import plain_traceback

    plain = StringIO()
    plain_traceback(plain, error)
    stream.write("\n".join(map(_escape, plain.getvalue().split("\n"))))


def _make_logger(settings: LogSettings, stream: TextIO) -> FilteringBoundLogger:
    import structlog

    renderers: list[Processor]
    if (settings.format or ("console" if stream.isatty() else "json")) == "json":
        renderers = [
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(default=repr),
        ]
    else:
        renderers = [
            _escape_event,
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(),
                exception_formatter=_write_traceback,
            ),
        ]
    # Wrapped, not configured: a program that embeds the server has its own structlog.
    logger: Any = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        context_class=dict,
    )
    bound: FilteringBoundLogger = logger.bind()
    return bound

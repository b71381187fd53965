"""Case: one thing a peer may do wrong, and what becomes of it.

The numbers are those of the project's list of wire-level bad inputs; the tables are in
`bad_handshakes`, `bad_frames`, `bad_topology` and `bad_messages`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from tests.pairs import GUEST, content
from warren.errors import ChannelError
from warren.wire.frames import encode_frame, encode_method
from warren.wire.methods import BasicPublish, Method

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pairs import World
    from warren.errors import AMQPError
    from warren_broker.core.limits import Limits

    Input = Method | bytes

SILENCE_SECONDS: Final = 3.0


class Level(Enum):
    """What is closed, and how."""

    CONNECTION = auto()  # connection.close
    CHANNEL = auto()  # channel.close
    SILENT = auto()  # the end of the connection, after a pause and without a word
    PROTOCOL_HEADER = auto()  # the right protocol header, then the end
    GONE = auto()  # the peer is gone, and what it had
    OK = auto()  # nothing: it is accepted


class Stage(Enum):
    """How far the connection is before the input comes."""

    NOTHING = auto()
    STARTING = auto()
    TUNING = auto()
    OPENING = auto()
    OPEN = auto()
    CHANNEL = auto()  # channel 1 is open


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row of the list, or one variant of a row.

    `by` is the method that the close must name, or its ids. `answers` are what an
    accepted input is answered with: methods, or their types; of confirms only how far
    they go, as cuts make batches. After `after` seconds a silent end comes.
    """

    row: int
    name: str
    level: Level
    sends: bytes
    error: type[AMQPError] | None = None
    text: str = ""
    by: type[Method] | tuple[int, int] = (0, 0)
    answers: tuple[Method | type[Method], ...] = ()
    stage: Stage = Stage.CHANNEL
    before: tuple[Input, ...] = ()
    login: bytes = GUEST
    is_loopback: bool = True
    limits: Limits | None = None
    prepare: Callable[[World], None] | None = None
    after: float = SILENCE_SECONDS
    is_dear: bool = False

    def __str__(self) -> str:
        return f"{self.row}-{self.name}"


def joined(inputs: tuple[Input, ...]) -> bytes:
    """Return inputs as bytes; methods are for channel 1."""
    return b"".join(
        each if isinstance(each, bytes) else encode_method(1, each) for each in inputs
    )


def refused(
    row: int,
    name: str,
    error: type[AMQPError],
    text: str,
    *sends: Input,
    **fields: Any,  # noqa: ANN401 - those of Case
) -> Case:
    """A close; of what, follows from the error; by the last method unless `by` says."""
    is_soft = issubclass(error, ChannelError)
    fields.setdefault("level", Level.CHANNEL if is_soft else Level.CONNECTION)
    if isinstance(sends[-1], Method):
        fields.setdefault("by", type(sends[-1]))
    sent = joined(sends)
    return Case(row=row, name=name, error=error, text=text, sends=sent, **fields)


def silent(
    row: int,
    name: str,
    error: type[AMQPError] | None,
    *sends: bytes,
    **fields: Any,  # noqa: ANN401
) -> Case:
    """No answer to a stranger; the error is for the log."""
    fields.setdefault("stage", Stage.STARTING)
    sent = b"".join(sends)
    return Case(
        row=row, name=name, level=Level.SILENT, error=error, sends=sent, **fields
    )


def accepted(
    row: int,
    name: str,
    answers: tuple[Method | type[Method], ...],
    *sends: Input,
    **fields: Any,  # noqa: ANN401
) -> Case:
    """Nothing is wrong with it, though it may look so."""
    sent = joined(sends)
    return Case(
        row=row, name=name, level=Level.OK, answers=answers, sends=sent, **fields
    )


# Pieces of input


def on(channel: int, *methods: Method) -> bytes:
    """Methods on another channel than 1."""
    return b"".join(encode_method(channel, method) for method in methods)


def frame(kind: int, payload: bytes, channel: int = 1) -> bytes:
    """Any frame."""
    return encode_frame(kind, channel, payload)


def published(
    exchange: str,
    key: str,
    body: bytes = b"x",
    *,
    mandatory: bool = False,
    **properties: Any,  # noqa: ANN401 - those of Properties
) -> bytes:
    """A whole message on channel 1."""
    method = BasicPublish(0, exchange, key, mandatory)
    return b"".join(content(method, body, **properties))


def shortstr(text: bytes) -> bytes:
    """A short string."""
    return bytes((len(text),)) + text


def sized(raw: bytes) -> bytes:
    """A long string, or a table of these fields."""
    return len(raw).to_bytes(4, "big") + raw


def nested(depth: int) -> bytes:
    """A field table within so many field tables, itself counted."""
    table = sized(b"")
    for _ in range(depth - 1):
        table = sized(b"\0F" + table)
    return table


def header(
    body_size: int,
    flags: int = 0,
    properties: bytes = b"",
    *,
    class_id: int = 60,
    weight: int = 0,
) -> bytes:
    """A content header frame on channel 1, right or wrong."""
    numbers = ((class_id, 2), (weight, 2), (body_size, 8), (flags, 2))
    prefix = b"".join(number.to_bytes(size, "big") for number, size in numbers)
    return frame(2, prefix + properties)

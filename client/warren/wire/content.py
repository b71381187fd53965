"""ContentAssembler: method, header and body frames of one channel, back in one piece.

Three states and nothing else::

    METHOD --begin--> HEADER --header--> BODY --body, body ...--> METHOD
                             --header of an empty body----------> METHOD

Any other frame is refused: `UnexpectedFrame`, as RabbitMQ does.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple, final

from warren.wire.faults import (
    body_expected,
    body_too_long,
    header_expected,
    method_expected,
)
from warren.wire.properties import Properties, decode_header

if TYPE_CHECKING:
    from warren.errors import AMQPError
    from warren.wire.methods import Method


class Content(NamedTuple):
    """A method with all that it carries."""

    method: Method
    properties: Properties
    body: bytes


class ContentState(Enum):
    """What kind of frame is to come."""

    METHOD = auto()
    HEADER = auto()
    BODY = auto()


_OUT_OF_ORDER: Final = {
    ContentState.METHOD: method_expected,
    ContentState.HEADER: header_expected,
    ContentState.BODY: body_expected,
}


@final
class ContentAssembler:
    """The content that is under way on one channel. `state` is what is to come."""

    __slots__ = ("_method", "_pieces", "_properties", "_remaining", "state")

    def __init__(self) -> None:
        self.state: ContentState = ContentState.METHOD
        self._method: Method | None = None
        self._properties: Properties = Properties()
        self._pieces: list[bytes] = []
        self._remaining: int = 0

    def check_idle(self) -> None:
        """Raise `UnexpectedFrame` if a content is under way: no method has a place."""
        if self.state is not ContentState.METHOD:
            raise self._out_of_order()

    def begin(self, method: Method) -> None:
        """Take a method that has content. Raises as `check_idle` does."""
        self.check_idle()
        self._method = method
        self.state = ContentState.HEADER

    def header(self, payload: bytes) -> Content | None:
        """Take a content header; return the content if its body is empty.

        Raises `UnexpectedFrame` out of order, and what `decode_header` raises.
        """
        if self.state is not ContentState.HEADER:
            raise self._out_of_order()
        self._remaining, self._properties = decode_header(payload)
        self.state = ContentState.BODY
        return self._finish_if_whole()

    def body(self, payload: bytes) -> Content | None:
        """Take a piece of the body; return the content if it was the last.

        Raises `UnexpectedFrame` out of order, and `FrameError` for more bytes than the
        header has announced.
        """
        if self.state is not ContentState.BODY:
            raise self._out_of_order()
        if len(payload) > self._remaining:
            raise body_too_long()
        self._remaining -= len(payload)
        self._pieces.append(payload)
        return self._finish_if_whole()

    def _finish_if_whole(self) -> Content | None:
        if self._remaining or self._method is None:
            return None
        content = Content(self._method, self._properties, b"".join(self._pieces))
        self._method = None
        self._properties = Properties()
        self._pieces = []
        self.state = ContentState.METHOD
        return content

    def _out_of_order(self) -> AMQPError:
        return _OUT_OF_ORDER[self.state]()

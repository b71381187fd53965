"""ContentAssembler: method, header and body frames of one channel, back in one piece.

Three states and nothing else::

    METHOD --begin--> HEADER --header--> BODY --body, body ...--> METHOD
                             --header of an empty body----------> METHOD

Any other frame is refused: `UnexpectedFrame`, as RabbitMQ does.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, final

from warren.wire.faults import (
    body_expected,
    body_too_long,
    header_expected,
    method_expected,
)
from warren.wire.properties import decode_header, header_body_size

if TYPE_CHECKING:
    from warren.errors import AMQPError
    from warren.wire.methods import Method
    from warren.wire.properties import Properties


@final
class Content:
    """A method with all that it carries. The properties are decoded when asked for."""

    __slots__ = ("_header", "_properties", "body", "method")

    def __init__(self, method: Method, header: bytes, body: bytes) -> None:
        self.method: Method = method
        self.body: bytes = body
        self._header: bytes = header
        self._properties: Properties | None = None

    @property
    def properties(self) -> Properties:
        """What the header says. Raises what `decode_header` raises."""
        if self._properties is None:
            self._properties = decode_header(self._header)[1]
        return self._properties

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and (
            (self.method, self.body) == (other.method, other.body)
            and self.properties == other.properties
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Content({self.method!r}, {self.properties!r}, {self.body!r})"


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

    __slots__ = ("_header", "_method", "_pieces", "_remaining", "state")

    def __init__(self) -> None:
        self.state: ContentState = ContentState.METHOD
        self._method: Method | None = None
        self._header: bytes = b""
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

        Raises `UnexpectedFrame` out of order, and what `header_body_size` raises.
        """
        if self.state is not ContentState.HEADER:
            raise self._out_of_order()
        self._remaining = header_body_size(payload)
        self._header = payload
        self.state = ContentState.BODY
        return self._finish_if_whole()

    def body(self, payload: bytes) -> Content | None:
        """Take a piece of the body; return the content if it was the last.

        Raises `UnexpectedFrame` out of order, and `FrameError` for more bytes than the
        header has announced.
        """
        if self.state is not ContentState.BODY:
            raise self._out_of_order()
        remaining = self._remaining - len(payload)
        if remaining < 0:
            raise body_too_long()
        if not remaining and not self._pieces:
            return self._finish(payload)
        self._remaining = remaining
        self._pieces.append(payload)
        return self._finish_if_whole()

    def _finish_if_whole(self) -> Content | None:
        if self._remaining:
            return None
        body = b"".join(self._pieces)
        self._pieces = []
        return self._finish(body)

    def _finish(self, body: bytes) -> Content:
        assert self._method is not None
        content = Content(self._method, self._header, body)
        self._method = None
        self._header = b""
        self._remaining = 0
        self.state = ContentState.METHOD
        return content

    def _out_of_order(self) -> AMQPError:
        return _OUT_OF_ORDER[self.state]()

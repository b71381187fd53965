"""FrameWriter: makes frames of methods and content, for the connection's outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

from warren.wire.constants import FRAME_OVERHEAD, FRAME_SIZE_MIN
from warren.wire.frames import encode_content, encode_method
from warren.wire.properties import encode_header

if TYPE_CHECKING:
    from warren.wire.methods import Method
    from warren.wire.properties import Properties


class Sink(Protocol):
    """Where frames go, in their order."""

    def write(self, chunk: bytes) -> None:
        """Take frames, whole or in pieces."""


@final
class Held:
    """A sink that keeps what it is given."""

    __slots__ = ("chunks",)

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def write(self, chunk: bytes) -> None:
        """See `Sink.write`."""
        self.chunks.append(chunk)


@final
class FrameWriter:
    """What the channels of one connection write through."""

    __slots__ = ("_sink", "frame_size_max")

    def __init__(self, sink: Sink, frame_size_max: int = FRAME_SIZE_MIN) -> None:
        """`frame_size_max`: in bytes; it is the least until that is tuned."""
        self._sink: Sink = sink
        self.frame_size_max: int = frame_size_max

    def write_method(self, channel: int, method: Method) -> None:
        """Write a method without content.

        Raises `ValueError` if it does not encode, or fits into no frame.
        """
        frame = encode_method(channel, method)
        if channel:  # the handshake's come before a size is agreed on
            self._check_size(len(frame), method.name)
        self._sink.write(frame)

    def _check_size(self, size: int, what: str) -> None:
        """A larger frame would end the connection, and with it all that it carries."""
        if size > self.frame_size_max:
            raise ValueError(
                f"{what}: {size} bytes, and a frame has {self.frame_size_max} at most"
            )

    def write(self, frame: bytes) -> None:
        """Write a whole frame."""
        self._sink.write(frame)

    def write_content(
        self, channel: int, method: Method, properties: Properties, body: bytes
    ) -> None:
        """Write a method with content, all or nothing. Raises `ValueError` as above."""
        header = encode_header(properties, len(body))
        self._check_size(len(header) + FRAME_OVERHEAD, "the properties of a message")
        for chunk in encode_content(channel, method, header, body, self.frame_size_max):
            self._sink.write(chunk)

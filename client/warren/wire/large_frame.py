"""LargeFrame: a frame that comes in many reads, and is copied only once.

A `Splitter` joins what came and gives it to the reader, who cuts the payload out: two
copies. For a large frame they would cost more than all the rest, so its payload is
joined straight from the reads.
"""

from __future__ import annotations

from typing import Final, final

from warren.wire.constants import FRAME_HEADER_SIZE
from warren.wire.frames import FRAME_PREFIX

LARGE_SIZE: Final = 16 * 1024
"""Bytes of payload from which on it pays."""


@final
class LargeFrame:
    """The beginning of a large frame. `payload` and `end` are there once it is whole.

    `end` is the byte after the payload, which whoever acts on the frame must check.
    """

    __slots__ = ("_chunks", "_missing", "channel", "end", "kind", "payload")

    def __init__(self, data: bytes, position: int) -> None:
        """Begin with the frame at `position`, whose seven header bytes are there."""
        self.kind, self.channel, size = FRAME_PREFIX.unpack_from(data, position)
        chunk = data[position + FRAME_HEADER_SIZE :]
        self._chunks: list[bytes | memoryview] = [chunk]
        self._missing: int = size + 1 - len(chunk)
        self.payload: bytes = b""
        self.end: int = 0

    def add(self, data: bytes) -> int:
        """Take what came next; return how much of it belonged here, 0 if not whole."""
        missing = self._missing
        if len(data) < missing:
            self._chunks.append(data)
            self._missing = missing - len(data)
            return 0
        self._chunks.append(memoryview(data)[: missing - 1])
        self.payload = b"".join(self._chunks)
        self.end = data[missing - 1]
        return missing


def is_large(data: bytes, position: int) -> bool:
    """Whether a large frame begins at `position`."""
    if len(data) - position < FRAME_HEADER_SIZE:
        return False
    size: int = FRAME_PREFIX.unpack_from(data, position)[2]
    return size >= LARGE_SIZE

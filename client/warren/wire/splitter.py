"""Splitter: keeps the partial frame between two reads.

The reader's loop is::

    data = splitter.join(data)
    ... act on each whole frame, moving position ...
    splitter.keep(data, position)

A partial frame whose size is known is not looked at again until it is whole: its chunks
are collected and joined once, so that a large frame that arrives in small reads costs
its size and not the square of it.

There is no limit here. A frame's announced size is first seen by the reader's loop, as
soon as its seven header bytes are there; the loop refuses it then, before it would be
kept, and so nobody waits for the payload of a frame that is too large.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, final

from warren.wire.constants import FRAME_HEADER_SIZE, FRAME_OVERHEAD

_PAYLOAD_SIZE: Final = Struct(">3xI")


@final
class Splitter:
    """The bytes of one frame that is not whole yet; `size` is their number."""

    __slots__ = ("_awaited_size", "_chunks", "size")

    def __init__(self) -> None:
        self.size: int = 0
        self._chunks: list[bytes] = []
        self._awaited_size: int = 0  # the frame's, or its header's while that is cut

    def join(self, data: bytes) -> bytes:
        """Return what can be read now: what was kept and `data`, or b"" to wait."""
        if not self._chunks:
            return data
        self._chunks.append(data)
        self.size += len(data)
        if self.size < self._awaited_size:
            return b""
        joined = b"".join(self._chunks)
        self._chunks.clear()
        self.size = 0
        return joined

    def keep(self, data: bytes, position: int) -> None:
        """Keep what follows `position`: it begins a frame that was not acted on.

        Must be given what `join` returned. Does nothing if all of it was acted on.
        """
        if position >= len(data):
            return
        rest = data[position:]
        self._chunks.append(rest)
        self.size = len(rest)
        self._awaited_size = _awaited_size(rest)


def _awaited_size(rest: bytes) -> int:
    if len(rest) < FRAME_HEADER_SIZE:
        return FRAME_HEADER_SIZE
    size: int = _PAYLOAD_SIZE.unpack_from(rest)[0]
    return size + FRAME_OVERHEAD

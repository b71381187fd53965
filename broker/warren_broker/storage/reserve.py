"""The reserve: a file of zeros that is given up when the disk is full.

So there is room to write down what was settled. When there is room again it is made
once more, a piece between two batches: nobody waits for more than one piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren_broker.storage.disk import is_full

if TYPE_CHECKING:
    from warren_broker.storage.disk import Disk

NAME: Final = "reserve"
PIECE: Final = 4 << 20
"""Bytes that are written at once."""

_ZEROS: Final = bytes(1 << 20)
_SHARE: Final = 4  # it is made when it is this part of the room


@final
class ReservePiece:
    """The next piece. Made by the journal; `run` is called in another thread."""

    __slots__ = ("end", "is_done", "start", "whole")

    def __init__(self, start: int, whole: int) -> None:
        self.start = start
        self.end = min(start + PIECE, whole)
        self.whole = whole
        self.is_done = False

    def run(self, disk: Disk) -> None:
        """Write it. Without much room nothing is done; what is there is given up then.

        Raises `OSError` if the disk is broken.
        """
        if disk.free_bytes() < _SHARE * (self.whole - self.start):
            if self.start:
                disk.remove(NAME)
            return
        try:
            _write(disk, self.start, self.end)
        except OSError as error:
            disk.remove(NAME)
            if not is_full(error):
                raise
            return
        self.is_done = True


def make_reserve(disk: Disk, whole: int) -> bool:
    """Make all of it at once, if there is much room; return whether it is there.

    Raises `OSError` if the disk is broken.
    """
    names = disk.names()
    if NAME in names and disk.size(NAME) >= whole:
        return True
    disk.remove(NAME)
    if disk.free_bytes() < _SHARE * whole:
        return False
    try:
        _write(disk, 0, whole)
    except OSError as error:
        disk.remove(NAME)
        if not is_full(error):
            raise
        return False
    return True


def _write(disk: Disk, start: int, end: int) -> None:
    for offset in range(start, end, len(_ZEROS)):
        disk.append(NAME, [_ZEROS[: end - offset]])
    disk.sync(NAME)
    if not start:
        disk.sync_directory("")

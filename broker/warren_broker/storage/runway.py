"""Runway: zeros ahead of the records, so that most syncs find a file as long as it was.

A sync of bytes within a file is one write of the disk; where the file grows it is one
or two more, of the file system's own. Small records wait for that, so the file grows
well ahead of them; large ones wait for the disk's bandwidth and do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren_broker.storage.disk import is_full

if TYPE_CHECKING:
    from typing import Protocol

    from warren_broker.storage.disk import Disk

    class Stretch(Protocol):
        """What is written to one file at once."""

        runway_size: int  # zeros to be written behind it
        cuts: bool  # the file is longer than it will have to be

        @property
        def boundary(self) -> int:
            """Where it begins in the file, of which it is the beginning at 0."""

        @property
        def end(self) -> int:
            """Where it ends."""

        @property
        def is_sealed(self) -> bool:
            """Whether nothing follows in that file."""


_SHARE: Final = 16  # a record that fits so often into the runway is small
_ZEROS: Final = bytes(1 << 20)


@final
class Runway:
    """How long the file of the present segment is; shorter where there was no room."""

    __slots__ = ("_file_end", "_is_modest", "_size")

    def __init__(self, size: int, *, is_modest: bool = False) -> None:
        """`size` in bytes, 0: none.

        `is_modest`: never more than what is in the file, since there are many of them.
        """
        self._size = size
        self._is_modest = is_modest
        self._file_end = 0

    def prepare(self, stretch: Stretch) -> None:
        """Let `stretch` write zeros ahead, or cut what a sealed segment has of them."""
        end = stretch.end
        file_end = self._file_end if stretch.boundary else 0
        if stretch.is_sealed:
            stretch.cuts = end < file_end
        elif end > file_end and (end - stretch.boundary) * _SHARE <= self._size:
            is_short = self._is_modest and end < self._size
            stretch.runway_size = end if is_short else self._size

    def on_safe(self, stretch: Stretch) -> None:
        """`stretch` is written."""
        if stretch.is_sealed:
            self._file_end = 0  # the next segment's, which is not there yet
        else:
            file_end = self._file_end if stretch.boundary else 0
            self._file_end = max(file_end, stretch.end + stretch.runway_size)

    def on_undone(self, stretch: Stretch) -> None:
        """`stretch` found no room, and was cut off again."""
        self._file_end = stretch.boundary


def write_runway(disk: Disk, name: str, stretch: Stretch) -> None:
    """Cut the file, or let it grow, as was prepared. Raises `OSError`.

    To have no room for it is no reason to fail.
    """
    if stretch.cuts:
        disk.truncate(name, stretch.end)
    if stretch.runway_size:
        try:
            disk.write(name, stretch.end, [_ZEROS[: stretch.runway_size]])
        except OSError as error:
            if not is_full(error):
                raise

"""DiskAlarm: stops publishers before the disk is full, and while it is.

Two things speak for it: the free space of the file system is below its mark, or the
journal has just found no room. It is over when neither does.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final, Never, final

import trio

from warren_broker.server.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LOOK_SECONDS: Final = 1.0
LOOK_BYTES: Final = 8 << 20
"""Free space is looked at so often, and whenever so much was written."""

RELIEF: Final = 1.1
"""The alarm ends only with so much more than its mark: it should not flap."""

_MARK_SEGMENTS_MIN: Final = 2
_MARK_MAX: Final = 1 << 30
_MARK_RATIO: Final = 0.05


@final
class DiskAlarm:
    """Compares free space with a mark and reports when the answer changes.

    `look` returns the free bytes, see `free_bytes_of`; an OSError of it changes
    nothing: if the disk does not work the journal will find out.

    Attributes:
        free_bytes: what the last look has shown; None before the first one.
    """

    __slots__ = (
        "_is_full",
        "_is_low",
        "_is_on",
        "_look",
        "_mark_bytes",
        "_report",
        "_wakeup",
        "_written",
        "free_bytes",
    )

    def __init__(
        self,
        mark_bytes: int,
        *,
        look: Callable[[], Awaitable[int]],
        report: Callable[[bool], None],
    ) -> None:
        """`mark_bytes` 0: only the journal speaks."""
        self.free_bytes: int | None = None
        self._mark_bytes: int = mark_bytes
        self._look: Callable[[], Awaitable[int]] = look
        self._report: Callable[[bool], None] = report
        self._written: int = 0
        self._is_low: bool = False
        self._is_full: bool = False
        self._is_on: bool = False
        self._wakeup: Wakeup = Wakeup()

    def wrote(self, count: int, *, is_full: bool) -> None:
        """The journal wanted to write `count` bytes; `is_full`: it found no room."""
        self._is_full = is_full
        self._tell()
        self._written += count
        if self._written >= LOOK_BYTES:
            self._written = 0
            self._wakeup.set()

    async def run(self) -> Never:
        """Look again and again."""
        while True:
            try:
                self.free_bytes = await self._look()
            except OSError:
                pass
            else:
                mark = self._mark_bytes * (RELIEF if self._is_low else 1)
                self._is_low = self.free_bytes < mark
                self._tell()
            with trio.move_on_after(LOOK_SECONDS):
                await self._wakeup.wait()

    def _tell(self) -> None:
        is_on = self._is_low or self._is_full
        if is_on != self._is_on:
            self._is_on = is_on
            self._report(is_on)


def default_mark_bytes(path: str, segment_bytes: int) -> int:
    """Return how much should stay free where `path` is.

    5 % of the file system, but no more than 1 GiB, and no less than two segments: the
    journal needs that to go on after it was told to stop. Raises OSError.
    """
    share = int(shutil.disk_usage(path).total * _MARK_RATIO)
    return max(_MARK_SEGMENTS_MIN * segment_bytes, min(_MARK_MAX, share))


async def in_thread(look: Callable[[], int]) -> int:
    """Look in a thread, which is left alone if nobody waits any more."""
    return await trio.to_thread.run_sync(look, abandon_on_cancel=True)

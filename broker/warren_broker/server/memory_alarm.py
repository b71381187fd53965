"""MemoryAlarm: stops publishers before the system stops the broker.

Nothing is asked of an idle broker: memory is looked at after so many bytes received,
and once a second only while the alarm is on, since then nothing may be arriving.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Never, final

import trio

from warren_broker.server.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CHECK_EVERY_BYTES: Final = 4 * 1024 * 1024
RECHECK_SECONDS: Final = 1.0


@final
class MemoryAlarm:
    """Compares memory in use with a limit and reports when the answer changes.

    `used` returns bytes, or None when unknown: then there is no alarm. `trim` is called
    while the alarm is on: freed memory that the allocator keeps would keep it on.
    """

    __slots__ = (
        "_is_on",
        "_limit_bytes",
        "_received",
        "_report",
        "_trim",
        "_used",
        "_wakeup",
    )

    def __init__(
        self,
        limit_bytes: int,
        *,
        used: Callable[[], int | None],
        trim: Callable[[], Awaitable[None]],
        report: Callable[[bool], None],
    ) -> None:
        self._limit_bytes: int = limit_bytes
        self._used: Callable[[], int | None] = used
        self._trim: Callable[[], Awaitable[None]] = trim
        self._report: Callable[[bool], None] = report
        self._received: int = 0
        self._is_on: bool = False
        self._wakeup: Wakeup = Wakeup()

    def received(self, count: int) -> None:
        """Count `count` more bytes from some peer; look at memory now and then."""
        self._received += count
        if self._received >= CHECK_EVERY_BYTES:
            self._received = 0
            self._check()

    async def run(self) -> Never:
        """Look again every second while the alarm is on."""
        while True:
            await self._wakeup.wait()
            while self._is_on:
                await trio.sleep(RECHECK_SECONDS)
                await self._trim()
                self._check()

    def _check(self) -> None:
        is_on = (self._used() or 0) > self._limit_bytes
        if is_on == self._is_on:
            return
        self._is_on = is_on
        self._report(is_on)
        if is_on:
            self._wakeup.set()

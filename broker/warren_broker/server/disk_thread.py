"""DiskThread: the one thread that waits for the disk, so that nobody else does.

Work is handed over and waited for one piece at a time. A task that sleeps is woken by
a detour through the event loop's own wake-up, and the thread then has to compete for
the interpreter; a quick disk has done a small write and its sync in less. So when all
others have had their turn the event loop itself may wait for the thread, and nothing
else runs meanwhile; but never longer than `PATIENCE_SECONDS`, whatever the disk does,
and seldom where that is in vain.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final, final

import trio
from trio.lowlevel import Abort

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS: Final = 0.0005
"""A fast disk syncs in a fifth of it; nobody notices that the loop stood still."""
VAIN_MAX: Final = 64
"""One piece of work in so many is still waited for, on a disk that is slow."""
_PAUSE_MIN: Final = 4


@final
class Patience:
    """Whether to wait once more.

    A wait in vain more than doubles the pause before the next one, and a good one
    shortens it a little. However that falls out, one piece of work in twenty is waited
    for in vain; where every fifth would be, hardly any.
    """

    __slots__ = ("_pause", "_vain")

    def __init__(self) -> None:
        self._vain = 0  # how long the last pause was, less the waits that were good
        self._pause = 0  # so many more are not waited for

    def try_again(self) -> bool:
        """Whether to wait now; `learn` what comes of it."""
        if self._pause:
            self._pause -= 1
            return False
        return True

    def learn(self, *, in_vain: bool) -> None:
        """How it went."""
        if in_vain:
            self._vain = min(2 * self._vain + _PAUSE_MIN, VAIN_MAX)
            self._pause = self._vain
        elif self._vain:
            self._vain -= 1 + self._vain // 8


@final
class DiskThread:
    """A thread that does what it is given. Make it inside `trio.run`; `close` it."""

    __slots__ = ("_done", "_patience", "_thread", "_token", "_work")

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Callable[[], None], _Sleeper] | None]
        self._work = SimpleQueue()
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        self._patience = Patience()
        self._token = trio.lowlevel.current_trio_token()
        self._thread = Thread(target=self._run, name="disk", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[], None], *, is_short: bool = False) -> None:
        """Do `work` in the thread and wait for its end, even when cancelled.

        For the end of work that `is_short` the event loop may stand still for a
        moment, so let others go first; it is no checkpoint then. Raises what `work`
        raises.
        """
        sleeper: _Sleeper = []
        self._work.put((work, sleeper))
        is_done, error = False, None
        if is_short:
            is_done, error = self._wait_briefly()
        if not is_done:
            error = await self._sleep(sleeper)
        if error is not None:
            raise error

    def close(self) -> None:
        """Let the thread end."""
        self._work.put(None)

    def _wait_briefly(self) -> tuple[bool, BaseException | None]:
        """Return whether the work is done, and what it has raised."""
        if not self._patience.try_again():
            return False, None
        try:
            error = self._done.get(timeout=PATIENCE_SECONDS)
        except Empty:
            self._patience.learn(in_vain=True)
            return False, None
        self._patience.learn(in_vain=False)
        return True, error

    async def _sleep(self, sleeper: _Sleeper) -> BaseException | None:
        """Sleep until the work is done; return what it has raised.

        Both threads may want the sleeper at the same moment. Who takes it sees to it
        that it is awake.
        """
        sleeper.append(trio.lowlevel.current_task())
        if self._done.empty() or not _taken(sleeper):
            await trio.lowlevel.wait_task_rescheduled(lambda _: Abort.FAILED)
        return self._done.get_nowait()

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            work, sleeper = item
            error: BaseException | None = None
            try:
                work()
            except BaseException as raised:  # noqa: BLE001 - it is for who waits
                error = raised
            self._done.put(error)
            for task in _taken(sleeper):
                self._token.run_sync_soon(trio.lowlevel.reschedule, task)


_Sleeper = list[trio.lowlevel.Task]
"""Who sleeps until a piece of work is done, if anybody does."""


def _taken(sleeper: _Sleeper) -> _Sleeper:
    """Take the sleeper, if it has not been taken."""
    try:
        return [sleeper.pop()]
    except IndexError:
        return []

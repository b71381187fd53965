"""DiskThread: the one thread that waits for the disk, so that nobody else does.

Work is handed over and waited for one piece at a time. Trio's own threads would do as
well, but a lone publisher waits for each of the two hand-overs, and these are shorter.
"""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, final

import trio
from trio.lowlevel import Abort

if TYPE_CHECKING:
    from collections.abc import Callable


@final
class DiskThread:
    """A thread that does what it is given. Make it inside `trio.run`; `close` it."""

    __slots__ = ("_error", "_thread", "_token", "_work")

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Callable[[], None], trio.lowlevel.Task] | None]
        self._work = SimpleQueue()
        self._error: BaseException | None = None
        self._token = trio.lowlevel.current_trio_token()
        self._thread = Thread(target=self._run, name="disk", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[], None]) -> None:
        """Do `work` in the thread and wait for its end, even when cancelled.

        Raises what `work` raises.
        """
        self._work.put((work, trio.lowlevel.current_task()))
        await trio.lowlevel.wait_task_rescheduled(lambda _: Abort.FAILED)
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Let the thread end."""
        self._work.put(None)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            work, task = item
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - it is for who waits
                self._error = error
            self._token.run_sync_soon(trio.lowlevel.reschedule, task)

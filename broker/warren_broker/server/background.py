"""Background: a thread for work that nobody waits for in a turn."""

from __future__ import annotations

from queue import SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    Done = Callable[[], None]

T = TypeVar("T")

_UNHEARD_MAX: Final = 8
"""So many results may wait to be heard before the thread waits as well."""


class Worker(Protocol):
    """Whoever does work, and tells of it later."""

    def do(self, work: Callable[[], Done]) -> None:
        """Do `work` elsewhere, and then call what it returned, here and later."""

    def close(self) -> None:
        """Do nothing more than what was asked for before."""


@final
class Nobody:
    """A worker where there is nothing to be done."""

    def do(self, work: Callable[[], Done]) -> None:
        """Forget it."""

    def close(self) -> None:
        """See `Worker.close`."""


@final
class Background:
    """A thread that does one thing after the other. Make it inside `trio.run`.

    `work` must not raise; what it returns is called by the event loop, where it may
    take a turn, and must not raise either.
    """

    __slots__ = ("_jobs", "_room", "_token")

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], Done] | None] = SimpleQueue()
        self._room = BoundedSemaphore(_UNHEARD_MAX)
        self._token = trio.lowlevel.current_trio_token()
        Thread(target=self._run, name=name, daemon=True).start()

    def do(self, work: Callable[[], Done]) -> None:
        """See `Worker.do`."""
        self._jobs.put(work)

    def close(self) -> None:
        """Let the thread end, when it has done what it has been given."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (work := self._jobs.get()) is not None:
            done = work()
            self._room.acquire()
            try:
                self._token.run_sync_soon(self._hear, done)
            except trio.RunFinishedError:
                return

    def _hear(self, done: Done) -> None:
        self._room.release()
        done()

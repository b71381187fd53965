"""LoopThread: a trio loop in a thread of its own, and the way in.

The way is open from anywhere, also from another event loop: it blocks, but for no
longer than the loop takes.
"""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, TypeVar, final

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

T = TypeVar("T")


@final
class LoopThread:
    """Runs while its block does. Raises at its end what has ended the loop before.

    Attributes:
        nursery: for tasks that run as long.
    """

    nursery: trio.Nursery
    _token: trio.lowlevel.TrioToken

    def __init__(self, clock: trio.abc.Clock) -> None:
        self._clock = clock
        self._started: Future[None] = Future()
        self._ended: Future[None] = Future()
        self._waiting: set[Callable[[], None]] = set()  # what fails who waits
        self._thread = Thread(target=self._run, name="warren", daemon=True)

    def __enter__(self) -> LoopThread:
        self._thread.start()
        self._started.result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(lambda: self.nursery.cancel_scope.cancel())
        self._thread.join()
        self._ended.result()

    def call(self, act: Callable[[], T], /) -> T:
        """Do `act` in the loop, and return what it returns.

        Raises what it raises; RuntimeError if the loop has ended.
        """
        future: Future[T] = Future()
        self._submit(future, lambda: _do(future, act))
        return future.result()

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work` in a task of the loop; as `call`."""
        future: Future[T] = Future()

        async def do() -> None:
            try:
                value = await work()
            except Exception as error:  # noqa: BLE001 - it is for who waits
                future.set_exception(error)
            else:
                future.set_result(value)

        self._submit(future, lambda: self.nursery.start_soon(do))
        return future.result()

    def _submit(self, future: Future[T], start: Callable[[], object]) -> None:
        """Let the loop `start` what will answer; if it ends before, it answers so."""
        fail = partial(_fail, future)
        self._waiting.add(fail)
        future.add_done_callback(lambda _: self._waiting.discard(fail))
        try:
            self._token.run_sync_soon(start)
        except trio.RunFinishedError:
            fail()
        if self._ended.done():
            fail()

    def _run(self) -> None:
        try:
            trio.run(self._main, clock=self._clock)
        except BaseException as error:  # noqa: BLE001 - it is for who leaves the block
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)
        for fail in list(self._waiting):
            fail()

    async def _main(self) -> None:
        async with trio.open_nursery() as self.nursery:
            self._token = trio.lowlevel.current_trio_token()
            self._started.set_result(None)
            await trio.sleep_forever()


def _do(future: Future[T], act: Callable[[], T]) -> None:
    try:
        future.set_result(act())
    except Exception as error:  # noqa: BLE001 - it is for who waits
        future.set_exception(error)


def _fail(future: Future[T]) -> None:
    """Nobody will answer any more, unless somebody has."""
    with suppress(InvalidStateError):
        future.set_exception(RuntimeError("the broker's thread has ended"))

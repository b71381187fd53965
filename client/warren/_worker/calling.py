"""Calling: in which way a handler runs. In our tasks, in threads, or in processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, final

import trio

from warren._worker.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from warren._worker.slots import Slot


class Caller(ABC):
    """Calls one handler."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @abstractmethod
    async def call(self, arguments: list[object], slot: Slot) -> object:
        """Call it; a point to be cancelled at."""


@final
class TaskCaller(Caller):
    """A coroutine function, in the task of its job."""

    async def call(self, arguments: list[object], slot: Slot) -> object:
        """Await it."""
        result: object = await self._function(*arguments)
        return result


@final
class ThreadCaller(Caller):
    """A function in a thread. When this is cancelled the thread is given up."""

    async def call(self, arguments: list[object], slot: Slot) -> object:
        """Wait for the thread; it holds the slot until it ends."""
        return await trio.to_thread.run_sync(
            self._function,
            *arguments,
            abandon_on_cancel=True,
            limiter=slot,  # type: ignore[arg-type] # trio: these two methods will do
        )


@final
class ProcessCaller(Caller):
    """A function in a process. When this is cancelled the process is killed."""

    def __init__(self, function: Callable[..., Any], processes: Processes) -> None:
        super().__init__(function)
        self._processes = processes

    async def call(self, arguments: list[object], slot: Slot) -> object:
        """Wait for the process."""
        return await self._processes.call(*arguments)


def caller_for(
    function: Callable[..., Any],
    *,
    is_async: bool,
    processes: bool,
    enter: Callable[[AbstractContextManager[Processes]], Processes],
) -> Caller:
    """Return the caller for a handler. `enter` keeps what is to be ended with it."""
    if processes:
        return ProcessCaller(function, enter(Processes(function)))
    return TaskCaller(function) if is_async else ThreadCaller(function)

"""Processes: handlers that compute, each call in a process that can be killed.

A process takes one call at a time, over a pipe of its own, and is kept for the next
one. It sees the end of the pipe when we are gone, however that came to be. So there is
nothing to lock, and a process that dies takes one call with it.
"""

from __future__ import annotations

import math
import pickle
import signal
from contextlib import suppress
from multiprocessing import get_context
from traceback import format_exc
from typing import TYPE_CHECKING, Any, Final, final

import trio

from warren._worker.failures import HandlerDied, RemoteError
from warren._worker.headers import text_of, type_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from types import TracebackType
    from typing import Self

    Answer = tuple[bool, Any, str]

SPAWN: Final = get_context("spawn")
"""A fork would copy what trio and the threads hold."""

GONE: Final = (EOFError, OSError)


@final
class Processes:
    """The processes of one handler; as many as calls at once. Killed with its block."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        self._all: set[Child] = set()
        self._idle: list[Child] = []
        self._threads = trio.CapacityLimiter(math.inf)  # they only wait

    async def call(self, *arguments: object) -> object:
        """Call the function there. If this is cancelled the process is killed.

        Raises what the function raises, with the traceback as a note, and `HandlerDied`
        when the process has not lived to tell. The arguments and the result must be
        such that they can be pickled.
        """
        child = await self._take()
        try:
            is_result, value, trace = await trio.to_thread.run_sync(
                child.call, arguments, abandon_on_cancel=True, limiter=self._threads
            )
        except GONE:
            raise HandlerDied(f"its process ended: {self._bury(child)}") from None
        except BaseException:
            self._bury(child)
            raise
        self._idle.append(child)
        if is_result:
            return value
        value.add_note(trace)
        raise value

    async def _take(self) -> Child:
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
            self._bury(child)
        child = await trio.to_thread.run_sync(Child, self._function)
        self._all.add(child)
        return child

    def _bury(self, child: Child) -> str:
        self._all.discard(child)
        return child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in list(self._all):
            self._bury(child)


@final
class Child:
    """One process, and our end of its pipe."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(
            target=_live, args=(theirs, function), daemon=True
        )
        self._process.start()
        theirs.close()  # its death shall end the pipe

    @property
    def is_alive(self) -> bool:
        """Whether it can take a call."""
        return self._process.is_alive()

    def call(self, arguments: tuple[object, ...]) -> Answer:
        """Call the function there; blocks. Raises one of `GONE` if it ends."""
        self._pipe.send(arguments)
        answer: Answer = self._pipe.recv()
        return answer

    def kill(self) -> str:
        """Kill it. Return how it had ended, in words."""
        self._process.join(0)
        status = self._process.exitcode
        self._process.kill()
        self._process.join()
        self._pipe.close()
        return _in_words(self._process.exitcode if status is None else status)


def _in_words(status: int | None) -> str:
    if status is None or status >= 0:
        return f"exit status {status}"
    return signal.Signals(-status).name


def _live(pipe: Connection[Any, Any], function: Callable[..., object]) -> None:
    """Take calls until the pipe ends. Ctrl-C is for the parent, which drains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(*GONE):
        while True:
            _answer(pipe, function, pipe.recv())


def _answer(
    pipe: Connection[Any, Any],
    function: Callable[..., object],
    arguments: tuple[object, ...],
) -> None:
    try:
        answer: Answer = (True, function(*arguments), "")
    except Exception as error:  # noqa: BLE001 - it is raised over there
        answer = (False, _sendable(error), format_exc())
    try:
        pipe.send(answer)
    except GONE:
        raise
    except Exception as error:  # noqa: BLE001 - what cannot be pickled, of any type
        pipe.send((False, TypeError(f"its result cannot be sent: {error}"), answer[2]))


def _sendable(error: Exception) -> Exception:
    """Return the error, or one that tells of it: many cannot be made of their args."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - of any type
        return RemoteError(type_name(error), text_of(error))
    return error

"""Portal: the way into the thread that runs trio; Facade: something behind it."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, final

import trio

from warren.protocol.failures import ChannelClosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


@final
class Portal:
    """The way into the thread that runs trio.

    It raises `RuntimeError` in a process that was forked, which does not have that
    thread, and in a trio loop, which it would keep from running.
    """

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        self._token = token
        self._process_id = os.getpid()

    def stop(self, act: Callable[[], object]) -> None:
        """Have that thread end, by this; nothing if it is not there."""
        if os.getpid() == self._process_id:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(act)

    def run(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Await there, and return here what comes of it. Raises what is raised there,
        and `ChannelClosed` when that thread has ended.
        """
        self._check_process()
        try:
            return trio.from_thread.run(work, trio_token=self._token)
        except trio.RunFinishedError:
            raise ChannelClosed("the connection was closed") from None

    def run_sync(self, work: Callable[[], Result]) -> Result:
        """Call there. Raises as `run` does."""
        self._check_process()
        try:
            return trio.from_thread.run_sync(work, trio_token=self._token)
        except trio.RunFinishedError:
            raise ChannelClosed("the connection was closed") from None

    def _check_process(self) -> None:
        if os.getpid() != self._process_id:
            raise RuntimeError(
                "a connection does not go through a fork: open one in each process"
            )

    @contextmanager
    def within(self, manager: AbstractAsyncContextManager[Result]) -> Iterator[Result]:
        """Enter a context there, for a block here.

        It is entered in one task and left in another, so it must have no scope open.
        """
        value = self.run(manager.__aenter__)
        try:
            yield value
        except BaseException as error:
            leave = partial(manager.__aexit__, type(error), error, error.__traceback__)
            if not self.run(leave):
                raise
        else:
            self.run(partial(manager.__aexit__, None, None, None))


def blocking(
    method: Callable[Concatenate[Any, Arguments], Awaitable[Result]],
) -> Callable[Concatenate[Any, Arguments], Result]:
    """Make a method that waits of one that is awaited."""

    @wraps(method)
    def call(
        self: Facade, /, *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        awaited = getattr(self._inner, method.__name__)
        result: Result = self._portal.run(partial(awaited, *arguments, **named))
        return result

    return call


class Facade:
    """Something in the other thread, and the way there."""

    def __init__(self, portal: Portal, inner: Any) -> None:  # noqa: ANN401
        self._portal = portal
        self._inner = inner

"""Handling: a message, or a batch of them, through its handler and beyond.

It knows no connection: it is given what has come, and publishes what follows.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import trio

from warren._worker.calling import caller_for
from warren._worker.decoding import value_of
from warren._worker.endings import UNFIT
from warren._worker.failures import HandlerTimeout, ReturnedTooOften
from warren._worker.headers import RETURNS, count_in
from warren._worker.job import Job
from warren.bodies.codecs import BodyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType
    from typing import Self

    from warren._client.publishing import Publishing
    from warren._worker.endings import Ending
    from warren._worker.headers import Reason
    from warren._worker.job import Received
    from warren._worker.slots import Slot
    from warren._worker.statistics import Counts
    from warren._worker.worker import Worker
    from warren.errors import WarrenError

    CallNext: TypeAlias = Callable[[Job], Awaitable[Any]]
    Middleware: TypeAlias = Callable[[Job, CallNext], Awaitable[Any]]

OWN: Final = (trio.Cancelled, KeyboardInterrupt, GeneratorExit)
"""What ends a handler from outside."""


@final
class Handling:
    """What is done with the messages of one worker. A context, for its processes."""

    def __init__(
        self,
        worker: Worker,
        publishing: Publishing,
        ending: Ending,
        counts: Counts,
        middleware: Sequence[Middleware],
    ) -> None:
        self._worker = worker
        self._publishing = publishing
        self._ending = ending
        self._counts = counts
        self._middleware = middleware
        self._stack = ExitStack()
        self._caller = caller_for(
            worker.function,
            is_async=worker.signature.is_async,
            processes=worker.processes,
            enter=self._stack.enter_context,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    async def handle(self, messages: Sequence[Received], slot: Slot) -> list[Received]:
        """Handle them in one call. Return those to be rejected; the others are done.

        Raises what a publish raises: then nothing may be acknowledged.
        """
        rejected: list[Received] = []
        fit, values = await self._decode(messages, rejected)
        if not fit:
            return rejected
        value = values if self._worker.batch else values[0]
        job = Job(value, fit, self._worker.queue, self._publishing)
        try:
            result = await self.call(job, slot)
        except BaseException as error:  # noqa: BLE001 - a stranger's
            if (own := _own_part(error)) is not None:
                raise own from None
            return await self._fail(fit, error, rejected)
        if fit[0].is_stale:
            return rejected
        try:
            await self._ending.succeed(fit[0], result)
        except UNFIT as error:
            return await self._fail(fit, error, rejected)
        self._counts.handled += len(fit)
        return rejected

    async def _decode(
        self, messages: Sequence[Received], rejected: list[Received]
    ) -> tuple[list[Received], list[Any]]:
        """Return the messages that the handler may have, and their values."""
        fit: list[Received] = []
        values: list[Any] = []
        codecs, kind = self._publishing.common.codecs, self._worker.signature.kind
        returns = self._worker.retry.returns
        for message in messages:
            count = count_in(message.headers, RETURNS)
            if returns is not None and count > returns:
                text = f"it came back {count} times, and no handler has said why"
                await self._refuse(message, ReturnedTooOften(text), rejected)
                continue
            try:
                values.append(value_of(codecs, message, kind))
            except BodyError as error:
                await self._refuse(message, error, rejected)
            else:
                fit.append(message)
        return fit, values

    async def _refuse(
        self, message: Received, error: WarrenError, rejected: list[Received]
    ) -> None:
        self._counts.failed += 1
        reason: Reason = "invalid" if isinstance(error, BodyError) else "returned"
        if not await self._ending.refuse(message, error, reason):
            rejected.append(message)

    async def _fail(
        self,
        messages: Sequence[Received],
        error: BaseException,
        rejected: list[Received],
    ) -> list[Received]:
        """A message that is back in its queue needs no second one for the retry."""
        self._counts.failed += len(messages)
        for message in messages:
            if message.is_stale:
                continue
            if not await self._ending.fail(message, error):
                rejected.append(message)
        return rejected

    async def call(self, job: Job, slot: Slot) -> object:
        """Call the handler within the middleware. Raises `HandlerTimeout`."""
        call: CallNext = partial(self._call_handler, slot)
        for middleware in reversed(self._middleware):
            call = partial(_call_middleware, middleware, call)
        timeout = self._worker.timeout
        with trio.move_on_after(float("inf") if timeout is None else timeout) as scope:
            return await call(job)
        assert scope.cancelled_caught
        raise HandlerTimeout(f"{self._worker.name} took more than {timeout:g} s")

    async def _call_handler(self, slot: Slot, job: Job) -> object:
        arguments = self._worker.signature.arguments(job)
        return await self._caller.call(arguments, slot)


def _own_part(error: BaseException) -> BaseException | None:
    """Return what of an error is for trio and for us; all else is the handler's.

    That may be a `SystemExit`, or the `CancelledError` of another library.
    """
    if isinstance(error, BaseExceptionGroup):
        return error.split(OWN)[0]
    return error if isinstance(error, OWN) else None


async def _call_middleware(
    middleware: Middleware, call_next: CallNext, job: Job
) -> object:
    result: object = await middleware(job, call_next)
    return result

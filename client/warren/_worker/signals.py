"""Signals: how a program is told to end, once politely."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING, Final

import trio

from warren._worker.retry import sole_leaf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

LOG: Final = logging.getLogger("warren.worker")

STOPPED_BY: Final = 128
"""Exit status of a program that a signal ended: this and the signal's number."""

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


def log_to_standard_error(level: str) -> None:
    """Have the log seen, unless the program has said where it goes."""
    logging.basicConfig(
        level=level,
        format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s",
    )


async def serve_until_signalled(running: AbstractAsyncContextManager[object]) -> int:
    """Be in a context until SIGTERM or SIGINT; a second one cancels what is left.

    Returns the exit status.
    """
    status = 0
    is_entered = False  # before that there is nothing to drain
    stopping = trio.Event()

    async def listen(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        nonlocal status
        async for number in signals:
            if stopping.is_set():
                status = STOPPED_BY + number
            else:
                LOG.info("%s: draining", signal.Signals(number).name)
            if stopping.is_set() or not is_entered:
                scope.cancel()
            stopping.set()

    try:
        with trio.open_signal_receiver(*STOPPING) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen, signals, nursery.cancel_scope)
                async with running:
                    is_entered = True
                    await stopping.wait()
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise sole_leaf(group) from None
    return status

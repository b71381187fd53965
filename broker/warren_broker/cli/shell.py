"""What the client commands share: the URL, how they are stopped, how errors look."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

import click
import trio

from warren.errors import WarrenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

URL_DEFAULT: Final = "amqp://guest:guest@127.0.0.1:5672/"

STOPPED_BY: Final = 128
"""Exit status of a command that a signal ended: this and the signal's number."""

Value = TypeVar("Value")
Arguments = TypeVarTuple("Arguments")

url_option = click.option(
    "--url",
    default=URL_DEFAULT,
    show_default=True,
    metavar="URL",
    help="Broker to connect to.",
)


class Stopped(Exception):
    """Ctrl-C or SIGTERM ended the command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_status = STOPPED_BY + number


def run(
    command: Callable[[*Arguments], Awaitable[None]], *arguments: *Arguments
) -> None:
    """Run a command's coroutine and exit; tell an expected failure in one line."""
    status = 0
    try:
        run_stoppable(command, *arguments)
    except* Stopped as group:
        status = group_leaf(group, Stopped).exit_status
    except* (WarrenError, OSError, ValueError) as group:
        say(f"warren: {group_leaf(group, Exception)}")
        status = status or 1
    sys.exit(status)


def run_stoppable(
    command: Callable[[*Arguments], Awaitable[Value]], *arguments: *Arguments
) -> Value:
    """Run a coroutine; cancel it at Ctrl-C or SIGTERM, so that it ends in good order.

    Raises `Stopped` then, or a group with it.
    """

    async def stoppable() -> Value:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_raise_stopped, signals)
                value = await command(*arguments)
                nursery.cancel_scope.cancel()
        return value

    return trio.run(stoppable)


async def _raise_stopped(signals: AsyncIterator[int]) -> None:
    async for number in signals:
        raise Stopped(number)


Leaf = TypeVar("Leaf", bound=Exception)


def group_leaf(error: BaseException, kind: type[Leaf]) -> Leaf:
    """Return what is wrong, out of the groups that nurseries make."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, kind):
        raise error
    return error


def say(text: str) -> None:
    """Write a line on standard error: standard output belongs to the messages."""
    click.echo(text, err=True)

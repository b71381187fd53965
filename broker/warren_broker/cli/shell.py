"""What the client commands share: the URL, and how errors look in a shell."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click
import trio

from warren.errors import WarrenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

URL_DEFAULT: Final = "amqp://guest:guest@127.0.0.1:5672/"

EXIT_INTERRUPTED: Final = 130
"""What a shell expects of a command that Ctrl-C ended."""

url_option = click.option(
    "--url",
    default=URL_DEFAULT,
    show_default=True,
    metavar="URL",
    help="Broker to connect to.",
)


def run(command: Callable[..., Awaitable[None]], *arguments: Any) -> None:  # noqa: ANN401
    """Run a command's coroutine; tell an expected failure in one line, and exit 1."""
    status = 0
    try:
        trio.run(command, *arguments)
    except* KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    except* (WarrenError, OSError, ValueError) as group:
        say(f"warren: {_first(group)}")
        status = 1
    sys.exit(status)


def _first(error: BaseException) -> BaseException:
    """Return what is wrong, out of the groups that nurseries make."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def say(text: str) -> None:
    """Write a line on standard error: standard output belongs to the messages."""
    click.echo(text, err=True)

"""One process of `warren worker`, started with `python -m`.

It reports to its supervisor each second, over a pipe of its own: standard output is for
the handlers. When nobody reads the pipe any more the supervisor is gone, and it drains
as after a signal.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click
import trio

from warren._worker.app import App
from warren._worker.signals import log_to_standard_error, serve_until_signalled
from warren.errors import WarrenError
from warren_broker.cli.worker_tally import encode_report
from warren_broker.config import EX_CONFIG

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from warren._worker.crew import Crew

LOG: Final = logging.getLogger("warren.worker")

REPORT_SECONDS: Final = 1.0
PIPE_VARIABLE: Final = "WARREN_WORKER_PIPE"
"""Environment variable: the number of the pipe's descriptor."""


class NoApp(Exception):
    """What was named is no app."""


@click.command()
@click.argument("target")
@click.option("--url")
@click.option("--drain", type=float)
@click.option("--log-level", default="info")
def main(target: str, url: str | None, drain: float | None, log_level: str) -> None:
    """Run an app until a signal comes."""
    log_to_standard_error(log_level.upper())
    pipe = int(os.environ.pop(PIPE_VARIABLE))
    os.set_inheritable(pipe, False)
    os.set_blocking(pipe, False)
    try:
        app = load(target)
    except NoApp as error:
        LOG.error("%s", error)
        raise SystemExit(EX_CONFIG) from error
    except Exception as error:
        LOG.exception("%s cannot be imported", target)
        raise SystemExit(EX_CONFIG) from error
    app.url = url or app.url
    app.drain = app.drain if drain is None else drain
    try:
        status = trio.run(serve_until_signalled, _reporting(app, pipe))
    except (WarrenError, OSError, ValueError) as error:
        LOG.error("%s", error)
        status = 1
    sys.exit(status)


def load(target: str) -> App:
    """Return the app at ``module:name``, in a module found from here.

    Raises `NoApp`, and whatever the module raises when it is imported.
    """
    module, colon, name = target.partition(":")
    if not module or not colon:
        raise NoApp(f"{target!r} is not MODULE:APP, as in tasks:app for tasks.py")
    sys.path.insert(0, os.getcwd())
    try:
        found: object = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # it is there, and misses another one
        raise NoApp(f"there is no module {error.name!r} here") from None
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, App):
        raise NoApp(f"{target} is a {type(found).__name__}, and no warren.App")
    return found


@asynccontextmanager
async def _reporting(app: App, pipe: int) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        async with app.running() as crew:
            nursery.start_soon(_report_often, crew, pipe)
            yield
        nursery.cancel_scope.cancel()
        _report(crew, pipe)


async def _report_often(crew: Crew, pipe: int) -> None:
    while _report(crew, pipe):  # noqa: ASYNC110
        await trio.sleep(REPORT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _report(crew: Crew, pipe: int) -> bool:
    """Return whether anybody is there to read it. If he is slow, he gets the next."""
    try:
        os.write(pipe, encode_report(crew.statistics()))
    except BlockingIOError:
        pass
    except BrokenPipeError:
        return False
    return True


if __name__ == "__main__":
    main()

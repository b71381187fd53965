"""`warren worker`: run the handlers of a `warren.App` in several processes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click
import trio

from warren_broker.cli.worker_supervisor import Supervisor
from warren_broker.cli.worker_tally import Tally
from warren_broker.cli.worker_view import LinesView, LiveView

if TYPE_CHECKING:
    from warren_broker.cli.worker_view import View

LEVELS = ("debug", "info", "warning", "error")


@click.command()
@click.argument("target", metavar="MODULE:APP")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many to run; one that dies is started again.",
)
@click.option("--url", metavar="URL", help="Broker, instead of the app's own.")
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="For what runs at the end, instead of the app's own.",
)
@click.option("--log-level", type=click.Choice(LEVELS), default="info")
def worker(
    target: str,
    processes: int,
    url: str | None,
    drain: float | None,
    log_level: str,
) -> None:
    """Run the workers of an app: an object in a module, found from here.

    Ctrl-C or SIGTERM: no new messages are taken, what runs is finished, what is not
    finished in time goes back to its queue, and the exit status is 0. A second signal
    ends it at once.

    In a terminal a table shows what goes on, elsewhere there is a line now and then.
    """
    command = [sys.executable, "-m", "warren_broker.cli.worker_child", target]
    command += ["--log-level", log_level]
    if url is not None:
        command += ["--url", url]
    if drain is not None:
        command += ["--drain", str(drain)]
    tally = Tally()
    is_live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    view: View = LiveView(tally) if is_live else LinesView(tally)
    sys.exit(trio.run(Supervisor(command, processes, tally, view).run))

"""`warren demo`: a broker, workers, a sudden death, and a balance that must add up."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
import trio
from rich.console import Console
from rich.live import Live

from warren.errors import WarrenError
from warren_broker.cli.demo_children import (
    ChildFailed,
    running_broker,
    running_workers,
)
from warren_broker.cli.demo_plan import Plan
from warren_broker.cli.demo_stage import Stage, set_stage
from warren_broker.cli.shell import Stopped, group_leaf, run_stoppable, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warren_broker.cli.demo_view import View


@click.command()
@click.option("--jobs", type=click.IntRange(min=50), default=3000, show_default=True)
@click.option("--workers", type=click.IntRange(2, 32), default=4, show_default=True)
def demo(jobs: int, workers: int) -> None:
    """See Warren at work: takes some seconds, leaves nothing behind.

    Starts a broker on a free port, publishes jobs through a direct, a fanout and a
    topic exchange, has worker processes share them, and kills one of the workers in
    the middle of its work. At the end every job is accounted for by its number; the
    exit status is 0 only if the balance adds up.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)  # not only while trio runs
    status = 1
    try:
        status = play(Plan(jobs, workers), Console())
    except* Stopped as group:
        status = group_leaf(group, Stopped).exit_status
    except* (ChildFailed, WarrenError, OSError, trio.TooSlowError) as group:
        say(f"warren: {group_leaf(group, Exception)}")
    sys.exit(status)


def _stop(number: int, _: object) -> None:
    raise Stopped(number)


def play(plan: Plan, console: Console) -> int:
    """Run the demo with a broker of its own. Return the exit status."""
    with running_broker() as url:
        console.print(f"A broker listens on [bold]{url}[/], for this demo only.")
        return play_with(url, plan, console)


def play_with(url: str, plan: Plan, console: Console) -> int:
    """Run the demo against a broker that has none of its names yet."""
    run_stoppable(set_stage, url)
    with running_workers(plan, url) as workers:
        with _showing(console) as show:
            stage = Stage(plan, workers, show)
            checks = run_stoppable(stage.run, url)
        console.print(stage.view.final(checks))
    return 0 if all(check.holds for check in checks) else 1


@contextmanager
def _showing(console: Console) -> Iterator[Callable[[View], None]]:
    """Yield what shows a view: redrawn in place, or on a plain output told in lines."""
    if not console.is_terminal:
        yield _Teller(console)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda view: live.update(view.render(), refresh=True)


class _Teller:
    """Tells the progress in a few lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._quarters_told = -1
        self._events_told = 0

    def __call__(self, view: View) -> None:
        if view.quarters_done > self._quarters_told:
            self._quarters_told = view.quarters_done
            self._console.print(f" {view.progress_line()}")
        for event in view.events[self._events_told :]:
            self._console.print(event)
        self._events_told = len(view.events)

"""How the demo looks: tables made of its books and of what the broker says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from rich import box
from rich.console import Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from warren_broker.cli.demo_plan import EXCHANGES, QUEUES, Plan, Queue

if TYPE_CHECKING:
    from rich.console import RenderableType

    from warren._client.declaring import Queue as DeclaredQueue
    from warren_broker.cli.demo_children import Workers
    from warren_broker.cli.demo_ledger import Check, Ledger

BAR_WIDTH: Final = 20
EXCHANGE_STYLES: Final = {"direct": "cyan", "fanout": "magenta", "topic": "yellow"}


@final
class View:
    """Everything there is to see, at any moment."""

    def __init__(self, plan: Plan, ledger: Ledger, workers: Workers) -> None:
        self.broker: dict[str, DeclaredQueue] = {}
        """Queue -> what the broker last said of it."""
        self.events: list[str] = []
        """What has happened, in a line each."""
        self._plan = plan
        self._ledger = ledger
        self._workers = workers

    def render(self) -> RenderableType:
        """Return all of it."""
        return Group(self._queues(), self._team(), self._progress(), *self.events)

    def final(self, checks: list[Check]) -> RenderableType:
        """Return the last view: with the balance instead of the progress."""
        tables = self._queues(), "", self._team(), ""
        return Group("", *tables, *self.events, "", balance(checks))

    @property
    def quarters_done(self) -> int:
        """How many quarters of the jobs were handled."""
        return 4 * self._ledger.handled_count // self._plan.job_count

    def progress_line(self) -> str:
        """Return the progress in words, for where nothing can be redrawn."""
        return (
            f"published {len(self._ledger.confirmed)},"
            f" handled {self._ledger.handled_count} of {self._plan.job_count},"
            f" redelivered {self._ledger.redelivered_count}"
        )

    # --- parts

    def _queues(self) -> Table:
        table = _table("Exchanges and queues")
        for name in ("exchange", "type", "key", "queue"):
            table.add_column(name, no_wrap=True)
        for name in ("ready", "consumers", "done"):
            table.add_column(name, justify="right")
        previous = ""
        for queue in QUEUES:
            if previous and queue.exchange != previous:
                table.add_section()
            table.add_row(*self._queue_row(queue, first=queue.exchange != previous))
            previous = queue.exchange
        return table

    def _queue_row(self, queue: Queue, *, first: bool) -> list[RenderableType]:
        type_ = EXCHANGES[queue.exchange]
        style = EXCHANGE_STYLES[type_]
        said = self.broker.get(queue.name)
        return [
            Text(queue.exchange if first else "", style=f"bold {style}"),
            Text(type_ if first else "", style=style),
            queue.key,
            Text(queue.name, style="bold"),
            str(said.message_count) if said else "",
            str(said.consumer_count) if said else "",
            str(self._ledger.done_count(queue.name)),
        ]

    def _team(self) -> Table:
        table = _table("Workers share the job queues")
        table.add_column("worker", style="bold")
        table.add_column("process", justify="right")
        table.add_column("state")
        table.add_column("handled", justify="right")
        table.add_column("redelivered", justify="right")
        table.add_column("share of the work")
        handled = self._ledger.count_by_worker()
        redelivered = self._ledger.redelivered_by_worker()
        running = self._workers.running()
        for name in self._plan.workers:
            table.add_row(
                name,
                str(self._workers.pid(name)),
                self._state(name, running),
                str(handled[name]),
                str(redelivered[name]) if redelivered[name] else "",
                self._bar(handled[name]),
            )
        return table

    def _state(self, name: str, running: set[str]) -> Text:
        if name in self._workers.killed:
            return Text("killed", style="bold red")
        if name in running:
            return Text("working", style="green")
        return Text("finished", style="dim")

    def _bar(self, handled: int) -> ProgressBar:
        return ProgressBar(self._plan.job_count, handled, width=BAR_WIDTH)

    def _progress(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            " handled",
            ProgressBar(self._plan.job_count, self._ledger.handled_count, width=40),
            f"{self._ledger.handled_count} of {self._plan.job_count} jobs,"
            f" {len(self._ledger.confirmed)} published",
        )
        return grid


def balance(checks: list[Check]) -> RenderableType:
    """Return the balance, and whether it balances."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(justify="right")
    table.add_column(justify="right", style="bold")
    table.add_column()
    table.add_column(style="dim")
    for check in checks:
        verdict = Text("ok", "green") if check.holds else Text("WRONG", "bold red")
        table.add_row(check.name, str(check.found), verdict, check.remark)
    good = all(check.holds for check in checks)
    return Panel(
        table,
        title="The balance",
        subtitle="it balances: no job was lost" if good else "IT DOES NOT BALANCE",
        border_style="green" if good else "red",
        expand=False,
    )


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        header_style="dim",
        show_edge=False,  # so that it all fits a terminal of 24 lines
    )

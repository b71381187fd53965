"""How `warren worker` looks: a live table, or lines where nothing can be redrawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from warren_broker.cli.shell import say

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.console import RenderableType

    from warren_broker.cli.worker_tally import Tally

LINE_SECONDS: Final = 10.0
COLUMNS: Final = ("handled", "per second", "failed", "dead", "running")


class View(ABC):
    """What the supervisor shows. A context."""

    takes_output: bool
    """What the processes write has to go through `say`, a line at a time."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Show a line, for good."""

    @abstractmethod
    def look(self, now: float, processes: int) -> None:
        """A second has passed. `processes` is how many there should be."""

    def __enter__(self) -> Self:
        return self

    def __exit__(  # noqa: B027 - not all have something to end
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


@final
class LinesView(View):
    """A line now and then, if there is something new."""

    takes_output = False

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._next = 0.0
        self._last = ""

    def say(self, text: str) -> None:
        """Write it."""
        say(text)

    def look(self, now: float, processes: int) -> None:
        """Write where each queue stands, unless it stands where it was."""
        if now < self._next:
            return
        self._next = now + LINE_SECONDS
        rates = self._tally.rates(now)
        line = "; ".join(
            f"{each.queue}: {each.handled} handled ({rates[each.queue]:.1f}/s),"
            f" {each.failed} failed, {each.dead} dead, {each.running} running"
            for each in self._tally.queues()
        )
        if line and line != self._last:
            self._last = line
            say(f"warren worker: {line}")


@final
class LiveView(View):
    """A table that is drawn again each second; what is said scrolls above it."""

    takes_output = True

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=False)

    def say(self, text: str) -> None:
        """Write it above the table."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def look(self, now: float, processes: int) -> None:
        """Draw."""
        self._live.update(self._table(now, processes), refresh=True)

    def _table(self, now: float, processes: int) -> RenderableType:
        rates = self._tally.rates(now)
        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2))
        table.add_column("queue", style="bold", no_wrap=True)
        for column in COLUMNS:
            table.add_column(column, justify="right")
        for each in self._tally.queues():
            table.add_row(
                Text(each.queue),
                str(each.handled),
                f"{rates[each.queue]:.1f}",
                Text(str(each.failed), "yellow" if each.failed else ""),
                Text(str(each.dead), "red" if each.dead else ""),
                str(each.running),
            )
        running = Text(f"{len(self._tally.running)} of {processes} processes")
        if self._tally.restarts:
            running.append(f", {self._tally.restarts} restarts", "red")
        return Group("", table, "", running)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

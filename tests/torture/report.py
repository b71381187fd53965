"""What came of the trials, for people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.table import Table

from tests.torture.ledger import WRONG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.torture.trial import Trial

COLUMNS: Final = ("attempted", "confirmed", "nacked", "redelivered", *WRONG)
TABLE_WIDTH_MIN: Final = 140


def show(trials: Mapping[str, Trial]) -> None:
    """Print all figures, by name of the trial and in all."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=TABLE_WIDTH_MIN)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for heading in ("ends", *COLUMNS):
        table.add_column(heading, justify="right")
    total, ends = Counter[str](), 0
    for name, trial in trials.items():
        table.add_row(name, *_cells(trial.ends.total(), trial.figures))
        table.add_row("  records", *_cells(0, trial.record_figures))
        total += trial.figures + trial.record_figures
        ends += trial.ends.total()
    table.add_section()
    table.add_row("in all", *_cells(ends, total))
    console.print(table)
    for trial in trials.values():
        for end, count in trial.ends.most_common():
            console.print(f"{count:>8}  {end}")
    for name, trial in trials.items():
        for fact in trial.facts:
            console.print(f"{name}: {fact}", highlight=False)


def _cells(ends: int, figures: Counter[str]) -> list[str]:
    return [f"{ends:,}", *(f"{figures[column]:,}" for column in COLUMNS)]

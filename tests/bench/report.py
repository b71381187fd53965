"""The results for people, as a table, and for programs, as JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.bench.contest import Results
    from tests.bench.rows import Figure, Row

NOISE_CORES_MAX: Final = 0.25
MARKS: Final = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}


@dataclass(frozen=True)
class Spread:
    """Several measurements of one figure."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None when there are no values."""
        return cls(median(values), min(values), max(values)) if values else None


@dataclass(frozen=True)
class Line:
    """One figure of one row, ours and the rival's."""

    row: str
    figure: str
    title: str
    unit: str
    own: Spread | None
    rival: Spread | None
    own_cpu_us: Spread | None
    rival_cpu_us: Spread | None
    ratio: float | None
    wanted: str
    met: bool | None


def lines(results: Results, rows: Iterable[Row], own: str, rival: str) -> list[Line]:
    """The report's lines, in order; `own` and `rival` are names of brokers."""
    return [
        _line(results, row, figure, own, rival)
        for row in rows
        for figure in row.figures
    ]


def _line(results: Results, row: Row, figure: Figure, own: str, rival: str) -> Line:
    def spread(broker: str, key: str | None) -> Spread | None:
        return Spread.of(results.values(row.name, broker, key)) if key else None

    ours, theirs = spread(own, figure.key), spread(rival, figure.key)
    goal = figure.goal
    return Line(
        row=row.name,
        figure=figure.key,
        title=f"{row.title}: {figure.title}" if figure.title else row.title,
        unit=figure.unit,
        own=ours,
        rival=theirs,
        own_cpu_us=spread(own, figure.cpu_key),
        rival_cpu_us=spread(rival, figure.cpu_key),
        ratio=_ratio(ours, theirs),
        wanted=goal.text if goal else "",
        met=goal.judge(_median(ours), _median(theirs)) if goal else None,
    )


def _ratio(own: Spread | None, rival: Spread | None) -> float | None:
    return own.median / rival.median if own and rival and rival.median else None


def _median(spread: Spread | None) -> float | None:
    return spread.median if spread else None


def table(report: Sequence[Line], own: str, rival: str) -> Table:
    """Medians with their ranges side by side."""
    columns = Table(
        box=box.SIMPLE_HEAD,
        caption="median (min-max); CPU: the broker's own, µs a message",
    )
    columns.add_column("", no_wrap=True)
    for heading in (own, rival, "ratio", "wanted", "", f"CPU {own}", f"CPU {rival}"):
        columns.add_column(heading, justify="right", no_wrap=True)
    for line in report:
        columns.add_row(
            line.title,
            _cell(line.own, line.unit),
            _cell(line.rival, line.unit),
            f"{line.ratio:.2f}x" if line.ratio is not None else "",
            line.wanted,
            MARKS[line.met],
            f"{line.own_cpu_us.median:.1f}" if line.own_cpu_us else "",
            f"{line.rival_cpu_us.median:.1f}" if line.rival_cpu_us else "",
        )
    return columns


def noise(results: Results) -> str:
    """How busy the machine was with other things, and whether that is too much."""
    cores = results.noise_cores() or [0.0]
    warning = " [yellow]Too busy: do not trust the ratios.[/]"
    return (
        f"Others kept {median(cores):.2f} cores busy (median), at most "
        f"{max(cores):.2f}, of {os.cpu_count()}."
    ) + (warning if median(cores) > NOISE_CORES_MAX else "")


def document(
    report: Iterable[Line], results: Results, rounds: int, seconds: float
) -> str:
    """Everything, every sample included, as JSON."""
    return json.dumps(
        {
            "machine": {
                "cores": os.cpu_count(),
                "system": platform.platform(),
                "python": platform.python_version(),
            },
            "rounds": rounds,
            "seconds": seconds,
            "lines": [asdict(line) for line in report],
            "samples": [
                {"row": row, "broker": broker, "samples": samples}
                for (row, broker), samples in results.samples.items()
            ],
            "failures": results.failures,
        },
        indent=2,
    )


def _cell(spread: Spread | None, unit: str) -> str:
    if spread is None:
        return "-"
    low, high = _number(spread.low, unit), _number(spread.high, unit)
    return f"{_number(spread.median, unit)} {unit} [dim]({low}-{high})[/]"


def _number(value: float, unit: str) -> str:
    """Three digits or so: no measurement here is worth more."""
    if unit == "/s" and value >= 1_000:
        return f"{value / 1_000:.1f}k"
    if unit == "s":
        return f"{value:.1f}"
    return f"{value:,.0f}"

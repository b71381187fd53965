"""Where Warren's time goes while it serves one row.

With py-spy at hand the broker is sampled at full speed; without it cProfile counts
every call, which makes small functions look dearer than they are.
"""

from __future__ import annotations

import pstats
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table

from tests.bench.warren import Warren

if TYPE_CHECKING:
    from rich.console import Console

    from tests.bench.generator import Generator
    from tests.bench.rows import Row

SAMPLES_PER_SECOND: Final = 500
FUNCTIONS_SHOWN: Final = 30


def profile(
    generator: Generator, row: Row, seconds: float, directory: Path, console: Console
) -> None:
    """Run a row against Warren once and print its dearest functions."""
    sampler = shutil.which("py-spy", path=Path(sys.executable).parent)
    if sampler is None:
        _count_calls(generator, row, seconds, directory)
    else:
        stacks = _sample(sampler, generator, row, seconds, directory)
        console.print(_functions(stacks))


def _count_calls(
    generator: Generator, row: Row, seconds: float, directory: Path
) -> None:
    output = directory / "warren.pstats"
    runner = (sys.executable, "-m", "cProfile", "-o", output)
    with Warren(directory, runner=runner) as broker:
        row.scenario.run(generator, broker, seconds)
    statistics = pstats.Stats(str(output))
    statistics.strip_dirs().sort_stats("tottime").print_stats(FUNCTIONS_SHOWN)


def _sample(
    sampler: str, generator: Generator, row: Row, seconds: float, directory: Path
) -> Counter[tuple[str, ...]]:
    """Samples by stack, outermost function first."""
    output = directory / "warren.stacks"
    with Warren(directory) as broker:
        recorder = subprocess.Popen(
            [
                *(sampler, "record", "--pid", str(broker.pid)),
                *("--rate", str(SAMPLES_PER_SECOND), "--nonblocking", "--function"),
                *("--format", "raw", "--output", str(output)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            row.scenario.run(generator, broker, seconds)
        finally:
            recorder.send_signal(signal.SIGINT)  # it writes what it has, and ends
            recorder.wait()
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in output.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        stacks[tuple(stack.split(";"))] += int(count)
    return stacks


def _functions(stacks: Counter[tuple[str, ...]]) -> Table:
    """Functions by the share of samples in themselves, and with what they call."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for stack, count in stacks.items():
        own[stack[-1]] += count
        for function in set(stack):
            total[function] += count
    table = Table("function", "own %", "total %", box=box.SIMPLE_HEAD)
    for function, count in own.most_common(FUNCTIONS_SHOWN):
        shares = (100 * count / stacks.total(), 100 * total[function] / stacks.total())
        table.add_row(function, *(f"{share:.1f}" for share in shares))
    return table

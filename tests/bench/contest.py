"""The order of play: every round, every row, each broker in turn."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.broker import Broker
    from tests.bench.generator import Generator
    from tests.bench.rows import Row
    from tests.bench.scenario import Sample


@dataclass
class Results:
    """Samples by row and broker name, in the order taken, and what went wrong."""

    samples: defaultdict[tuple[str, str], list[Sample]] = field(
        default_factory=lambda: defaultdict(list)
    )
    failures: list[str] = field(default_factory=list)

    def values(self, row: str, broker: str, key: str) -> list[float]:
        """One figure of all samples of a row; empty where there are none."""
        return [sample[key] for sample in self.samples[row, broker]]

    def noise_cores(self) -> list[float]:
        """Of every sample: how many cores everybody else kept busy."""
        return [
            sample["noise_cores"]
            for samples in self.samples.values()
            for sample in samples
        ]


def play(
    generator: Generator,
    brokers: Sequence[Broker],
    rows: Sequence[Row],
    rounds: int,
    seconds: float,
    announce: Callable[[str], None],
) -> Results:
    """Measure. The brokers alternate, and who begins changes from round to round."""
    results = Results()
    try:
        for number in range(rounds):
            order = brokers[:: -1 if number % 2 else 1]
            for row, broker in product(rows, order):
                if not row.scenario.suits(broker) or (number and row.is_long):
                    continue
                announce(f"round {number + 1}/{rounds}  {row.title}  {broker.name}")
                _measure(generator, broker, row, seconds, results)
    except BenchError as error:  # a broker does not come back: report what there is
        results.failures.append(f"ended early: {error}")
    return results


def _measure(
    generator: Generator, broker: Broker, row: Row, seconds: float, results: Results
) -> None:
    """One sample, or one failure and a fresh broker for the next row."""
    try:
        sample = row.scenario.run(generator, broker, seconds)
        results.samples[row.name, broker.name].append(sample)
    except (BenchError, OSError) as error:  # OSError: its process is gone
        results.failures.append(f"{row.title}, {broker.name}: {error}")
        broker.renew()

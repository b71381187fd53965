"""What is done to a broker, and the figures that come of it.

A scenario runs the generator once or more and returns a `Sample`: its figures by name.
Rates are messages/s, `*_us` microseconds, `cpu*_us` CPU time of the broker per message.
`noise_cores` is how many cores everybody else kept busy meanwhile.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.bench import usage
from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from tests.bench.broker import Broker
    from tests.bench.generator import Generator

Sample = dict[str, float]

GRACE_SECONDS: Final = 60.0  # to drain what was published in time
PARKED_SECONDS_MAX: Final = 300.0
SETTLE_SECONDS: Final = 5.0  # collectors and allocators go on a while
WARM_UP_MESSAGES: Final = 1_000


@dataclass(frozen=True)
class Load:
    """One run of the generator: what it said, and what the broker paid."""

    figures: dict[str, float]
    cpu_seconds: float
    noise_cores: float

    def cpu_us_per(self, counter: str) -> float:
        """The broker's CPU time per `sent` or `received` message."""
        return self.cpu_seconds * 1e6 / max(self.figures[counter], 1)

    def require_received(self, expected: float) -> None:
        """A rate with losses is none. Raises BenchError unless all have arrived."""
        received = self.figures["received"]
        if received != expected:
            raise BenchError(f"{received:,.0f} of {expected:,.0f} messages arrived")


def drive(
    generator: Generator, broker: Broker, *options: object, timeout_seconds: float
) -> Load:
    """Run the generator against a broker and account for the CPU time around it."""
    broker.is_fresh = False
    started = time.monotonic()
    before = (
        broker.cpu_seconds(),
        usage.waited_cpu_seconds(),
        usage.machine_cpu_seconds(),
    )
    figures = generator.run(broker.port, *options, timeout_seconds=timeout_seconds)
    ours = broker.cpu_seconds() - before[0]
    generators = usage.waited_cpu_seconds() - before[1]
    machine = usage.machine_cpu_seconds() - before[2]
    noise = (machine - ours - generators) / (time.monotonic() - started)
    return Load(figures, ours, max(noise, 0.0))


class Scenario(ABC):
    """A way to measure."""

    def suits(self, broker: Broker) -> bool:
        """Whether the broker can do what is measured."""
        return True

    @abstractmethod
    def run(self, generator: Generator, broker: Broker, seconds: float) -> Sample:
        """Measure once. Raises BenchError."""


@dataclass(frozen=True)
class Throughput(Scenario):
    """As fast as it goes for some seconds, until the last message has arrived.

    Each message is to arrive `copies` times. `only` is the title of the one broker that
    can do it, if not all can.
    """

    options: tuple[object, ...]
    copies: int = 1
    only: str | None = None

    def suits(self, broker: Broker) -> bool:
        return self.only is None or self.only == broker.name

    def run(self, generator: Generator, broker: Broker, seconds: float) -> Sample:
        """`rate` of deliveries, the drain included."""
        load = drive(
            generator,
            broker,
            *self.options,
            *("--secs", seconds),
            timeout_seconds=seconds + GRACE_SECONDS,
        )
        load.require_received(load.figures["sent"] * self.copies)
        return {
            "rate": load.figures["recv_per_s"],
            "cpu_us": load.cpu_us_per("received"),
            "noise_cores": load.noise_cores,
        }


@dataclass(frozen=True)
class Latency(Scenario):
    """A steady trickle, each message stamped when it is published."""

    rate: int
    options: tuple[object, ...] = ("--name", "latency")

    def run(self, generator: Generator, broker: Broker, seconds: float) -> Sample:
        """`p50_us` and `p99_us` from publish to delivery."""
        load = drive(
            generator,
            broker,
            *("--rate", self.rate, "--latency", 1, *self.options),
            *("--secs", seconds),
            timeout_seconds=seconds + GRACE_SECONDS,
        )
        load.require_received(load.figures["sent"])
        return {
            "p50_us": load.figures["p50_us"],
            "p99_us": load.figures["p99_us"],
            "cpu_us": load.cpu_us_per("received"),
            "noise_cores": load.noise_cores,
        }


@dataclass(frozen=True)
class Parked(Scenario):
    """A backlog published with nobody listening, weighed, and drained."""

    count: int

    def run(self, generator: Generator, broker: Broker, seconds: float) -> Sample:
        """`publish_rate`, `drain_rate`, and `added_mb` of memory that all took.

        The broker starts afresh, since memory freed by earlier runs hides growth.
        """
        if not broker.is_fresh:
            broker.renew()
        self._drive(generator, broker, "--count", WARM_UP_MESSAGES)
        empty_bytes = broker.resident_bytes()
        publish = self._drive(generator, broker, "--count", self.count, "--subs", 0)
        time.sleep(SETTLE_SECONDS)
        parked_bytes = broker.resident_bytes()
        drain = self._drive(
            generator, broker, "--pubs", 0, "--keep", 1, "--count", self.count
        )
        drain.require_received(self.count)
        return {
            "publish_rate": publish.figures["pub_per_s"],
            "drain_rate": drain.figures["recv_per_s"],
            "added_mb": (parked_bytes - empty_bytes) / 1e6,
            "publish_cpu_us": publish.cpu_us_per("sent"),
            "drain_cpu_us": drain.cpu_us_per("received"),
            "noise_cores": max(publish.noise_cores, drain.noise_cores),
        }

    def _drive(self, generator: Generator, broker: Broker, *options: object) -> Load:
        return drive(
            generator,
            broker,
            *("--name", "parked"),
            *options,
            timeout_seconds=PARKED_SECONDS_MAX,
        )

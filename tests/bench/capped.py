"""A backlog larger than the memory a broker may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.bench import usage
from tests.bench.broker import Spawned
from tests.bench.memory_cap import MemoryCap
from tests.bench.scenario import PARKED_SECONDS_MAX, Load, Sample, Scenario, drive
from tests.bench.warren import Warren

if TYPE_CHECKING:
    from tests.bench.broker import Broker
    from tests.bench.generator import Generator

BACKLOG: Final = ("--name", "capped", "--size", 100, "--order", 1)


@dataclass(frozen=True)
class Capped(Scenario):
    """A million messages and more published, then drained in their order.

    Once by a broker with all the memory of the machine, once by one with `limit_bytes`.
    """

    count: int
    limit_bytes: int

    def suits(self, broker: Broker) -> bool:
        return isinstance(broker, Spawned) and broker.name == Warren.title

    def run(self, generator: Generator, broker: Broker, seconds: float) -> Sample:
        """Rates and their shares of the rates without a cap, `peak_mb` resident."""
        assert isinstance(broker, Spawned)
        if not broker.is_fresh:
            broker.renew()
        free = self._fill_and_drain(generator, broker)
        broker.renew()
        directory = broker.directory / "capped"
        directory.mkdir(exist_ok=True)
        with (
            MemoryCap(self.limit_bytes) as cap,
            Warren(directory, runner=cap.runner, options=cap.options) as capped,
        ):
            publish, drain = self._fill_and_drain(generator, capped)
            peak_bytes = usage.peak_resident_bytes(capped.pid)
        rates = publish.figures["pub_per_s"], drain.figures["recv_per_s"]
        return {
            "publish_rate": rates[0],
            "drain_rate": rates[1],
            "publish_share": 100 * rates[0] / free[0].figures["pub_per_s"],
            "drain_share": 100 * rates[1] / free[1].figures["recv_per_s"],
            "peak_mb": peak_bytes / 1e6,
            "publish_cpu_us": publish.cpu_us_per("sent"),
            "drain_cpu_us": drain.cpu_us_per("received"),
            "noise_cores": max(publish.noise_cores, drain.noise_cores),
        }

    def _fill_and_drain(
        self, generator: Generator, broker: Broker
    ) -> tuple[Load, Load]:
        publish = self._drive(generator, broker, "--subs", 0)
        drain = self._drive(generator, broker, "--pubs", 0, "--keep", 1)
        drain.require_received(self.count)
        return publish, drain

    def _drive(self, generator: Generator, broker: Broker, *options: object) -> Load:
        return drive(
            generator,
            broker,
            *BACKLOG,
            *options,
            *("--count", self.count),
            timeout_seconds=PARKED_SECONDS_MAX,
        )

"""How long a broker takes to be there again with all it has kept."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.bench.broker import Spawned
from tests.bench.scenario import PARKED_SECONDS_MAX, Load, Sample, Scenario, drive

if TYPE_CHECKING:
    from tests.bench.broker import Broker
    from tests.bench.generator import Generator

KEPT: Final = ("--name", "restart", "--durable", 1, "--persistent", 1)


@dataclass(frozen=True)
class Restart(Scenario):
    """Persistent messages in a durable queue, through a stop and through a SIGKILL."""

    count: int

    def suits(self, broker: Broker) -> bool:
        return isinstance(broker, Spawned)

    def run(self, generator: Generator, broker: Broker, seconds: float) -> Sample:
        """`stopped_s` and `killed_s` until it is ready; all messages are there then.

        Beside them `publish_rate` with confirms and `drain_rate` without acks.
        """
        assert isinstance(broker, Spawned)
        window = ("--window", 1000, "--subs", 0)
        publish = self._drive(generator, broker, *window)
        stopped = broker.restart(signal.SIGTERM)
        stopped_cpu = broker.cpu_seconds()
        killed = broker.restart(signal.SIGKILL)
        killed_cpu = broker.cpu_seconds()
        drain = self._drive(generator, broker, "--pubs", 0, "--keep", 1)
        drain.require_received(self.count)
        return {
            "publish_rate": publish.figures["pub_per_s"],
            "stopped_s": stopped,
            "killed_s": killed,
            "drain_rate": drain.figures["recv_per_s"],
            "stopped_cpu_us": stopped_cpu * 1e6 / self.count,
            "killed_cpu_us": killed_cpu * 1e6 / self.count,
            "publish_cpu_us": publish.cpu_us_per("sent"),
            "drain_cpu_us": drain.cpu_us_per("received"),
            "noise_cores": max(publish.noise_cores, drain.noise_cores),
        }

    def _drive(self, generator: Generator, broker: Broker, *options: object) -> Load:
        return drive(
            generator,
            broker,
            *KEPT,
            *options,
            *("--count", self.count),
            timeout_seconds=PARKED_SECONDS_MAX,
        )

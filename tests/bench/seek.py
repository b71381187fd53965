"""How long a long stream takes to be opened, and one record of it to be found."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Final

from tests.bench.broker import Spawned
from tests.bench.scenario import Sample, Scenario, drive
from tests.bench.streams import STREAM
from tests.bench.talk import CHANNEL, Talk
from tests.bench.warren import Warren
from warren.wire.constants import FRAME_BODY
from warren.wire.frames import encode_method
from warren.wire.methods import BasicCancel, BasicConsume, BasicQos

if TYPE_CHECKING:
    from tests.bench.broker import Broker
    from tests.bench.generator import Generator

NAME: Final = "seek"
QUEUE: Final = f"load.{NAME}.0"  # so the generator calls it
LOOKS: Final = 200
FILL_SECONDS_MAX: Final = 300.0


@dataclass(frozen=True)
class Seek(Scenario):
    """Many small records, a SIGKILL, and then one here and one there."""

    count: int

    def suits(self, broker: Broker) -> bool:
        return isinstance(broker, Warren)

    def run(self, generator: Generator, broker: Broker, seconds: float) -> Sample:
        """`start_s` until it is ready, all of it counted, and `added_mb` of memory.

        `p50_us` and `worst_us` from basic.consume at a random offset to its record,
        each by a consumer of its own.
        """
        assert isinstance(broker, Spawned)
        if not broker.is_fresh:
            broker.renew()
        empty_bytes = broker.resident_bytes()
        load = drive(
            generator,
            broker,
            *("--name", NAME, *STREAM, "--subs", 0),
            *("--window", 1000, "--count", self.count),
            timeout_seconds=FILL_SECONDS_MAX,
        )
        start = broker.restart(signal.SIGKILL)
        opened_bytes = broker.resident_bytes()
        random = Random(self.count)
        with Talk(broker.port) as talk:
            talk.call(BasicQos(prefetch_count=1))
            waits = [_look(talk, random.randrange(self.count)) for _ in range(LOOKS)]
        return {
            "start_s": start,
            "added_mb": (opened_bytes - empty_bytes) / 1e6,
            "p50_us": median(waits) * 1e6,
            "worst_us": max(waits) * 1e6,
            "noise_cores": load.noise_cores,
        }


def _look(talk: Talk, offset: int) -> float:
    """Return the seconds until a consumer has the record at `offset`."""
    consume = BasicConsume(
        queue=QUEUE, consumer_tag="look", arguments={"x-stream-offset": offset}
    )
    began = time.perf_counter()
    talk.send(encode_method(CHANNEL, consume))
    while not any(frame.kind == FRAME_BODY for frame in talk.frames()):
        pass
    waited = time.perf_counter() - began
    talk.call(BasicCancel("look"))
    return waited

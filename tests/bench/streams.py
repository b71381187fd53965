"""Streams: how fast they are appended to, and replayed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, ClassVar, Final

from tests.bench.scenario import GRACE_SECONDS, Sample, Scenario, drive

if TYPE_CHECKING:
    from tests.bench.broker import Broker
    from tests.bench.generator import Generator

STREAM: Final = ("--durable", 1, "--persistent", 1, "--qargs", "x-queue-type=stream")
PREFETCH: Final = ("--ack", 1, "--prefetch", 1000)
APPENDED: Final = ("--size", 1024, "--window", 1000)
FILL_SECONDS_MAX: Final = 120.0
BLOCK_BYTES: Final = 500 << 10  # half of the window: the other half collects meanwhile
RAW_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Append(Scenario):
    """Records of 1 KiB, confirmed; then the same blocks, synced the same, by hand."""

    def run(self, generator: Generator, broker: Broker, seconds: float) -> Sample:
        """`rate` of confirms, and what `share` it is of what the disk does."""
        load = drive(
            generator,
            broker,
            *("--name", "append", *STREAM, *APPENDED, "--subs", 0),
            *("--secs", seconds),
            timeout_seconds=seconds + GRACE_SECONDS,
        )
        rate = load.figures["confirmed"] / load.figures["secs"]
        return {
            "rate": rate,
            "share": 100 * rate * 1024 / _raw_bytes_per_second(),
            "cpu_us": load.cpu_us_per("sent"),
            "noise_cores": load.noise_cores,
        }


@dataclass(frozen=True)
class Replay(Scenario):
    """Readers that begin at the first of many records, all at the same time."""

    readers: int
    count: int
    _filled: ClassVar[set[int]] = set()  # pids of brokers

    def run(self, generator: Generator, broker: Broker, seconds: float) -> Sample:
        """`rate` of deliveries to all readers together, until all is read.

        A broker is filled once, and then replayed in each round.
        """
        name = ("--name", "replay", *STREAM)
        if broker.pid not in self._filled:
            self._filled.add(broker.pid)
            drive(
                generator,
                broker,
                *(*name, "--subs", 0, "--window", 1000, "--count", self.count),
                timeout_seconds=FILL_SECONDS_MAX,
            )
        load = drive(
            generator,
            broker,
            *(*name, "--pubs", 0, "--subs", self.readers, *PREFETCH),
            *("--cargs", "x-stream-offset=first"),
            *("--count", self.count * self.readers),
            *("--limit", 1, "--secs", max(seconds, self.readers * seconds / 4)),
            timeout_seconds=FILL_SECONDS_MAX,
        )
        return {
            "rate": load.figures["recv_per_s"],
            "cpu_us": load.cpu_us_per("received"),
            "noise_cores": load.noise_cores,
        }


def _raw_bytes_per_second() -> float:
    """What the disk does with a file that is written in blocks, each synced."""
    block = bytes(BLOCK_BYTES)
    with TemporaryFile(buffering=0) as file:
        started, written = time.monotonic(), 0
        while (elapsed := time.monotonic() - started) < RAW_SECONDS:
            written += file.write(block)
            os.fdatasync(file.fileno())
    return written / elapsed

"""Streams: how fast they are appended to, and replayed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from statistics import fmean
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, ClassVar, Final, Self

from tests.bench.scenario import GRACE_SECONDS, Sample, Scenario, drive

if TYPE_CHECKING:
    from tests.bench.broker import Broker
    from tests.bench.generator import Generator

STREAM: Final = ("--durable", 1, "--persistent", 1, "--qargs", "x-queue-type=stream")
PREFETCH: Final = ("--ack", 1, "--prefetch", 1000)
RECORD_BYTES: Final = 1024
APPENDED: Final = ("--size", RECORD_BYTES, "--window", 1000)
FILL_SECONDS_MAX: Final = 120.0
SLICES: Final = 10  # of a run: between them it is the disk's turn


@dataclass(frozen=True)
class Append(Scenario):
    """Records of 1 KiB, confirmed; and beside it what the disk does by hand.

    By hand a file is written in blocks, each synced: as large as what one confirm told
    of on the average, for a broker that syncs has to do that before each. The two take
    turns, so that both have the disk in the same state, and are compared by sums.
    """

    def run(self, generator: Generator, broker: Broker, seconds: float) -> Sample:
        """`rate` of confirms, and what `share` it is of the disk's own."""
        loads = []
        with _Raw() as raw:
            for _ in range(SLICES):
                load = drive(
                    generator,
                    broker,
                    *("--name", "append", *STREAM, *APPENDED, "--subs", 0),
                    *("--secs", seconds / SLICES),
                    timeout_seconds=seconds + GRACE_SECONDS,
                )
                loads.append(load)
                each = load.figures["confirmed"] / max(load.figures["confirms"], 1)
                raw.write(round(each * RECORD_BYTES), seconds / SLICES)
        confirmed = sum(load.figures["confirmed"] for load in loads)
        rate = confirmed / sum(load.figures["secs"] for load in loads)
        return {
            "rate": rate,
            "share": 100 * rate * RECORD_BYTES / raw.bytes_per_second,
            "cpu_us": 1e6 * sum(load.cpu_seconds for load in loads) / confirmed,
            "noise_cores": fmean(load.noise_cores for load in loads),
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


class _Raw:
    """A file that is written in blocks, each synced, as fast as the disk does it."""

    def __init__(self) -> None:
        self._written = self._seconds = 0.0

    def __enter__(self) -> Self:
        self._file = TemporaryFile(buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, block_bytes: int, seconds: float) -> None:
        """Go on for so long."""
        block = bytes(block_bytes)
        started = time.monotonic()
        while (elapsed := time.monotonic() - started) < seconds:
            self._written += self._file.write(block)
            os.fdatasync(self._file.fileno())
        self._seconds += elapsed

    @property
    def bytes_per_second(self) -> float:
        """Of all that was written."""
        return self._written / self._seconds

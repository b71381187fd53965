"""A small disk that is really full, again and again."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, ClassVar, Final, final

from tests.torture.mounts import Mounts, mounts_missing
from tests.torture.trial import Trial, TrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from tests.torture.load import Load
    from tests.torture.process import Process

MIB: Final = 1 << 20
DISK_BYTES: Final = 48 * MIB
SETTINGS: Final = {"segment_bytes": MIB, "reserve_bytes": MIB}
# Where publishers are stopped: before there is too little room, or when there is none.
FREE_BYTES_MIN: Final = (8 * MIB, 0)
BLOCK_DEADLINES_MS: Final = (0, 500)
IN_MEMORY_BYTES: Final = (0, MIB, 100 * MIB)
WAIT_SECONDS: Final = 60.0
MORE: Final = 200  # confirms that show that it goes on


@final
class SmallDisk(Trial):
    """Publishers fill it, perhaps it is killed; consumers drain it; it goes on."""

    ENDS = ("small disk",)
    SIZE_MAX = 16_000
    RETENTION: ClassVar = {
        "max_length_bytes": 4 * MIB,
        "stream_max_segment_size_bytes": MIB,
    }

    @classmethod
    def missing(cls) -> str | None:
        return mounts_missing("ext4")

    def run(self, seconds: float, ends: Collection[str]) -> None:
        until = time.monotonic() + seconds
        image = self.directory / "small.img"
        with Mounts(self.directory) as mounts:
            mounts.make(image, "ext4", DISK_BYTES, "-m", "0")
            disk = mounts.mount(image, "ext4")
            while time.monotonic() < until:
                self._fill_and_drain(disk)
            self.finish(disk / "data", **SETTINGS)

    def _fill_and_drain(self, disk: Path) -> None:
        free_bytes_min = self.random.choice(FREE_BYTES_MIN)
        options = SETTINGS | {
            "free_bytes_min": free_bytes_min,
            "in_memory_bytes": self.random.choice(IN_MEMORY_BYTES),
            "limits_publish_block_deadline_ms": self.random.choice(BLOCK_DEADLINES_MS),
        }
        self.ledger.begin_life(f"life {self.ends.total()} ({options})")
        dies = self.random.random() < 0.3
        with self.broker(disk / "data", **options) as process:
            self.require_ready(process)
            with self._load(process) as load:
                self._await("publishers are blocked", lambda: load.blocked > 0)
                self._check_full(disk, free_bytes_min)
                time.sleep(self.random.uniform(0.5, 1.5))
                if dies:
                    process.kill()
                else:
                    self._drain(load)
        self.ends["small disk, killed when full" if dies else "small disk"] += 1
        if dies:
            with self.broker(disk / "data", **options) as process:
                self.require_ready(process)
                with self._load(process) as load:
                    self._drain(load)
            self.ends["small disk, started when full"] += 1

    def _load(self, process: Process) -> Load:
        return self.load(process.url, consumes=False)

    def _drain(self, load: Load) -> None:
        """Consume, until publishing goes on and everything has its answer."""
        load.consume()
        enough = self.ledger.confirmed + MORE
        self._await(
            "publishing goes on",
            lambda: not load.blocked and self.ledger.confirmed >= enough,
        )
        if missing := load.pause(WAIT_SECONDS):
            self.wrong.append(f"small disk: {missing} confirms never came")

    def _check_full(self, disk: Path, free_bytes_min: int) -> None:
        free = shutil.disk_usage(disk).free
        if free > free_bytes_min + 2 * MIB:
            self.wrong.append(f"small disk: blocked with {free} bytes free")

    def _await(self, what: str, has_come: Callable[[], bool]) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while not has_come():
            if time.monotonic() > until:
                raise TrialError(f"small disk: waited in vain until {what}")
            time.sleep(0.02)

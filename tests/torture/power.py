"""Power cuts: the disk is copied as it is at one moment, and a broker starts on that.

The disk is an ext4 in a file, on a file system that can copy a file by sharing its
blocks: what the system still has in memory is not in the copy, as if the power had
gone. Its own cache the disk is not supposed to lose.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from tests.torture.ledger import EXPECTED, LOST, Promise
from tests.torture.load import drain, drained
from tests.torture.mounts import Mounts, clone, mounts_missing
from tests.torture.process import strace_missing
from tests.torture.streams import audit, records_of
from tests.torture.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from tests.torture.records import RecordMoment

POOL_BYTES: Final = 16 << 30  # what is not used takes no room
DISK_BYTES: Final = 2 << 30
CUTS: Final = 4  # in a life
RECOVERING: Final = 0.25  # how often the power goes once more
BACKLOG_MAX: Final = 6_000  # with more every cut takes seconds
NO_SYNC: Final = "fdatasync:retval=0"
CONTROL_CUTS: Final = 3


@dataclass(frozen=True)
class Cut:
    """A disk as it was, and what must be on it."""

    image: Path
    promise: Promise
    records: RecordMoment


@final
class _Site:
    """The file system in which disks are files and can be copied at one moment."""

    def __init__(self, mounts: Mounts, directory: Path) -> None:
        pool = directory / "pool.img"
        mounts.make(pool, "xfs", POOL_BYTES)
        self.mounts = mounts
        self._pool = mounts.mount(pool, "xfs")
        self._copies = 0

    def make_disk(self, name: str) -> Path:
        """Return the image of a new disk."""
        image = self._pool / f"{name}.img"
        self.mounts.make(image, "ext4", DISK_BYTES)
        return image

    def copy(self, image: Path) -> Path:
        """Return another disk, which is what a power cut would leave of `image`."""
        self._copies += 1
        copy = self._pool / f"cut-{self._copies}.img"
        clone(image, copy)
        return copy


@final
class PowerCuts(Trial):
    """Many cuts a life, each looked at when it is over.

    The control experiment is the same with syncs that do nothing: it must show a loss.
    """

    ENDS = ("power cut",)

    @classmethod
    def missing(cls) -> str | None:
        return mounts_missing("xfs", "ext4")

    def run(self, seconds: float, ends: Collection[str]) -> None:
        until = time.monotonic() + seconds
        with Mounts(self.directory) as mounts:
            site = _Site(mounts, self.directory)
            self._control(site)
            image = site.make_disk("disk")
            disk = mounts.mount(image, "ext4")
            while time.monotonic() < until:
                for cut in self._live(site, image, disk):
                    self._look_at(site, cut)
            self.finish(disk / "data")
        self.facts.append(
            f"{self.figures[EXPECTED]:,} confirmed messages and"
            f" {self.record_figures[EXPECTED]:,} confirmed records were looked for"
            f" after {self.ends.total():,} cuts"
        )

    def _control(self, site: _Site) -> None:
        if (reason := strace_missing()) is not None:
            self.facts.append(f"no control experiment: {reason}")
            return
        name = self.directory / "control"
        control = PowerCuts(name, self.random, self.publishers)
        image = site.make_disk("control")
        disk = site.mounts.mount(image, "ext4")
        cuts = control._live(site, image, disk, NO_SYNC)
        for cut in cuts:
            control._look_at(site, cut)
        site.mounts.unmount(disk)
        for what, figures in (
            ("messages", control.figures),
            ("records", control.record_figures),
        ):
            counts = f"{figures[LOST]:,} of {figures[EXPECTED]:,}"
            found = f"with syncs that do nothing {counts} confirmed {what} are lost"
            if figures[LOST]:
                self.facts.append(f"control: {found}: the harness sees it")
            else:
                self.wrong.append(f"the harness is blind: {found}")

    def _live(
        self, site: _Site, image: Path, disk: Path, injection: str = ""
    ) -> list[Cut]:
        """A broker with its load. Return the cuts, while it starts and later."""
        self.ledger.begin_life(f"life with {self.ends.total()} cuts before it")
        with self.broker(disk / "data", injection) as process:
            time.sleep(self.random.uniform(0, 0.5))
            cuts = [self._cut(site, image)]
            self.require_ready(process)
            if self.ledger.unseen > BACKLOG_MAX:
                drain(process.url, self.ledger)
            if self.records.is_long:
                audit(process.url, self.records)
            consumes = self.random.random() < 0.5
            with self.load(process.url, consumes=consumes):
                for _ in range(CUTS):
                    time.sleep(self.random.uniform(0.02, 0.6))
                    cuts.append(self._cut(site, image))
                if injection or self.random.random() < 0.5:
                    process.kill()
                elif status := process.stop():
                    self.wrong.append(f"SIGTERM between cuts: status {status}")
        self.ends["power cut"] += len(cuts)
        return cuts

    def _cut(self, site: _Site, image: Path) -> Cut:
        before, records = self.ledger.moment(), self.records.moment()
        copy = site.copy(image)
        return Cut(copy, Promise(before, self.ledger.moment()), records)

    def _look_at(self, site: _Site, cut: Cut, *, again: bool = False) -> None:
        """Start a broker there and drain it; perhaps the power goes once more."""
        disk = site.mounts.mount(cut.image, "ext4")
        second: Cut | None = None
        with self.broker(disk / "data") as process:
            if not again and self.random.random() < RECOVERING:
                time.sleep(self.random.uniform(0, 0.5))
                second = Cut(site.copy(cut.image), cut.promise, cut.records)
            if process.wait_ready():
                self.figures += cut.promise.judge(self.ledger, drained(process.url))
                stream = cut.records.stream
                found = list(records_of(process.url, self.records, stream))
                self.record_figures += self.records.judge(cut.records, found)
            else:
                self.wrong.append(f"no start after a cut: {process.last_words()}")
                self.figures[LOST] += len(cut.promise.before.confirmed)
        site.mounts.unmount(disk)
        disk.rmdir()
        cut.image.unlink()
        if second is not None:
            self.ends["power cut while it recovers"] += 1
            self._look_at(site, second, again=True)

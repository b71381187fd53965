"""The explorer: every state a crash can leave, and what recovery makes of it.

A random history runs on a simulated disk. After each single call that changes the disk
every variant of a power cut is tried at once: what was pending is kept, lost, cut,
torn, zeroed, in part and out of order, with garbage behind it. Each state is recovered,
compared with the ledger, recovered again, and some are crashed inside recovery.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from itertools import product
from random import Random
from typing import TYPE_CHECKING

from tests.simulated_disk import SECTOR, Pending, SimulatedDisk, broken, pages, torn
from tests.storage.support import (
    SMALL,
    STORE_ID,
    Store,
    contents_of,
    definitions_of,
    reopen,
)
from warren.errors import WarrenError
from warren_broker.storage import record as records
from warren_broker.storage.journal import Journal
from warren_broker.storage.ops import MESSAGE, MESSAGE_HEAD
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.record import RecordHeader, encode_record, seed_of
from warren_broker.storage.reserve import NAME as RESERVE_NAME
from warren_broker.storage.segment import (
    HEADER_SIZE,
    SegmentReader,
    name_of,
    number_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.storage.recovery import Recovered
    from warren_broker.storage.settings import JournalSettings

SEED = seed_of(STORE_ID)
PAGES_ALL = 6  # so many pages are kept in all combinations


class Violation(Exception):
    """A promise was broken."""


class PowerCut(Exception):
    """The moment of a crash inside recovery."""


def variants(
    pending: list[Pending], random: Random, *, every_byte: bool
) -> Iterator[tuple[str, list[Pending]]]:
    """What a power cut may keep of what was pending."""
    yield "all", pending
    for count in range(len(pending)):
        yield f"first {count}", pending[:count]
    yield "data without names", [each for each in pending if not each.name]
    yield "names without data", [each for each in pending if each.name]
    writes = [each for each in pending if each.kind == "write"]
    if not writes:
        return
    last = writes[-1]
    others = [each for each in pending if each is not last]
    for size in _cuts(len(last.data), every_byte=every_byte):
        yield f"torn at {size}", [*others, torn(last, size)]
        zeroed = replace(last, data=last.data[:size].ljust(len(last.data), b"\0"))
        yield f"zeros from {size}", [*others, zeroed]
    garbage = replace(last, data=last.data + random.randbytes(40))
    yield "garbage behind", [*others, garbage]
    parts = [
        part
        for each in pending
        for part in (pages(each, 256) if each.kind == "write" else [each])
    ]
    for mask in _masks(len(parts), random):
        yield (
            f"parts {mask}",
            [part for part, kept in zip(parts, mask, strict=True) if kept],
        )


def _cuts(size: int, *, every_byte: bool) -> Iterator[int]:
    yield 0
    yield from range(SECTOR, size, SECTOR)
    if every_byte:
        yield from range(1, min(64, size))
        yield from range(max(64, size - 64), size)


def _masks(count: int, random: Random) -> Iterator[tuple[bool, ...]]:
    if count <= PAGES_ALL:
        yield from product((False, True), repeat=count)
        return
    for _ in range(64):
        yield tuple(random.random() < 0.5 for _ in range(count))


def stale_tails(disk: SimulatedDisk) -> Iterator[tuple[str, bytes]]:
    """Bytes that were on the disk once and may be found behind the last record."""
    numbers = [n for n in map(number_of, disk.contents()) if n is not None]
    if not numbers:
        return
    name = name_of(max(numbers))
    reader = SegmentReader(disk, name, SEED)
    header = reader.header()
    if header is None:
        return
    offset, lsn, epoch = HEADER_SIZE, header.base_lsn, header.epoch
    bodies = []
    while (found := reader.record_at(offset)) is not None:
        offset, lsn, epoch = found.end, found.header.lsn + 1, found.header.epoch
        bodies.append(found)
    if reader.size != offset:
        return
    op = MESSAGE_HEAD.pack(MESSAGE, 99, 99, 0, 0, 0, 5) + b"stale"
    old = RecordHeader(records.OPS, len(op), lsn, epoch - 1, 0)
    yield name, encode_record(old, op, SEED)
    for found in bodies[:2]:
        # The header of a new record before the body of an old one of that size.
        size = len(found.body)
        new = RecordHeader(found.header.kind, size, lsn, epoch, lsn - 1)
        crc = records.body_crc(found.header, found.body, SEED)
        body = found.body + records.encode_crc(crc)
        yield name, records.encode_header(new, SEED) + body


class Explorer:
    """One history, and every crash in it. `states` counts what was recovered.

    Without `crashes` it only looks whether all can be read again that is written.
    """

    def __init__(
        self, seed: int, options: JournalSettings = SMALL, *, crashes: bool = True
    ) -> None:
        self.crashes = crashes
        self.random = Random(seed)
        self.states = 0
        self.points = 0
        self.is_safe = options.sync.mode.value == "always"
        self.sequence = 0
        self._seen: set[object] = set()
        self.store = Store(options, SimulatedDisk())
        self._watch()

    # --- the history

    def run(self, steps: int) -> None:
        """Go on for so many turns, each with its group commit."""
        for step in range(steps):
            self._turn()
            if self.random.random() < 0.2:
                continue  # the disk is slow
            if self.random.random() < 0.15:
                self._run_full()
            elif self.store.commit() is not None:
                self._check_point()
            self.store.tidy()
            journal = self.store.journal
            if self.random.random() < 0.2:
                journal.request_checkpoint()
                journal.request_sync()
            if journal.wants_snapshot or self.random.random() < 0.05:
                self.store.snapshot()
            if step % 17 == 16:
                self._restart()

    def _turn(self) -> None:
        random, store = self.random, self.store
        for _ in range(random.randint(1, 4)):
            if random.random() < 0.15:
                store.journal.bound_record(0)  # as after a turn that says much
            live = sorted(store.ledger.positions)
            choice = random.random()
            if choice < 0.45 or not live:
                self.sequence += 1
                copies = random.sample((2, 3), random.randint(0, 2))
                body = random.randbytes(random.choice((0, 9, 9, 120)))
                store.publish(1, self.sequence, body, *copies)
            elif choice < 0.8:
                # Old messages first, mostly: so segments become free.
                store.settle(min(random.sample(live, min(3, len(live)))))
            elif choice < 0.9:
                self.sequence += 1
                store.move(random.choice(live), 4, self.sequence)
            elif choice < 0.93:
                store.purge(random.choice((2, 3)))
            else:
                self.sequence += 1
                store.define(b"definition-%d" % self.sequence)
                if random.random() < 0.6:
                    store.snapshot()

    def _run_full(self) -> None:
        """The disk has not quite enough room, for one batch or two."""
        store, disk = self.store, self.store.disk
        used = sum(map(len, disk.contents().values()))
        disk.capacity = used + self.random.randint(0, 120)
        for _ in range(2):
            if store.commit() is not None:
                self._check_point()
        disk.capacity = None

    def _restart(self) -> None:
        store = self.store
        how = self.random.randrange(3)
        if how == 0:
            store.commit(is_last=True)
            self._check_point()
            disk = store.disk.crashed()
        elif how == 1:
            store.commit()
            disk = store.disk.crashed()
        else:
            disk = self._broken_sync()
        store.disk.on_change = lambda: None
        recovered = store.restart(disk)
        self._complain("a start", recovered)
        self._watch()
        self._check_point()

    def _broken_sync(self) -> SimulatedDisk:
        """A sync fails: what was written is lost, though it can still be read."""
        store, disk = self.store, self.store.disk
        failed = []

        def fail(method: str, name: str) -> None:
            if method == "sync" and not failed:
                failed.append(name)
                disk.lose_pending(name)
                raise broken(name)

        disk.on_call = fail
        self._turn()
        before = store.journal.committed
        written = store.commit()
        if failed and written is not None:
            journal = store.journal
            if written.outcome is not Outcome.FAILED or journal.committed != before:
                raise Violation("confirmed after a failed sync")
            journal.add_definition(b"after the end")
            if journal.take_batch() is not None:
                raise Violation("a dead journal goes on")
        disk.on_call = lambda method, name: None
        first = disk.killed()
        result = _state(reopen(first))
        if _state(reopen(first.crashed())) != result:
            raise Violation("what was recovered after a failed sync is lost (R8)")
        return first.crashed()

    # --- the crashes

    def _watch(self) -> None:
        self.store.disk.on_change = self._check_point

    def _check_point(self) -> None:
        """Try every crash at this moment, and whether all can be read without one."""
        self.points += 1
        if wrong := self.store.look_up():
            raise Violation(f"cannot be read again: {wrong}")
        if not self.crashes:
            return
        disk = self.store.disk
        every_byte = self.points % 13 == 0
        for name, keep in variants(disk.pending, self.random, every_byte=every_byte):
            crashed = disk.crashed(lambda pending, keep=keep: keep)
            self._check(name, crashed)
        for name, tail in stale_tails(disk.crashed()):
            crashed = disk.crashed()
            crashed.append(name, [tail])
            self._check("stale bytes", SimulatedDisk(crashed.current))

    def _check(self, name: str, crashed: SimulatedDisk) -> None:
        key = (
            tuple(crashed.contents().items()),
            self.store.journal.committed,
            self.store.journal.ticket,
        )
        if key in self._seen:
            return
        self._seen.add(key)
        self.states += 1
        inside = crashed.crashed() if self.states % 5 == 0 else None
        full = crashed.crashed() if self.states % 4 == 0 else None
        try:
            recovered = reopen(crashed)
        except (WarrenError, LookupError, OSError) as error:
            raise Violation(f"{name}: no start: {error!r}") from error
        self._complain(name, recovered)
        state = _state(recovered)
        calls = len(crashed.calls)
        again = crashed.crashed()
        second = reopen(again)
        if _state(second) != state:
            raise Violation(f"{name}: another start finds another state")
        if self.states % 3 == 0:
            self._go_on(name, again, second)
        if full is not None:
            self._start_full(name, full, state)
        if inside is not None and calls:
            self._crash_inside(name, inside, self.random.randrange(calls), state)

    def _go_on(self, name: str, disk: SimulatedDisk, recovered: Recovered) -> None:
        """The journal that was recovered keeps its promises."""
        journal = Journal(recovered.start, SMALL)
        journal.add_definition(b"later")
        journal.add_message(50, 1, 0, b"route", b"header", b"later")
        batch = journal.take_batch()
        if batch is None:
            raise Violation(f"{name}: the journal does not go on")
        batch.run(disk)
        last = reopen(disk.crashed())
        expected = contents_of(recovered) | {
            (50, 1): (0, b"route", b"header", b"later")
        }
        names = [*definitions_of(recovered), b"later"]
        if (contents_of(last), definitions_of(last)) != (expected, names):
            raise Violation(f"{name}: what came after the start is lost")

    def _start_full(self, name: str, disk: SimulatedDisk, state: object) -> None:
        """There is no room, but for the end of a segment."""
        disk.remove(RESERVE_NAME)
        disk.capacity = sum(map(len, disk.contents().values())) + records.OVERHEAD
        try:
            found = _state(reopen(disk))
        except OSError as error:
            raise Violation(f"{name}: no start on a full disk: {error!r}") from error
        if not found == state == _state(reopen(disk.crashed())):
            raise Violation(f"{name}: a start on a full disk finds another state")

    def _crash_inside(
        self, name: str, disk: SimulatedDisk, calls: int, state: object
    ) -> None:
        """Recovery itself is cut off after some calls."""

        def cut(method: str, file: str) -> None:
            if method != "read" and len(disk.calls) == calls:
                raise PowerCut

        disk.on_call = cut
        with contextlib.suppress(PowerCut):
            reopen(disk)
        for keep in (0, len(disk.pending), self.random.randint(0, len(disk.pending))):
            again = disk.crashed(lambda pending, keep=keep: pending[:keep])
            if _state(reopen(again)) != state:
                raise Violation(f"{name}: crashed inside recovery, call {calls}")

    def _complain(self, name: str, recovered: Recovered) -> None:
        journal = self.store.journal
        # Without a sync what was written is only safe while the system lives.
        is_safe = self.is_safe or name == "all"
        committed = journal.committed if is_safe else journal.synced
        wrong = self.store.ledger.complaints(recovered, committed)
        if wrong:
            raise Violation(f"{name}: {wrong}")


def _state(recovered: Recovered) -> object:
    lost = [(each.first_lsn, each.last_lsn) for each in recovered.damage]
    return contents_of(recovered), definitions_of(recovered), lost

"""The explorer of streams: every state a crash can leave, and what is made of it.

Like its twin for the journal: after each call that changes the disk every variant of a
power cut is tried, opened, compared with the ledger, opened again, gone on with, and
some are crashed inside the opening.
"""

from __future__ import annotations

import contextlib
from random import Random
from typing import TYPE_CHECKING

from tests.simulated_disk import SimulatedDisk, broken
from tests.storage.explorer import PowerCut, Violation, variants
from tests.storage.stream_bench import (
    NUMBER,
    STORE_ID,
    Bench,
    Seen,
    log_of,
    open_all,
    read_from,
)
from warren_broker.core.stream.log import Retention
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream import entry as entries
from warren_broker.storage.stream.chunk import Draft
from warren_broker.storage.stream.reading import StreamReader
from warren_broker.storage.stream.segment import SEGMENT, name_of, parse_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.storage.stream.log import StreamLog

CUTS_MAX = 12  # of the ways to lose what is pending, at most points


class StreamExplorer:
    """One history, and every crash in it. `states` counts what was opened."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.states = 0
        self.points = 0
        self._seen: set[object] = set()
        self.bench = Bench()
        self._watch()

    # --- the history

    def run(self, steps: int) -> None:
        """Go on for so many turns, each with its group commit."""
        for step in range(steps):
            self._turn()
            choice = self.random.random()
            if choice < 0.1:
                self._run_full()
            elif choice < 0.2:
                self.bench.retain(Retention(max_bytes=self.random.randint(700, 3000)))
            elif choice < 0.3:
                self.bench.compact(self.bench.now_ms - self.random.randint(0, 20))
            self.bench.commit()
            self._check_point()
            self._check_seals()
            if step % 4 == 3:
                self._restart()

    def _check_seals(self) -> None:
        """What is sealed has no runway any more."""
        for place in self.bench.log.sealed():
            size = self.bench.disk.size(name_of(NUMBER, place.first))
            if size != place.size:
                raise Violation(f"a sealed segment of {size} bytes, not {place.size}")

    def run_retention(self) -> None:
        """Let several segments go at once."""
        self._fill(4)
        self.bench.retain(Retention(max_bytes=0))
        self.bench.commit()
        self._check_point()

    def run_full(self) -> None:
        """Meet a full disk again and again, with a little in between."""
        for _ in range(6):
            self._fill(1)
            self._turn()
            self._run_full()

    def _fill(self, turns: int) -> None:
        """Append without a look at crashes."""
        self.bench.disk.on_change = lambda: None
        for _ in range(turns):
            self.bench.append(b"g", bytes(600))
            self.bench.commit()
        self._watch()

    def _turn(self) -> None:
        random, bench = self.random, self.bench
        for _ in range(random.randint(0, 3)):
            bench.now_ms += random.randint(0, 2)
            count = len(bench.ledger.appended)
            size = random.choice((0, 9, 40, 40, 40, 150, 800))
            producer = (random.choice("pqr"), count) if random.random() < 0.3 else None
            key = random.choice((b"a", b"b", b"c", b"d", b"e", b"f"))
            bench.append(key, random.randbytes(size), producer)

    def _run_full(self) -> None:
        """The disk has not quite enough room, for one batch or two."""
        disk = self.bench.disk
        disk.capacity = _used(disk) + self.random.randint(0, 400)
        for _ in range(2):
            end, used = self.bench.log.end, _used(disk)
            outcome = self.bench.commit()
            if outcome is Outcome.FULL and self.bench.log.end != end:
                raise Violation("confirmed without room")
            if outcome is Outcome.FULL and _used(disk) > used:
                raise Violation("what found no room has taken some")
            if outcome is Outcome.FAILED:
                raise Violation("a full disk is taken for a broken one")
            self._check_point()
        disk.capacity = None

    def _restart(self) -> None:
        bench = self.bench
        how = self.random.randrange(3)
        if how == 0:
            bench.commit(is_last=True)
            self._check_point()
            disk = bench.disk.crashed()
        elif how == 1:
            disk = bench.disk.crashed()
        else:
            disk = self._broken_sync()
        bench.disk.on_change = lambda: None
        try:
            bench.restart(disk)
        except AssertionError as error:
            raise Violation(f"a start: {error}") from error
        self._watch()
        self._check_point()

    def _broken_sync(self) -> SimulatedDisk:
        """A sync fails: what was written is lost, though it can still be read."""
        bench, disk = self.bench, self.bench.disk
        failed: list[str] = []

        def fail(method: str, name: str) -> None:
            if method == "sync" and not failed:
                failed.append(name)
                disk.lose_pending(name)
                raise broken(name)

        disk.on_call = fail
        self._turn()
        end = bench.log.end
        outcome = bench.commit()
        if failed and (outcome is not Outcome.FAILED or bench.log.end != end):
            raise Violation("confirmed after a failed sync")
        disk.on_call = lambda method, name: None
        first = disk.killed()
        state = _state(first)
        if _state(first.crashed()) != state:
            raise Violation("what was opened after a failed sync is lost (R8)")
        return first.crashed()

    # --- the crashes

    def _watch(self) -> None:
        self.bench.disk.on_change = self._check_point

    def _check_point(self) -> None:
        """Try every crash at this moment."""
        self.points += 1
        disk = self.bench.disk
        every_byte = self.points % 41 == 0
        cuts = list(variants(disk.pending, self.random, every_byte=every_byte))
        if not every_byte and len(cuts) > CUTS_MAX:
            cuts = self.random.sample(cuts, CUTS_MAX)
        for name, keep in cuts:
            self._check(name, disk.crashed(lambda pending, keep=keep: keep))
        for name, tail in _false_tails(disk.crashed()):
            crashed = disk.crashed()
            crashed.append(name, [tail])
            self._check("a message like a chunk", SimulatedDisk(crashed.current))

    def _check(self, name: str, crashed: SimulatedDisk) -> None:
        key = tuple(crashed.contents().items()), self.bench.ledger.safe
        if key in self._seen:
            return
        self._seen.add(key)
        self.states += 1
        inside = crashed.crashed() if self.states % 5 == 0 else None
        full = crashed.crashed() if self.states % 4 == 0 else None
        opened = open_all(crashed)
        log = log_of(opened, 99)
        wrong = self.bench.ledger.complaints(opened, log, crashed)
        if wrong:
            raise Violation(f"{name}: {wrong}")
        calls, again = len(crashed.calls), crashed.crashed()
        state = _state_of(log, crashed)
        if _state(again) != state:
            raise Violation(f"{name}: another start finds another state")
        if self.states % 3 == 0:
            self._go_on(name, again, self.random.choice((1, 200)))
        if full is not None:
            self._start_full(name, full, state)
        if inside is not None and calls:
            self._crash_inside(name, inside, self.random.randrange(calls), state)

    def _start_full(self, name: str, disk: SimulatedDisk, state: object) -> None:
        """There is no room, and later there is some."""
        disk.capacity = _used(disk)
        try:
            found = _state(disk)
        except OSError as error:
            raise Violation(f"{name}: no start on a full disk: {error!r}") from error
        if found != state:
            raise Violation(f"{name}: a start on a full disk finds another state")
        disk.capacity = None
        self._go_on(name, disk, 200)

    def _go_on(self, name: str, disk: SimulatedDisk, times: int) -> None:
        """The log that was opened keeps its promises."""
        log = log_of(open_all(disk), 99)
        end, later = log.end, b"later " * times
        log.append(self.bench.now_ms, None, b"key", b"header", later, None)
        batch = log.take_batch(syncs=True)
        assert batch is not None
        batch.run(disk)
        log.on_written(batch, None)
        last = disk.crashed()
        opened = open_all(last)
        log = log_of(opened)
        found = list(read_from(StreamReader(last, STORE_ID), log, end))
        expected = [(end, Seen(self.bench.now_ms, b"key", later))]
        if opened.damage or log.end != end + 1 or found != expected:
            raise Violation(f"{name}: what came after the start is lost: {found}")

    def _crash_inside(
        self, name: str, disk: SimulatedDisk, calls: int, state: object
    ) -> None:
        """The opening itself is cut off after some calls."""

        def cut(method: str, file: str) -> None:
            if method not in ("read", "open") and len(disk.calls) == calls:
                raise PowerCut

        disk.on_call = cut
        with contextlib.suppress(PowerCut):
            open_all(disk)
        for keep in (0, len(disk.pending), self.random.randint(0, len(disk.pending))):
            again = disk.crashed(lambda pending, keep=keep: pending[:keep])
            if _state(again) != state:
                raise Violation(f"{name}: crashed inside the opening, call {calls}")


def _false_tails(disk: SimulatedDisk) -> Iterator[tuple[str, bytes]]:
    """A message that was torn, with a chunk in it that says that all was safe."""
    named = [parse_name(name) for name in disk.contents()]
    firsts = [each.first for each in named if each and each.suffix == SEGMENT]
    if not firsts:
        return
    name = name_of(NUMBER, max(firsts))
    draft = Draft(1)
    draft.pieces = [entries.HEAD.pack(8, entries.MARK, 0, 0, 0)]
    draft.size, draft.count = entries.HEAD.size, 1
    others_seed = chunks.seed_of(bytes(16), NUMBER, max(firsts))
    whole = b"".join(chunks.compose(draft, 1000, 1000, 1, others_seed))
    yield name, b"torn" + whole


def _used(disk: SimulatedDisk) -> int:
    return sum(map(len, disk.contents().values()))


def _state(disk: SimulatedDisk) -> object:
    return _state_of(log_of(open_all(disk)), disk)


def _state_of(log: StreamLog, disk: SimulatedDisk) -> object:
    """What the log knows, and all bytes that can be read."""
    named = disk.contents().items()
    segments = {name: data for name, data in named if name.endswith(SEGMENT)}
    return log.first, log.end, log.producers, segments

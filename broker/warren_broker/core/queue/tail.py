"""Tail: the end of a long backlog, packed where that may be."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, final

from warren_broker.core.queue import packing
from warren_broker.core.queue.entry import READY, SETTLED
from warren_broker.core.queue.expiry import Reminder
from warren_broker.core.queue.packing import Packed, pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warren_broker.core.parking import Spill
    from warren_broker.core.queue.entry import Entry
    from warren_broker.core.queue.queue import Queue


class SetAside(Exception):
    """Entries cannot be read: they stay where they are, but not in the backlog.

    Attributes:
        count: of them.
        size_bytes: of their messages.
    """

    def __init__(self, count: int, size_bytes: int) -> None:
        super().__init__(count, size_bytes)
        self.count = count
        self.size_bytes = size_bytes


@final
class Tail:
    """The end of a backlog: runs, and the entries that will be the next one.

    Attributes:
        size: how many entries, settled ones included.
    """

    __slots__ = (
        "_filling",
        "_in_memory",
        "_parking",
        "_queue",
        "_reminders",
        "_runs",
        "size",
    )

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._parking = queue.vhost.broker.parking
        self._runs: deque[Packed | list[Entry]] = deque()
        self._in_memory: deque[Packed] = deque()  # those of the runs that are
        self._filling: list[Entry] = []
        self._reminders: dict[Packed, Reminder] = {}  # of those with a time to live
        self.size = 0

    def push(self, entry: Entry) -> None:
        """Add an entry behind all others."""
        self.size += 1
        filling = self._filling
        filling.append(entry)
        if len(filling) >= packing.RUN:
            self._end_run()

    def take_first(self) -> list[Entry]:
        """Take out the first entries; none if there are no more.

        Raises SetAside if they cannot be read: then others are the first.
        """
        if not self._runs:
            entries, self._filling = self._filling, []
            self.size = 0
            return entries
        run = self._runs[0]
        if isinstance(run, list):
            self._drop_first()
            return run
        try:
            entries = _read(run)
        except OSError as error:
            self._drop_first()
            self._report(run, error)
            raise SetAside(len(run), run.measure()) from error
        self._drop_first()
        self._watch(entries)
        return entries

    def unpack(self, run: Packed) -> None:
        """Some of these entries have expired: make objects of all of them.

        If they cannot be read, they can wait for their turn.
        """
        try:
            entries = _read(run)
        except OSError:
            return
        self._runs[self._runs.index(run)] = entries
        self._let_go(run)
        self._watch(entries)

    def spill_last(self, spill: Spill) -> None:
        """Give the last run that is in memory to the disk; there is one."""
        run = self._in_memory.pop()
        self._parking.account(self, -run.size)
        run.spill(spill)

    def forget_settled(self) -> None:
        """Let go of entries that were removed; of those that are packed none was."""
        runs = (
            [one for one in run if one.state == READY] if isinstance(run, list) else run
            for run in self._runs
        )
        self._runs = deque(run for run in runs if len(run))
        self._filling = [one for one in self._filling if one.state == READY]
        self.size = sum(map(len, self._runs)) + len(self._filling)

    def clear(self) -> deque[Packed | list[Entry]]:
        """Forget everything. Return what is to be freed, see `Sweeper`."""
        for run in self._runs:
            if isinstance(run, Packed):
                self._let_go(run)
        self._filling = []
        self.size = 0
        litter, self._runs = self._runs, deque()
        return litter

    def __iter__(self) -> Iterator[Entry]:
        """Go through all entries; those that are packed are made for it, or OSError."""
        for run in self._runs:
            yield from run if isinstance(run, list) else run.entries()
        yield from self._filling

    def places(self) -> Iterator[tuple[int, int]]:
        """Go through sequence and position of each, without reading."""
        for run in self._runs:
            yield from places_of(run) if isinstance(run, list) else run.places()
        yield from places_of(self._filling)

    def measure(self) -> int:
        """Return the size in bytes of all messages, without reading."""
        return sum(
            size_of(run) if isinstance(run, list) else run.measure()
            for run in (*self._runs, self._filling)
        )

    def _end_run(self) -> None:
        """Pack what has come, unless most of it has expired by now."""
        entries = [entry for entry in self._filling if entry.state == READY]
        self.size -= len(self._filling) - len(entries)
        self._filling = entries
        if len(entries) <= packing.RUN // 2:
            return
        self._filling = []
        packed = pack(entries)
        if packed is None:
            self._runs.append(entries)
            return
        if packed.expires_at < packing.NEVER:
            self._remind(packed, entries)
        self._park(packed)

    def _park(self, run: Packed) -> None:
        self._runs.append(run)
        parking = self._parking
        self._in_memory.append(run)
        parking.account(self, run.size)
        limit = self._queue.rules.max_in_memory_bytes
        if parking.spill is None:
            return
        if limit is not None and parking.bytes_of(self) > limit:
            self.spill_last(parking.spill)
        parking.make_room()

    def _drop_first(self) -> None:
        run = self._runs.popleft()
        self.size -= len(run)
        if isinstance(run, Packed):
            self._let_go(run)
        if self._runs and isinstance(following := self._runs[0], Packed):
            following.want()

    def _let_go(self, run: Packed) -> None:
        if run in self._reminders:
            self._reminders.pop(run).state = SETTLED
        if run.is_spilled:
            run.discard()
        else:
            self._in_memory.remove(run)  # mostly the first
            self._parking.account(self, -run.size)

    def _remind(self, run: Packed, entries: list[Entry]) -> None:
        """Watch `run` instead of `entries`, which nobody else knows."""
        for entry in entries:
            entry.state = SETTLED
        reminder = self._reminders[run] = RunReminder(self, run, entries[0].sequence)
        self._queue.times.remind(reminder, run.expires_at)

    def _watch(self, entries: list[Entry]) -> None:
        times = self._queue.times
        for entry in entries:
            if entry.expires_at is not None:
                times.limit_life_until(entry, entry.expires_at)

    def _report(self, run: Packed, error: OSError) -> None:
        queue = self._queue
        queue.unreadable.append(run)
        places = [*run.places()]
        queue.vhost.broker.notice(
            "messages unreadable",
            vhost=queue.vhost.name,
            queue=queue.name,
            count=len(run),
            stored=sum(1 for _, position in places if position),
            first=places[0][0],
            last=places[-1][0],
            reason=str(error),
        )


@final
class RunReminder(Reminder):
    """Stands for the entries of a run."""

    __slots__ = ("_run", "_tail")

    def __init__(self, tail: Tail, run: Packed, sequence: int) -> None:
        super().__init__(sequence)
        self._tail = tail
        self._run = run

    def unpack(self) -> None:
        self._tail.unpack(self._run)


def places_of(entries: Iterable[Entry]) -> Iterator[tuple[int, int]]:
    """Go through sequence and position of those of `entries` that are ready."""
    return ((one.sequence, one.position) for one in entries if one.state == READY)


def size_of(entries: Iterable[Entry]) -> int:
    """Return the size in bytes of the messages of those that are ready."""
    return sum(one.message.size_bytes for one in entries if one.state == READY)


def _read(run: Packed) -> list[Entry]:
    """Return the entries; a disk gets a second chance. Raises OSError."""
    try:
        return run.entries()
    except OSError:
        return run.entries()

"""Packing: what stands far behind in a backlog is bytes, not objects.

A parked message that nobody will look at soon costs its body and a few bytes; as an
entry with a message it would cost 300 more, and the cyclic collector would go through
them. Entries that somebody else knows (because they expire, or are unique) stay as
they are.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.message import Message
from warren_broker.core.queue.entry import READY, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.message import Header, Route
    from warren_broker.core.parking import Spill
    from warren_broker.core.queue.queue import Queue

RUN: Final = 512
"""Entries that are packed, and unpacked, together."""

_RETURNS_MAX: Final = 0xFFFF

# same header and route as before, returns, steps from the last sequence, position,
# body size
_RECORD: Final = Struct(">?HIQI")


@final
class Run:
    """Some entries in a row, as bytes, which may be on disk.

    Routes are shared by many messages and stay objects, like the headers that are.

    Attributes:
        size: of the bytes.
        is_spilled: they are on disk, or on their way there.
    """

    __slots__ = (
        "_count",
        "_data",
        "_headers",
        "_kind",
        "_place",
        "_queue",
        "_routes",
        "_sequence",
        "_spill",
        "size",
    )

    def __init__(self, entries: list[Entry]) -> None:
        first = entries[0]
        self._count = len(entries)
        self._queue: Queue = first.queue
        self._sequence = first.sequence
        self._kind = type(first.message.header)
        self._headers: list[Header | bytes] = []
        self._routes: list[Route] = []
        self._data: bytes | None = b"".join(self._parts(entries))
        self.size = len(self._data)
        self._spill: Spill | None = None
        self._place = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_spilled(self) -> bool:
        return self._spill is not None

    def spill(self, spill: Spill) -> None:
        """Let the bytes go to disk."""
        if self._data is not None:
            self._spill = spill
            self._place = spill.write(self, self._data)

    def on_written(self) -> None:
        """The bytes are on disk, and need not be in memory."""
        self._data = None

    def want(self) -> None:
        """The entries will be needed soon."""
        if self._spill is not None and self._data is None:
            self._spill.want(self._place)

    def discard(self) -> None:
        """The entries will be needed no more."""
        if self._spill is not None:
            self._spill.free(self._place)

    def entries(self) -> list[Entry]:
        """Return the entries, made anew. Raises OSError if the disk fails."""
        data, queue, sequence = self._bytes(), self._queue, self._sequence
        kinds = zip(self._headers, self._routes, strict=True)
        header: Header
        route: Route
        entries = []
        offset = 0
        for _ in range(self._count):
            is_same, returns, step, position, size = _RECORD.unpack_from(data, offset)
            offset += _RECORD.size
            if not is_same:
                kept, route = next(kinds)
                header = self._kind.restored(kept) if isinstance(kept, bytes) else kept
            sequence += step
            body = data[offset : offset + size]
            offset += size
            entry = Entry(Message(route, header, body), queue, sequence)
            entry.position = position
            entry.delivery_count = returns
            entries.append(entry)
        return entries

    def _bytes(self) -> bytes:
        if self._data is not None or self._spill is None:
            return self._data or b""
        return self._spill.read(self._place)

    def _parts(self, entries: list[Entry]) -> Iterator[bytes]:
        sequence = self._sequence
        header: Header | None = None
        route: Route | None = None
        for entry in entries:
            message = entry.message
            is_same = message.header is header and message.route is route
            if not is_same:
                header, route = message.header, message.route
                self._headers.append(header if header.repeats else header.payload)
                self._routes.append(route)
            step, sequence = entry.sequence - sequence, entry.sequence
            body = message.body
            returns = entry.delivery_count
            yield _RECORD.pack(is_same, returns, step, entry.position, len(body))
            yield body


@final
class Tail:
    """The end of a backlog: runs, and the entries that will be the next one.

    Attributes:
        size: how many entries, settled ones included.
    """

    __slots__ = ("_filling", "_in_memory", "_parking", "_queue", "_runs", "size")

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._parking = queue.vhost.broker.parking
        self._runs: deque[Run | list[Entry]] = deque()
        self._in_memory: deque[Run] = deque()  # those of the runs that are
        self._filling: list[Entry] = []
        self.size = 0

    def push(self, entry: Entry) -> None:
        """Add an entry behind all others."""
        self.size += 1
        filling = self._filling
        filling.append(entry)
        if len(filling) >= RUN:
            self._filling = []
            self._park(Run(filling) if _can_be_packed(filling) else filling)

    def take_first(self) -> list[Entry]:
        """Take out the first entries; none if there are no more.

        Raises:
            OSError: the disk fails; they stay where they are.
        """
        if not self._runs:
            entries, self._filling = self._filling, []
            self.size = 0
            return entries
        run = self._runs[0]
        entries = run if isinstance(run, list) else run.entries()
        self._runs.popleft()
        self.size -= len(entries)
        if isinstance(run, list):
            return entries
        self._let_go(run)
        if self._runs and isinstance(following := self._runs[0], Run):
            following.want()
        return entries

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

    def clear(self) -> deque[Run | list[Entry]]:
        """Forget everything. Return what is to be freed, see `Sweeper`."""
        for run in self._runs:
            if isinstance(run, Run):
                self._let_go(run)
        self._filling = []
        self.size = 0
        litter, self._runs = self._runs, deque()
        return litter

    def __iter__(self) -> Iterator[Entry]:
        """Go through all entries; those that are packed are made for it."""
        for run in self._runs:
            yield from run if isinstance(run, list) else run.entries()
        yield from self._filling

    def _park(self, run: Run | list[Entry]) -> None:
        self._runs.append(run)
        if isinstance(run, list):
            return
        parking = self._parking
        self._in_memory.append(run)
        parking.account(self, run.size)
        limit = self._queue.rules.max_in_memory_bytes
        if parking.spill is None:
            return
        if limit is not None and parking.bytes_of(self) > limit:
            self.spill_last(parking.spill)
        parking.make_room()

    def _let_go(self, run: Run) -> None:
        if run.is_spilled:
            run.discard()
        else:
            self._in_memory.popleft()
            self._parking.account(self, -run.size)


def _can_be_packed(entries: list[Entry]) -> bool:
    """Whether nobody but the backlog knows any of `entries`."""
    return all(
        type(entry) is Entry
        and entry.expires_at is None
        and entry.delivery_count <= _RETURNS_MAX
        for entry in entries
    )

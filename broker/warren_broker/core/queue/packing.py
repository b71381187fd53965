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
    from warren_broker.core.queue.queue import Queue

RUN: Final = 512
"""Entries that are packed, and unpacked, together."""

_RETURNS_MAX: Final = 0xFFFF

# same header and route as before, returns, steps from the last sequence, position,
# body size
_RECORD: Final = Struct(">?HIQI")


@final
class Run:
    """Some entries in a row, as bytes.

    Routes are shared by many messages and stay objects, like the headers that are.
    """

    __slots__ = (
        "_count",
        "_data",
        "_headers",
        "_kind",
        "_queue",
        "_routes",
        "_sequence",
    )

    def __init__(self, entries: list[Entry]) -> None:
        first = entries[0]
        self._count = len(entries)
        self._queue: Queue = first.queue
        self._sequence = first.sequence
        self._kind = type(first.message.header)
        self._headers: list[Header | bytes] = []
        self._routes: list[Route] = []
        self._data = b"".join(self._parts(entries))

    def __len__(self) -> int:
        return self._count

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

    def entries(self) -> list[Entry]:
        """Return the entries, made anew."""
        data, queue, sequence = self._data, self._queue, self._sequence
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


@final
class Tail:
    """The end of a backlog: runs, and the entries that will be the next one.

    Attributes:
        runs: in their order; those that cannot be packed are lists.
        size: how many entries, settled ones included.
    """

    __slots__ = ("_filling", "runs", "size")

    def __init__(self) -> None:
        self.runs: deque[Run | list[Entry]] = deque()
        self.size = 0
        self._filling: list[Entry] = []

    def push(self, entry: Entry) -> None:
        """Add an entry behind all others."""
        self.size += 1
        filling = self._filling
        filling.append(entry)
        if len(filling) >= RUN:
            self.runs.append(Run(filling) if _can_be_packed(filling) else filling)
            self._filling = []

    def take_first(self) -> list[Entry]:
        """Take out the first entries; none if there are no more."""
        if self.runs:
            run = self.runs.popleft()
            self.size -= len(run)
            return run if isinstance(run, list) else run.entries()
        entries, self._filling = self._filling, []
        self.size = 0
        return entries

    def forget_settled(self) -> None:
        """Let go of entries that were removed; of those that are packed none was."""
        runs = (
            [one for one in run if one.state == READY] if isinstance(run, list) else run
            for run in self.runs
        )
        self.runs = deque(run for run in runs if len(run))
        self._filling = [one for one in self._filling if one.state == READY]
        self.size = sum(map(len, self.runs)) + len(self._filling)

    def __iter__(self) -> Iterator[Entry]:
        """Go through all entries; those that are packed are made for it."""
        for run in self.runs:
            yield from run if isinstance(run, list) else run.entries()
        yield from self._filling


def _can_be_packed(entries: list[Entry]) -> bool:
    """Whether nobody but the backlog knows any of `entries`."""
    return all(
        type(entry) is Entry
        and entry.expires_at is None
        and entry.delivery_count <= _RETURNS_MAX
        for entry in entries
    )

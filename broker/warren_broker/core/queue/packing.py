"""Packing: what stands far behind in a backlog is bytes, not objects.

A parked message that nobody will look at soon costs its body and a few bytes; as an
entry with a message it would cost 300 more, and the cyclic collector would go through
them. When there is no room even for that, the bytes go to a disk; those of messages
that the store has are there already, and are only forgotten.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from heapq import merge
from itertools import pairwise, repeat
from typing import TYPE_CHECKING, Final, NamedTuple, cast, final
from zlib import crc32

from warren_broker.core.checksum import checksum_of, verify
from warren_broker.core.message import Message
from warren_broker.core.queue.entry import Entry
from warren_broker.core.queue.places import Places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from warren_broker.core.message import Header, Route
    from warren_broker.core.parking import Spill
    from warren_broker.core.queue.queue import Queue

RUN: Final = 512
"""Entries that are packed, and unpacked, together."""

_RETURNS_MAX: Final = 0xFFFF
NEVER: Final = math.inf
"""When that expires which has no time to live."""


class Packed(ABC):
    """Some entries in order, as bytes, which may be on disk.

    Attributes:
        size: of the bytes.
        expires_at: when the first of them expires; `NEVER` if none does.
    """

    __slots__ = ("expires_at", "size")

    size: int
    expires_at: float

    @abstractmethod
    def __len__(self) -> int:
        """Return how many entries there are."""

    @property
    @abstractmethod
    def is_spilled(self) -> bool:
        """Whether they are on disk, or on their way there."""

    @abstractmethod
    def spill(self, spill: Spill) -> None:
        """Let the bytes go to disk: to `spill`, unless the store has them."""

    @abstractmethod
    def want(self) -> None:
        """The entries will be needed soon."""

    @abstractmethod
    def discard(self) -> None:
        """The entries will be needed no more."""

    @abstractmethod
    def entries(self) -> list[Entry]:
        """Return the entries, made anew.

        Raises OSError if the disk fails, or does not give back what it was given.
        """

    @abstractmethod
    def places(self) -> Iterator[tuple[int, int]]:
        """Go through sequence and position of each, without reading."""

    @abstractmethod
    def measure(self) -> int:
        """Return the size in bytes of all messages, as limits count, not reading."""


class _Kind(NamedTuple):
    """What messages in a row have in common, from the one at `start` on.

    Routes are shared by many messages and stay objects, like the headers that are.
    """

    start: int
    header: Header | bytes
    route: Route

    @property
    def encoded(self) -> tuple[bytes, bytes]:
        """Route and header as bytes."""
        header = self.header
        payload = header if isinstance(header, bytes) else header.payload
        return self.route.encoded, payload


@final
class Run(Packed):
    """Entries of which the store has all, or none."""

    __slots__ = (
        "_checksum",
        "_data",
        "_expiries",
        "_header_type",
        "_kinds",
        "_measure",
        "_place",
        "_places",
        "_queue",
        "_returns",
        "_spill",
    )

    def __init__(self, entries: list[Entry]) -> None:
        messages = [entry.message for entry in entries]
        self._queue = cast("Queue", entries[0].queue)
        self._places = Places(entries)
        returns = [entry.delivery_count for entry in entries]
        self._returns: Sequence[int] | None = None
        if any(returns):
            self._returns = array("H", returns)
        expiries = [
            NEVER if entry.expires_at is None else entry.expires_at for entry in entries
        ]
        self.expires_at = min(expiries)
        self._expiries: Sequence[float] | None = None
        if self.expires_at < NEVER:
            self._expiries = array("d", expiries)
        self._header_type = type(messages[0].header)
        self._kinds = _kinds_of(messages)
        bodies = [message.body for message in messages]
        sizes = array("I", map(len, bodies))
        self._data: bytes | None = b"".join([sizes.tobytes(), *bodies])
        self.size = len(self._data)
        self._measure = 0
        self._spill: Spill | None = None
        self._place = 0  # in the spill; 0: the store has it
        self._checksum = 0

    def __len__(self) -> int:
        return len(self._places)

    @property
    def is_spilled(self) -> bool:
        return self._spill is not None

    def spill(self, spill: Spill) -> None:
        if self._data is None:
            return
        self._measure = self.measure()
        self._spill = spill
        if not self._places.are_stored:
            self._checksum = crc32(self._data)
            self._place = spill.write(self, self._data)
            return
        bodies = memoryview(self._data)[self._sizes_end :]
        self._checksum = checksum_of(bodies, [kind.encoded for kind in self._kinds])
        store = self._queue.vhost.broker.store
        if store is not None:
            store.when_written(self)

    def on_written(self) -> None:
        """The bytes are on disk, and need not be in memory."""
        self._data = None
        if not self._place:
            self._kinds = []

    def want(self) -> None:
        if self._spill is None or self._data is not None:
            return
        store = self._queue.vhost.broker.store
        if self._place:
            self._spill.want(self._place)
        elif store is not None:
            store.want(self._queue.number, *self._places.ends)

    def discard(self) -> None:
        if self._spill is not None and self._place:
            self._spill.free(self._place)

    def entries(self) -> list[Entry]:
        queue = self._queue
        entries = []
        for message, (sequence, position), returns in zip(
            self._messages(), self._places, self._returns or repeat(0), strict=False
        ):
            entry = Entry(message, queue, sequence)
            entry.position = position
            entry.delivery_count = returns
            entries.append(entry)
        for entry, expires_at in zip(entries, self._expiries or (), strict=False):
            if expires_at != NEVER:
                entry.expires_at = expires_at
        return entries

    def places(self) -> Iterator[tuple[int, int]]:
        return iter(self._places)

    def measure(self) -> int:
        if self.is_spilled:
            return self._measure
        starts = [*(kind.start for kind in self._kinds), len(self)]
        return (
            self.size
            - self._sizes_end
            + sum(
                (stop - start) * sum(map(len, kind.encoded))
                for kind, (start, stop) in zip(
                    self._kinds, pairwise(starts), strict=True
                )
            )
        )

    @property
    def _sizes_end(self) -> int:
        """Where the bodies begin: their sizes come first."""
        return len(self) * array("I").itemsize

    def _messages(self) -> list[Message]:
        if self._data is not None or self._spill is None:
            return self._unpacked(self._data or b"")
        if self._place:
            data = self._spill.read(self._place)
            verify(crc32(data), self._checksum)
            return self._unpacked(data)
        store = self._queue.vhost.broker.store
        if store is None:
            raise OSError("there is no store any more")
        return store.recall(self._queue.number, self._places, self._checksum)

    def _unpacked(self, data: bytes) -> list[Message]:
        offset = self._sizes_end
        sizes = array("I", data[:offset])
        starts = [*(kind.start for kind in self._kinds), len(self)]
        messages = []
        for kind, (start, stop) in zip(self._kinds, pairwise(starts), strict=True):
            header, route = kind.header, kind.route
            if isinstance(header, bytes):
                header = self._header_type.restored(header)
            for size in sizes[start:stop]:
                end = offset + size
                messages.append(Message(route, header, data[offset:end]))
                offset = end
        return messages


@final
class Blend(Packed):
    """Entries of which the store has some: those, and the others, as two runs."""

    __slots__ = ("_runs",)

    def __init__(self, entries: list[Entry]) -> None:
        self._runs = (
            Run([entry for entry in entries if entry.position]),
            Run([entry for entry in entries if not entry.position]),
        )
        self.size = sum(run.size for run in self._runs)
        self.expires_at = min(run.expires_at for run in self._runs)

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    @property
    def is_spilled(self) -> bool:
        return self._runs[0].is_spilled

    def spill(self, spill: Spill) -> None:
        for run in self._runs:
            run.spill(spill)

    def want(self) -> None:
        for run in self._runs:
            run.want()

    def discard(self) -> None:
        for run in self._runs:
            run.discard()

    def entries(self) -> list[Entry]:
        return [*merge(*(run.entries() for run in self._runs))]

    def places(self) -> Iterator[tuple[int, int]]:
        return merge(*(run.places() for run in self._runs))

    def measure(self) -> int:
        return sum(run.measure() for run in self._runs)


def pack(entries: list[Entry]) -> Packed | None:
    """Return `entries` packed; None if somebody may look for one: if it is unique."""
    if not all(
        type(entry) is Entry and entry.delivery_count <= _RETURNS_MAX
        for entry in entries
    ):
        return None
    stored = sum(1 for entry in entries if entry.position)
    return Blend(entries) if 0 < stored < len(entries) else Run(entries)


def _kinds_of(messages: Iterable[Message]) -> list[_Kind]:
    kinds = []
    header: Header | None = None
    route: Route | None = None
    for index, message in enumerate(messages):
        if message.header is not header or message.route is not route:
            header, route = message.header, message.route
            kept = header if header.repeats else header.payload
            kinds.append(_Kind(index, kept, route))
    return kinds

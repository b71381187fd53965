"""Compaction: of each key only the newest record stays, at the offset it has.

First all sealed segments are read, the newest first, and it is noted which records have
a newer one with the same key. Only 16 bytes of a key are kept, and not those of all
keys if they are too many: then the segments are read again for the others. After that
each segment that has such records is written anew without them, the oldest first: a
tombstone must not be gone before what it has deleted. What was a chunk stays one, since
its records have their time from it; the empty ones are joined to the next.

Everything is done in small steps, since the processor is wanted by others.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, final

from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream import segment as segments
from warren_broker.storage.stream.chunk import Draft
from warren_broker.storage.stream.entry import DELTA, is_tombstone, spans
from warren_broker.storage.stream.segment import SegmentFile, name_of
from warren_broker.storage.stream.writing import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warren_broker.storage.disk import Disk
    from warren_broker.storage.stream.batch import Replacement
    from warren_broker.storage.stream.chunk import Chunk
    from warren_broker.storage.stream.log import Place, StoreFacts

KEYS_MAX: Final = 1_000_000
"""So many keys are remembered at a time, with about 100 bytes each."""
STEP_BYTES: Final = 128 << 10
"""A step ends with the chunk that passes it."""

_DIGEST_BYTES: Final = 16
_HALF_MAX: Final = 1 << 64  # the space of the first 8 bytes of a digest


@final
class _Keys:
    """Digests of the keys that have been seen, in one part of their space."""

    def __init__(self, low: int, keys_max: int) -> None:
        self.low = low
        self.high = _HALF_MAX
        self._keys_max = keys_max
        self._seen: set[bytes] = set()

        self._here: dict[bytes, int] = {}  # in the present segment: the last place

    def find_older(self, digest: bytes, at: int) -> int | None:
        """Return the place of the record that a newer one makes needless, if any.

        `digest` is that of the record at the place `at` of the present segment.
        """
        if not self.low <= int.from_bytes(digest[:8], "big") < self.high:
            return None
        if digest in self._seen:
            return at
        before = self._here.get(digest)
        self._here[digest] = at
        if before is None and len(self._here) + len(self._seen) > self._keys_max:
            self._narrow()
        return before

    def end_segment(self) -> None:
        """The next segment is older."""
        self._seen.update(self._here)
        self._here.clear()

    def _narrow(self) -> None:
        """Leave the upper half to another time."""
        if self.high - self.low > 1:
            self.high = (self.low + self.high) // 2
            limit = self.high.to_bytes(9, "big")[1:]
            self._seen = {each for each in self._seen if each[:8] < limit}
            here = self._here.items()
            self._here = {each: at for each, at in here if each[:8] < limit}


@final
class Compaction:
    """One compaction of one stream. `steps` runs in a thread of its own.

    What it yields is to be put in place, if the segment is still there. A segment with
    damage is left alone, and with one every tombstone is.
    """

    def __init__(
        self,
        number: int,
        places: list[Place],
        facts: StoreFacts,
        key_of: Callable[[bytes, int], bytes],
        tombstones_before_ms: int,
        keys_max: int = KEYS_MAX,
    ) -> None:
        """Compact the sealed segments at `places`, oldest first.

        `key_of` returns the key of the entry that begins at a place in some bytes.
        """
        self.number = number
        self._places = places
        self._facts = facts
        self._key_of = key_of
        self._before_ms = tombstones_before_ms
        self._keys_max = keys_max
        self._gone: dict[int, bytearray] = {}  # by segment: a bit for each record
        self._tombstones: set[int] = set()  # segments that have old ones
        self._damaged: set[int] = set()

    def steps(self, disk: Disk) -> Iterator[Replacement | None]:
        """Yield after each step, and what is ready for its place. Raises `OSError`."""
        low = 0
        while low < _HALF_MAX:
            keys = _Keys(low, self._keys_max)
            for place in reversed(self._places):
                yield from self._look(disk, place, keys)
            low = keys.high
        drops_tombstones = not self._damaged
        for place in self._places:
            if place.first not in self._damaged:
                yield from self._rewrite(disk, place, drops_tombstones)

    def _look(self, disk: Disk, place: Place, keys: _Keys) -> Iterator[None]:
        """Note which records of a segment have a newer one."""
        gone = self._gone.setdefault(place.first, bytearray())
        count = 0
        for chunk in self._chunks(disk, place):
            if chunk is None:
                yield
                continue
            data, header = chunk.data, chunk.header
            gone.extend(bytes(max(0, (count + header.records >> 3) + 1 - len(gone))))
            is_old = header.timestamp_ms < self._before_ms
            is_compacted = header.kind == chunks.COMPACTED
            for _, start, _ in spans(data, has_deltas=is_compacted):
                key = self._key_of(data, start)
                digest = blake2b(key, digest_size=_DIGEST_BYTES).digest()
                older = keys.find_older(digest, count)
                if older is not None:
                    gone[older >> 3] |= 1 << (older & 7)
                if is_old and is_tombstone(data, start):
                    self._tombstones.add(place.first)
                count += 1
        keys.end_segment()

    def _rewrite(
        self, disk: Disk, place: Place, drops_tombstones: bool
    ) -> Iterator[Replacement | None]:
        gone = self._gone[place.first]
        drops_tombstones &= place.first in self._tombstones
        if not (any(gone) or drops_tombstones):
            return
        before_ms = self._before_ms if drops_tombstones else 0
        revision = place.revision + 1
        writer = SegmentWriter(disk, self._facts, self.number, place.first, revision)
        count = 0
        for chunk in self._chunks(disk, place):
            if chunk is None:
                yield None
                continue
            is_old = chunk.header.timestamp_ms < before_ms
            kept = []
            has_deltas = chunk.header.kind == chunks.COMPACTED
            for delta, start, end in spans(chunk.data, has_deltas=has_deltas):
                is_gone = gone[count >> 3] >> (count & 7) & 1
                count += 1
                if not (is_gone or (is_old and is_tombstone(chunk.data, start))):
                    kept.append((delta, chunk.data[start:end]))
            if kept:
                writer.add(_draft_of(chunk, kept, writer.state.offset), chunk.end)
        if writer.state.records == count:
            writer.discard()
        else:
            writer.skip(place.end)
            yield writer.finish()

    def _chunks(self, disk: Disk, place: Place) -> Iterator[Chunk | None]:
        """Yield the chunks with records, and None where a step ends.

        A segment that is gone, or damaged, has no more of them.
        """
        try:
            opened = disk.open(name_of(self.number, place.first))
        except FileNotFoundError:
            self._damaged.add(place.first)
            return
        try:
            seed = chunks.seed_of(self._facts.store_id, self.number, place.first)
            file = SegmentFile(opened, seed, place.size)
            position, at = segments.HEADER_SIZE, place.first
            step = position
            while position < file.size:
                found = file.chunk_at(position)
                if found is None or found.chunk.header.first != at:
                    break
                if found.chunk.header.kind != chunks.TRACKING:
                    yield found.chunk
                position, at = found.end_position, found.chunk.end
                if position - step >= STEP_BYTES:
                    step = position
                    yield None
            if at != place.end:
                self._damaged.add(place.first)
        finally:
            opened.close()


def _draft_of(chunk: Chunk, kept: list[tuple[int, bytes]], first: int) -> Draft:
    """What is left of a chunk, in one that begins at the offset `first`."""
    shift = chunk.header.first - first  # what was left out before it
    draft = Draft(chunk.header.timestamp_ms, chunks.COMPACTED)
    for delta, entry in kept:
        draft.pieces += (DELTA.pack(delta + shift), entry)
        draft.size += DELTA.size + len(entry)
    draft.count = len(kept)
    return draft

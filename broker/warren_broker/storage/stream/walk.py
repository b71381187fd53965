"""A walk through one segment: what can be used, and what is torn or damaged.

Where a chunk is missing, somebody may *attest* that it was safe: the index, the next
segment (which is begun only when this one is safe), or a later chunk, that says what
was safe when it was composed. What was attested and cannot be read is damage: it is
reported, and everything stays where it is. What nobody attests was never confirmed:
there the segment is cut (rule R3).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, final

from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream import segment as segments
from warren_broker.storage.stream.books import beginning_of
from warren_broker.storage.stream.damage import StreamDamage
from warren_broker.storage.stream.index import IndexEntry, is_due
from warren_broker.storage.stream.producers import note_producers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.storage.stream.segment import Found, SegmentFile


@final
class SegmentWalk:
    """One reading of a segment. When `chunks` has ended, the rest tells how it went.

    Attributes:
        state: of all that was read. Its position is where the segment ends, or goes on.
        entries: for the index, from `start` on.
        doubtful_from: what begins at this position may not be safe; None: all is.
    """

    def __init__(
        self,
        name: str,
        file: SegmentFile,
        first: int,
        known: IndexEntry | None,
        attested: int,
    ) -> None:
        """Begin where the index says, and the segment has confirmed it.

        All before the offset `attested` was safe once.
        """
        start = known or beginning_of(first)
        self._name = name
        self._file = file
        self._attested = max(attested, start.offset)
        self._safe_position = start.position
        self._doubtful: deque[tuple[int, int]] = deque()
        if known is None:
            # Even the name and the header are safe only if a record is.
            self._doubtful.append((0, first + 1))
        self._indexed = start.position
        self.state = start
        self.entries: list[IndexEntry] = []
        self.damage: list[StreamDamage] = []
        self.producers: dict[str, int] = {}

    @property
    def doubtful_from(self) -> int | None:
        """See above."""
        self._forget_safe(self._attested)
        return self._doubtful[0][0] if self._doubtful else None

    def run(self) -> None:
        """Read to the end. Raises `OSError`."""
        for _ in self.chunks():
            pass

    def chunks(self) -> Iterator[Found]:
        """Yield what can be used. Raises `OSError`."""
        self._read_producers()
        while self.state.position < self._file.size:
            found = self._file.chunk_at(self.state.position)
            if found is None or found.chunk.header.first != self.state.offset:
                found = self._find_attested()
                if found is None:
                    break
            self._accept(found)
            yield found
        if self.state.offset < self._attested:
            self._note(self._attested, "records are missing")
            self.state = self.state._replace(
                offset=self._attested, position=self._file.size
            )

    def _read_producers(self) -> None:
        """Begin with what the index knows of: all producers up to `start`."""
        position = self.state.tracking
        while 0 < position < self.state.position:
            found = self._file.chunk_at(position)
            if found is None:
                found = self._file.find(position, 0)
            if found is None:
                return
            if found.position < self.state.position:
                self._note_producers(found)
            position = found.end_position

    def _find_attested(self) -> Found | None:
        """The next whole chunk, if what is missing before it was safe once."""
        position, offset = self.state.position, self.state.offset
        following = later = self._file.find(position, offset)
        is_attested = offset < self._attested
        while later is not None and not is_attested:
            is_attested = later.chunk.safe > offset
            behind = later.end_position
            later = self._file.chunk_at(behind) or self._file.find(behind, offset)
        if following is None or not is_attested:
            return None
        self._note(following.chunk.header.first, "chunks are damaged")
        return following

    def _accept(self, found: Found) -> None:
        chunk, header = found.chunk, found.chunk.header
        self._forget_safe(chunk.safe)
        if found.position >= self._safe_position:
            # A chunk that tells of producers alone is safe with the next record.
            is_empty = header.kind == chunks.TRACKING
            self._doubtful.append((found.position, chunk.end + is_empty))
        self._note_producers(found)
        tracking = self.state.tracking
        if header.kind == chunks.TRACKING:
            tracking = found.position
        elif chunk.producers:
            tracking = tracking or segments.HEADER_SIZE
        last_ms = self.state.timestamp_ms
        self.state = IndexEntry(
            offset=chunk.end,
            position=found.end_position,
            records=self.state.records + header.records,
            tracking=tracking,
            timestamp_ms=max(last_ms, header.timestamp_ms if header.records else 0),
        )
        if is_due(self._indexed, self.state.position):
            self._indexed = self.state.position
            self.entries.append(self.state)

    def _note_producers(self, found: Found) -> None:
        chunk = found.chunk
        if chunk.header.kind == chunks.TRACKING:
            self.producers = chunks.decode_producers(chunk.data)
        elif chunk.producers:
            note_producers(self.producers, chunks.decode_producers(chunk.producers))

    def _forget_safe(self, safe: int) -> None:
        while self._doubtful and self._doubtful[0][1] <= safe:
            self._doubtful.popleft()

    def _note(self, end: int, text: str) -> None:
        state = self.state
        damage = StreamDamage(self._name, state.position, state.offset, end, text)
        self.damage.append(damage)

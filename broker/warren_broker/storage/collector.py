"""The record that is being collected: what happens, as bytes and in the books.

The positions it gives are exact: where a record begins is known as soon as the one
before it is closed, and a segment is changed only between two records. Bodies are
never copied here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from warren_broker.storage import record as records
from warren_broker.storage import segment as segments
from warren_broker.storage.ops import (
    COPY,
    COPY_OP,
    DEFINE,
    DEFINE_HEAD,
    MESSAGE,
    MESSAGE_HEAD,
    RANGE,
    RANGE_OP,
    SETTLED,
    SETTLED_OP,
)
from warren_broker.storage.space import OFFSET_BITS, OFFSET_MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.storage.ops import Message
    from warren_broker.storage.space import Segment, Space

_SEQUENCE_BITS: Final = 64


class Moved(NamedTuple):
    """A message that was written again, in a record that is not written yet."""

    key: int
    position: int  # the new one
    before: int | None  # what was remembered of it
    segment: Segment  # where it was
    offset: int


class Collector:
    """Adds what happens to a record. The journal closes it, and begins the next."""

    __slots__ = (
        "_added_before",
        "_base",
        "_body_start",
        "_chunks",
        "_defined",
        "_fillers",
        "_message",
        "_moved",
        "_moved_below",
        "_moves",
        "_moves_under_way",
        "_offset",
        "_record_start",
        "_segment",
        "_space",
        "_written_end",
        "ticket",
    )

    def __init__(self, space: Space, segment: Segment, ticket: int) -> None:
        self._space = space
        self.ticket = ticket  # number of the record that is being collected
        self._moved: dict[int, int] = {}  # queue and sequence -> where it is now
        self._moved_below = 0  # older positions may have moved
        self._begin_record(segment, 0, 0)
        self._moves_under_way: list[Moved] = []  # of records closed and not written
        self._written_end = self._record_position  # what is before it can be read

    def _begin_record(self, segment: Segment, start: int, fillers: int) -> None:
        """Collect from now on for the record that begins at `start` in `segment`.

        Before it come the segment's header if that is the beginning, and as many empty
        records as numbers were given to records that are not there.
        """
        self._segment = segment
        self._record_start = start
        self._fillers = fillers
        head = records.HEADER_SIZE + (0 if start else segments.HEADER_SIZE)
        self._body_start = start + head + fillers * records.OVERHEAD
        self._base = segment.number << OFFSET_BITS
        self._offset = self._body_start
        self._message = 0
        self._added_before = segment.added
        self._defined = 0
        self._chunks: list[bytes] = []
        self._moves: list[Moved] = []

    @property
    def is_begun(self) -> bool:
        """Whether anything is in the record."""
        return bool(self._chunks)

    def add_message(
        self,
        queue: int,
        sequence: int,
        expires_ms: int,
        route: bytes,
        header: bytes,
        body: bytes,
    ) -> int:
        """A message is in a queue; return its position. It is safe with `ticket`.

        `expires_ms` is milliseconds since 1970, 0 for never. Hot: once a message.
        """
        offset = self._message = self._offset
        a, b, c = len(route), len(header), len(body)
        head = MESSAGE_HEAD.pack(MESSAGE, queue, sequence, expires_ms, a, b, c)
        self._chunks += (head, route, header, body)
        self._offset = offset + 31 + a + b + c
        self._segment.added += 1
        return self._base | offset

    def add_copy(self, queue: int, sequence: int, expires_ms: int) -> int:
        """The message that was added last is in one more queue; return its position.

        Only for a message of this `ticket`.
        """
        offset = self._offset
        back = offset - self._message
        self._chunks.append(COPY_OP.pack(COPY, queue, sequence, expires_ms, back))
        self._offset = offset + 25
        self._segment.added += 1
        return self._base | offset

    def add_settled(self, queue: int, sequence: int, position: int) -> None:
        """A message has left its queue for good. Hot: once a message."""
        self._chunks.append(SETTLED_OP.pack(SETTLED, queue, sequence))
        self._offset += 13
        self._forget(queue, sequence, position)

    def add_range(
        self, queue: int, first: int, last: int, gone: Iterable[tuple[int, int]]
    ) -> None:
        """All messages of a queue from sequence `first` to `last` are gone.

        `gone` is sequence and position of those that were there.
        """
        self._chunks.append(RANGE_OP.pack(RANGE, queue, first, last))
        self._offset += RANGE_OP.size
        for sequence, position in gone:
            self._forget(queue, sequence, position)

    def add_definition(self, cbor: bytes) -> None:
        """Something was declared, changed or deleted."""
        self._chunks += (DEFINE_HEAD.pack(DEFINE, len(cbor)), cbor)
        self._offset += DEFINE_HEAD.size + len(cbor)
        self._defined += 1
        self._segment.defined_at = self.ticket

    def _forget(self, queue: int, sequence: int, position: int) -> None:
        if position < self._moved_below:
            key = queue << _SEQUENCE_BITS | sequence
            position = self._moved.pop(key, position)
        segment = self._space.segments[position >> OFFSET_BITS]
        segment.gone.append(position & OFFSET_MASK)
        segment.settled_by = self.ticket

    def _move(
        self, segment: Segment, offset: int, message: Message, *, copy: bool
    ) -> None:
        """A message of an old segment is written again; `copy`: like the last one."""
        queue, sequence, expires_ms = (
            message.queue,
            message.sequence,
            message.expires_ms,
        )
        if copy:
            position = self.add_copy(queue, sequence, expires_ms)
        else:
            position = self.add_message(queue, sequence, expires_ms, *message[4:])
        key = queue << _SEQUENCE_BITS | sequence
        before = self._moved.get(key)
        self._moves.append(Moved(key, position, before, segment, offset))
        self._moved[key] = position
        self._moved_below = max(self._moved_below, (segment.number + 1) << OFFSET_BITS)
        segment.gone.append(offset)
        segment.settled_by = self.ticket

    def _take_back_moves(self, moves: list[Moved]) -> set[int]:
        """Those messages are still where they were; return their keys."""
        for move in reversed(moves):
            if self._moved.get(move.key) != move.position:
                continue  # it was settled since
            move.segment.gone.remove(move.offset)
            if move.before is None:
                del self._moved[move.key]
            else:
                self._moved[move.key] = move.before
        return {move.key for move in moves}

    @property
    def _record_position(self) -> int:
        """Where the record begins that is being collected."""
        return self._segment.number << OFFSET_BITS | self._record_start

    @property
    def _next_position(self) -> int:
        """Where the next record begins of those that no batch under way has."""
        return self._record_position

    def whereabouts(
        self, queue: int, places: Iterable[tuple[int, int]], *, is_run: bool
    ) -> list[int]:
        """Where messages can be read that were written once; see `position_of`.

        What is moved is still where it was until it is written. `is_run`: the batch
        under way has written what it has to, though nobody was told yet.
        """
        if not self._moved:
            return [position for _, position in places]
        end = self._next_position if is_run else self._written_end
        before: dict[int, int] = {}
        found = []
        for sequence, given in places:
            position = given
            if given < self._moved_below:
                key = queue << _SEQUENCE_BITS | sequence
                position = self._moved.get(key, given)
                if position >= end:
                    before = before or self._places_before()
                while position >= end:
                    position = before[position]
            found.append(position)
        return found

    def _places_before(self) -> dict[int, int]:
        """Where messages were that are moved by records which may not be written."""
        return {
            move.position: move.segment.number << OFFSET_BITS | move.offset
            for move in (*self._moves_under_way, *self._moves)
        }

    def position_of(self, queue: int, sequence: int, position: int) -> int:
        """Where a message is now, by the position it was given."""
        return self._moved.get(key_of(queue, sequence), position)


def key_of(queue: int, sequence: int) -> int:
    """Queue and sequence in one number."""
    return queue << _SEQUENCE_BITS | sequence

"""Lookup: messages that live in the journal are read again, by their places.

The message is what is referred to, not the record it is in: a record is one group
commit, which may be a thousand times what is asked for. So its checksum is no help
here; who remembers a place remembers one for what is there, and compares.

Nothing of the journal is changed or waited for. The thread that writes it may remove a
segment at any moment, but only when all that lived there is written elsewhere.
"""

from __future__ import annotations

import errno
import struct
from bisect import bisect_right
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, final

from warren_broker.storage.ops import (
    COPY,
    COPY_OP,
    MESSAGE,
    MESSAGE_HEAD,
    read_message,
)
from warren_broker.storage.segment import name_of
from warren_broker.storage.space import OFFSET_BITS, OFFSET_MASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warren_broker.storage.disk import Disk
    from warren_broker.storage.journal import Journal

Content = tuple[bytes, bytes, bytes]
"""Route, header and body of a message."""

GAP: Final = 1 << 16
"""Bytes between two messages that are read with them: less than another read costs."""
BLOCK: Final = 1 << 22
"""Bytes that are read at a time, unless a message is larger."""

_SLACK: Final = 1 << 12  # bytes behind the last head, which may be all of its message


@final
class Lookup:
    """Reads messages of one journal."""

    __slots__ = ("_disk", "_journal")

    def __init__(self, journal: Journal, disk: Disk) -> None:
        self._journal = journal
        self._disk = disk

    def read(self, queue: int, places: Iterable[tuple[int, int]]) -> list[Content]:
        """Return messages that are written and live, by sequence and position.

        The position is the one that the message was given when it was added. Raises
        OSError; EIO if there is something else.
        """
        places = [*places]
        try:
            return self._read(queue, places, is_run=False)
        except FileNotFoundError:
            # The batch under way has removed a segment: what it moved, it has written.
            return self._read(queue, places, is_run=True)

    def want(self, queue: int, first: tuple[int, int], last: tuple[int, int]) -> None:
        """Have the system read ahead from one place to another, if they are near."""
        places = (first, last)
        start, stop = self._journal.whereabouts(queue, places, is_run=False)
        if 0 <= stop - start <= BLOCK:
            name, offset = name_of(start >> OFFSET_BITS), start & OFFSET_MASK
            self._disk.want(name, offset, stop - start + _SLACK)

    def _read(
        self, queue: int, places: list[tuple[int, int]], *, is_run: bool
    ) -> list[Content]:
        """Go through the segments in their order, whatever that of the places is."""
        positions = self._journal.whereabouts(queue, places, is_run=is_run)
        sequences = [sequence for sequence, _ in places]
        in_order = sorted(zip(positions, sequences, strict=True))
        contents: list[Content] = []
        for number, wanted in groupby(in_order, lambda each: each[0] >> OFFSET_BITS):
            segment = _Segment(self._disk, number, [*wanted])
            contents += segment.contents(queue)
        ordered = [position for position, _ in in_order]
        if ordered == positions:
            return contents
        found = dict(zip(ordered, contents, strict=True))
        return [found[position] for position in positions]


@final
class _Segment:
    """One segment, and which messages of it are wanted: position and sequence."""

    __slots__ = ("_block", "_disk", "_name", "_size", "_spans", "_start", "_wanted")

    def __init__(self, disk: Disk, number: int, wanted: list[tuple[int, int]]) -> None:
        self._disk = disk
        self._name = name_of(number)
        self._size = disk.size(self._name)
        self._wanted = [(place & OFFSET_MASK, sequence) for place, sequence in wanted]
        self._spans = [*_spans([offset for offset, _ in self._wanted])]
        self._block = b""
        self._start = 0  # of the block

    def contents(self, queue: int) -> Iterator[Content]:
        """Yield what is wanted, in order.

        Raises OSError. Hot: once a message that was spilled.
        """
        read_head, head_size = MESSAGE_HEAD.unpack_from, MESSAGE_HEAD.size
        block, start = self._block, self._start
        for offset, sequence in self._wanted:
            at = offset - start
            route = at + head_size
            if route > len(block):
                block, start = self._load(offset, head_size), offset
                at, route = 0, head_size
            if route <= len(block):  # else it is a copy, very near the end
                kind, owner, number, _, a, b, c = read_head(block, at)
                header = route + a
                body = header + b
                end = body + c
                is_it = kind == MESSAGE and owner == queue and number == sequence
                if is_it and end <= len(block):
                    yield block[route:header], block[header:body], block[body:end]
                    continue
            yield self._content_at(offset, queue, sequence)
            block, start = self._block, self._start

    def _content_at(self, offset: int, queue: int, sequence: int) -> Content:
        """Return one message, or that of which there is a copy. Raises OSError."""
        head = self._take(offset, MESSAGE_HEAD.size)
        try:
            if head[0] == COPY:
                _, owner, number, _, back = COPY_OP.unpack_from(head)
                offset -= back
                head = self._take(offset, MESSAGE_HEAD.size)
                kind, _, _, _, *sizes = MESSAGE_HEAD.unpack(head)
            else:
                kind, owner, number, _, *sizes = MESSAGE_HEAD.unpack(head)
        except (struct.error, IndexError) as error:
            raise self._nothing_at(offset) from error
        size = MESSAGE_HEAD.size + sum(sizes)
        is_it = (kind, owner, number) == (MESSAGE, queue, sequence)
        if not is_it or offset + size > self._size:
            raise self._nothing_at(offset)
        message, _ = read_message(self._take(offset, size), 0)
        return message.route, message.header, message.body

    def _nothing_at(self, offset: int) -> OSError:
        return OSError(errno.EIO, f"not the message that was at {offset}", self._name)

    def _take(self, offset: int, size: int) -> bytes:
        """Return bytes of the file, fewer at its end."""
        at = offset - self._start
        if at < 0 or at + size > len(self._block):
            self._load(offset, size)
            at = 0
        return self._block[at : at + size]

    def _load(self, offset: int, size: int) -> bytes:
        """Read from `offset` on, at least `size` bytes unless the file ends."""
        at = bisect_right(self._spans, offset, key=itemgetter(0)) - 1
        stop = self._spans[at][1] if at >= 0 else offset
        wanted = max(size, min(stop - offset, BLOCK))
        self._block = self._disk.read(self._name, offset, wanted)
        self._start = offset
        return self._block


def _spans(offsets: list[int]) -> Iterator[tuple[int, int]]:
    """Yield from where to where can be read at once: neighbours with small gaps."""
    start = last = offsets[0]
    for offset in offsets:
        if offset - last > GAP:
            yield start, last + _SLACK
            start = offset
        last = offset
    yield start, last + _SLACK

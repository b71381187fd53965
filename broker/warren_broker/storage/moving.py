"""Moving: the messages that still live in an old segment are read again.

The journal decides that it is worth while and what lives; a `Move` reads it in another
thread; the journal then writes those that live even now at its end. A queue need not
know: the journal remembers where a moved message is until it is settled.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, final

from warren_broker.storage import record as records
from warren_broker.storage.ops import Message, scan_ops
from warren_broker.storage.segment import HEADER_SIZE, SegmentReader, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.storage.disk import Disk
    from warren_broker.storage.segment import Found
    from warren_broker.storage.space import Segment

MOVE_BYTES_MAX: Final = 1 << 22  # parts of messages read by one move


@final
class Move:
    """A piece of a segment to be read: numbers in, messages out."""

    __slots__ = (
        "_gone",
        "_live",
        "_seed",
        "end",
        "found",
        "known",
        "number",
        "revision",
        "start",
    )

    def __init__(self, segment: Segment, seed: int) -> None:
        self.number = segment.number
        self.start = segment.cursor or HEADER_SIZE
        self.end = 0  # where the next move goes on; 0: nothing is left
        self.found: list[tuple[int, Message]] = []  # offset in the segment
        self._live = None if segment.live is None else array("I", segment.live)
        self._gone = array("I", segment.gone)
        self.known = len(segment.gone)
        self.revision = segment.revision
        self._seed = seed

    def run(self, disk: Disk) -> None:
        """Read. Called in another thread, once. Raises `OSError`, `OpsError`."""
        reader = SegmentReader(disk, name_of(self.number), self._seed)
        gone = frozenset(self._gone)
        live = None if self._live is None else frozenset(self._live)
        offset, size = self.start, 0
        while size < MOVE_BYTES_MAX:
            found = reader.record_at(offset)
            if found is None or found.header.kind != records.OPS:
                return
            for place, message in _messages(found):
                if place not in gone and (live is None or place in live):
                    self.found.append((place, message))
                    size += len(message.header) + len(message.body)
            offset = found.end
        self.end = offset


def _messages(found: Found) -> Iterator[tuple[int, Message]]:
    """The messages of a record, each with its offset in the segment."""
    start = found.offset + records.HEADER_SIZE
    for _, op in scan_ops(found.body):
        if isinstance(op, Message):
            yield start + op.offset, op

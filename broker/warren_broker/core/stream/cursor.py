"""Cursor: a place in a stream, in one of its pages or where the next one begins.

With a snapshot to deliver it reads all of that first, and then stands in records of its
own.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.stream.reader import Reader
    from warren_broker.core.stream.record import Page, Record
    from warren_broker.core.stream.snapshot import Snapshot

GAP: Final = "x-stream-gap"
SNAPSHOT: Final = "x-snapshot"
DELIVERY_COUNT: Final = "x-delivery-count"


@final
class Cursor:
    """Where a reader is.

    Attributes:
        page: shared by all who read there; None: its records are for this place alone.
        records: those of the page.  index: of the next one of them.
        next: the first offset that they do not tell about.
        marks: the headers that each delivery has besides.
        gap: records it has lost, of which the next delivery tells.
        snapshot: what it reads for, before anything is delivered.
        is_in_order: what was delivered of the page was settled from the beginning on.
    """

    __slots__ = (
        "_begun_at",
        "_kept",
        "_usual_marks",
        "gap",
        "index",
        "is_in_order",
        "marks",
        "next",
        "page",
        "records",
        "snapshot",
    )

    def __init__(self, marks: Mapping[str, object]) -> None:
        self.page: Page | None = None
        self.records: list[Record] = []
        self.index = 0
        self.next = 0
        self.marks = marks
        self.gap = 0
        self.snapshot: Snapshot | None = None
        self._kept: Snapshot | None = None  # its records are delivered
        self.is_in_order = True
        self._usual_marks = marks
        self._begun_at = 0

    @property
    def offset(self) -> int:
        """The offset of the next record; where it may be, if no page tells."""
        if self.snapshot is not None:
            return self._begun_at
        if self.index < len(self.records):
            return self.records[self.index].offset
        return self.next

    def begin(self, offset: int) -> None:
        """Stand before `offset`."""
        self._begun_at = self.next = offset

    def leave(self) -> None:
        """Nothing more is read: stay here, and keep no page."""
        self.next = self.offset
        if self.snapshot is not None:
            self.snapshot.release()
        self._leave_kept()
        self.page = self.snapshot = None
        self.records, self.index = [], 0

    def _leave_kept(self) -> None:
        if self._kept is not None:
            self._kept.release()
            self._kept = None
            self.records, self.index = [], 0

    def take(self, page: Page) -> None:
        """Go to the next offset in `page`, which tells about it."""
        self.page = page
        self.records = page.records
        self.index = 0
        if page.start < self.next:
            self.index = bisect_left(page.records, self.next, key=_offset)
        self.next = page.end
        self.is_in_order = True

    def turn(self, reader: Reader) -> bool:
        """Go on with the page that is next; False: `reader` is told when it is there.

        What it was to read next may be gone: then with the oldest that is left.
        """
        stream, log = reader.stream, reader.stream.log
        self.marks = self._usual_marks
        self._leave_kept()
        if self.next < log.first:
            self._jump(reader, log.first)
        if self.next >= log.end:
            stream.wait_at_end(reader)
            return False
        page = stream.page_with(self.next, reader)
        if page is not None:
            self.take(page)
        return page is not None

    def _jump(self, reader: Reader, first: int) -> None:
        missed = first - self.next
        self.gap += missed
        self.next = first
        reader.stream.note_gap(reader.consumer.tag, missed)

    def read_for_snapshot(self, snapshot: Snapshot, reader: Reader) -> bool:
        """Read one more page, or have the snapshot if all is read; False as in `turn`.

        Raises what `Snapshot.add` raises.
        """
        records, self.index = self.records[self.index :], len(self.records)
        if records:
            snapshot.add(records)
        elif self.next < snapshot.end:
            self.next = max(self.next, reader.stream.log.first)
            return self.turn(reader)
        else:
            self.snapshot, self._kept = None, snapshot
            self.page = None
            self.records, self.index = snapshot.records(), 0
            self.next = snapshot.end
            self.marks = {**self._usual_marks, SNAPSHOT: True}
        return True


def _offset(record: Record) -> int:
    return record.offset

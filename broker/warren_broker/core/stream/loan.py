"""Loan: records of one page that a reader has handed out in one go.

Nearly all readers settle in order what they are given in order. So what they hold need
not be an entry each, if none of it has a time limit: a loan is a stretch of a page, of
which the beginning is settled again and again until nothing is left. Whatever else
happens to one of its records, it is broken up into entries first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren_broker.core.stream.entry import StreamEntry
from warren_broker.core.stream.record import Page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.stream.reader import Reader

LOAN_MAX: Final = 250
"""Records handed out in one go: afterwards it is asked again whether there is room."""


@final
class Loan:
    """Records that follow each other, and are held by one consumer.

    Attributes:
        reader: who lent them.  marks: the headers that each of them has besides.
        page: where they are, from `start` to before `stop`.
        tag: the delivery tag of the first; the others have those that follow.
    """

    __slots__ = ("marks", "page", "reader", "start", "stop", "tag")

    def __init__(
        self,
        reader: Reader,
        page: Page,
        start: int,
        stop: int,
        marks: Mapping[str, object],
    ) -> None:
        self.reader = reader
        self.page = page
        self.start = start
        self.stop = stop
        self.marks = marks
        self.tag = 0

    @property
    def count(self) -> int:
        """How many records are lent."""
        return self.stop - self.start

    @property
    def offset(self) -> int:
        """The offset of the first."""
        return self.page.records[self.start].offset

    def entries(self, now: float) -> list[StreamEntry]:
        """Return an entry for each record, delivered `now` as far as can be told."""
        reader, entries = self.reader, []
        for record in self.page.records[self.start : self.stop]:
            entry = StreamEntry(record.message, reader, record.offset, self.marks)
            entry.consumer = reader.consumer
            entry.delivered_at = now
            entries.append(entry)
        return entries

    def leave_page(self) -> None:
        """Keep no more of the page than what is lent."""
        records = self.page.records[self.start : self.stop]
        self.page = Page(records[0].offset, records[-1].offset + 1, records)
        self.start, self.stop = 0, len(records)

    def annex(self, other: Loan) -> bool:
        """Become one with `other` if it goes on where this one stops; say whether."""
        if (
            other.start != self.stop
            or other.tag != self.tag + self.count
            or other.page is not self.page
            or other.reader is not self.reader
            or other.marks is not self.marks
        ):
            return False
        self.stop = other.stop
        return True

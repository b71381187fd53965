"""Loans: those of one channel that are not settled, in the order of their tags."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from warren_broker.core.queue import Entry
    from warren_broker.core.stream.loan import Loan


@final
class Loans:
    """The loans of a channel; only the first is settled, and only from its beginning.

    Attributes:
        count: of the records that are lent.
    """

    __slots__ = ("_loans", "count")

    def __init__(self) -> None:
        self._loans: deque[Loan] = deque()
        self.count = 0

    def add(self, loan: Loan) -> Loan:
        """Remember `loan`, and return the one of which it is now a part."""
        self.count += loan.count
        if self._loans and self._loans[-1].annex(loan):
            return self._loans[-1]
        self._loans.append(loan)
        return loan

    def settle(self, tag: int) -> bool:
        """`tag` was acked. False, and nothing is done: it is not the first."""
        if not self.count or self._loans[0].tag != tag:
            return False
        self._settle_first(1)
        return True

    def settle_until(self, tag: int) -> bool:
        """All up to `tag` were acked. False, and nothing is done: it is not lent."""
        if not any(loan.tag <= tag < loan.tag + loan.count for loan in self._loans):
            return False
        while self._loans and (first := self._loans[0]).tag <= tag:
            self._settle_first(min(first.count, tag + 1 - first.tag))
        return True

    def settle_run(self, tags: list[int], start: int) -> int:
        """The next of `tags` from `start` on were acked: settle those that are first.

        Return how many these are. There is a loan.
        """
        first = self._loans[0]
        most = min(first.count, len(tags) - start)
        tag, count = first.tag, 0
        while count < most and tags[start + count] == tag + count:
            count += 1
        if count:
            self._settle_first(count)
        return count

    def _settle_first(self, count: int) -> None:
        loan = self._loans[0]
        self.count -= count
        loan.start += count
        loan.tag += count
        if loan.start == loan.stop:
            self._loans.popleft()
        loan.reader.settle_loan(loan, count)

    def break_up(self) -> dict[int, Entry]:
        """Return all as entries, by tag; there are no loans then."""
        loans, self._loans = self._loans, deque()
        self.count = 0
        entries: dict[int, Entry] = {}
        for loan in loans:
            entries.update(enumerate(loan.reader.break_up(loan), loan.tag))
        return entries

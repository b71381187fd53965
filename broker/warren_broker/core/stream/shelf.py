"""Shelf: pages of one stream that are in memory, for all who read there."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from warren_broker.core.stream.record import Page

PAGES_MIN: Final = 2
"""Pages that are there however large they are: one, and what was read ahead of it. It
would drive out a large one, and each of its readers had a copy of its own."""
ENCODED_MAX: Final = 8
"""Pages, the newest, of which is kept what front ends have made of them."""


@final
class Shelf:
    """Pages by where they begin, in the order they came; the oldest leave first.

    Who reads goes from the end of one page to the beginning of the next, so nearly
    every page is found at once. At the end of a stream they are small, and thousands.
    """

    __slots__ = ("_pages", "_starts", "bytes_max", "size_bytes")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.size_bytes = 0
        self._pages: OrderedDict[int, Page] = OrderedDict()
        self._starts: list[int] = []  # of all of them, sorted

    def __len__(self) -> int:
        return len(self._pages)

    def put(self, page: Page) -> None:
        """Keep `page`, and as many of those before it as there is room for."""
        start = page.start
        if start in self._pages:
            self.size_bytes -= self._pages.pop(start).size_bytes
        else:
            insort(self._starts, start)
        self._pages[start] = page
        self.size_bytes += page.size_bytes
        for older in islice(reversed(self._pages.values()), ENCODED_MAX, None):
            if not older.encoded:
                break
            older.encoded.clear()
        while self.size_bytes > self.bytes_max and len(self._pages) > PAGES_MIN:
            first, oldest = self._pages.popitem(last=False)
            del self._starts[bisect_left(self._starts, first)]
            self.size_bytes -= oldest.size_bytes
            oldest.encoded.clear()

    def find(self, offset: int) -> Page | None:
        """Return the page that tells about `offset`; None if it is not here."""
        page = self._pages.get(offset)
        if page is None:
            index = bisect_right(self._starts, offset)
            if not index:
                return None
            page = self._pages[self._starts[index - 1]]
        return page if page.end > offset else None

    def clear(self) -> None:
        """Let go of everything."""
        self._pages.clear()
        self._starts.clear()
        self.size_bytes = 0

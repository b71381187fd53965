"""Agenda: messages that wait for their moment, soonest first.

One heap of plain tuples. A message that has a name is not in the heap but beside it,
under its name: when it is taken out its body goes at once, and the tuple that is left
is passed over when its time comes. Should such tuples become the most part of the heap,
`tidy` moves the others to a new one, a few with each that is taken out, however fast
that goes: to sort millions anew in one go would take a second.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from warren_broker.core.message import Message

Name = tuple[str, str]
"""An exchange, and what a message is called there."""

_Item = tuple[float, int, "Message | Name"]

_STALE_MAX: Final = 64
_TIDIED_AT_ONCE: Final = 4


@final
class Agenda:
    """Messages in order of their moments (any seconds), and of their coming.

    Attributes:
        count: how many wait.
    """

    __slots__ = ("_added", "_heap", "_named", "_tidied", "count")

    def __init__(self) -> None:
        self._heap: list[_Item] = []
        self._tidied: list[_Item] | None = None  # where `tidy` moves the heap to
        self._named: dict[Name, tuple[int, Message]] = {}
        self._added = 0
        self.count = 0

    def __contains__(self, name: Name) -> bool:
        return name in self._named

    def add(self, message: Message, due: float, name: Name | None = None) -> int:
        """Let `message` wait until `due`; no other one may have its name.

        Return its number. Hot: once a scheduled message.
        """
        self._added += 1
        self.count += 1
        heap = self._heap if self._tidied is None else self._tidied
        if name is None:
            heapq.heappush(heap, (due, self._added, message))
        else:
            self._named[name] = self._added, message
            heapq.heappush(heap, (due, self._added, name))
        return self._added

    def go_on_after(self, number: int) -> None:
        """Give no number up to this one."""
        self._added = max(self._added, number)

    def remove(self, name: Name) -> int | None:
        """Take out the message of that name; return its number, if there is one."""
        named = self._named.pop(name, None)
        if named is None:
            return None
        self.count -= 1
        self.tidy(_TIDIED_AT_ONCE)
        return named[0]

    def next(self) -> float | None:
        """Return when to `take` next; None if nothing waits."""
        if not self.count:
            return None
        return self._soonest()[0][0]

    def take(self) -> tuple[int, Message] | None:
        """Remove and return what is next, with its number; None if it is gone."""
        item = heapq.heappop(self._soonest())
        if not self._is_live(item):
            return None
        self.count -= 1
        _, number, what = item
        return self._named.pop(what) if isinstance(what, tuple) else (number, what)

    @property
    def is_untidy(self) -> bool:
        """Whether `tidy` has work to do."""
        return self._tidied is not None or len(self._heap) > 2 * self.count + _STALE_MAX

    def tidy(self, maximum: int) -> None:
        """Drop tuples of messages that are gone; look at `maximum` at most."""
        if not self.is_untidy:
            return
        heap = self._heap
        if self._tidied is None:
            self._tidied = []
        for _ in range(min(maximum, len(heap))):
            item = heap.pop()  # a heap without its last item is a heap
            if self._is_live(item):
                heapq.heappush(self._tidied, item)
        if not heap:
            self._heap, self._tidied = self._tidied, None

    def _soonest(self) -> list[_Item]:
        """Return the heap whose first item is the next; not both are empty."""
        heap, tidied = self._heap, self._tidied
        if tidied and (not heap or tidied[0] < heap[0]):
            return tidied
        return heap

    def _is_live(self, item: _Item) -> bool:
        _, number, what = item
        if not isinstance(what, tuple):
            return True
        named = self._named.get(what)
        return named is not None and named[0] == number

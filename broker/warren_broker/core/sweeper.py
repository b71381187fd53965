"""Sweeper: frees what was dropped all at once, a slice a turn.

To purge ten million entries is one step; to free them takes the interpreter seconds,
in which nobody else would be served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, final

from warren_broker.core.deadlines import DeadlineOwner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.broker import Broker

SLICE: Final = 10_000
"""Things to free in one turn: a millisecond or two."""


class Litter(Protocol):
    """Things that nobody needs any more, in a list or a deque."""

    def __len__(self) -> int:
        """Return how many are left."""

    def pop(self) -> object:
        """Remove one."""


@final
class Sweeper(DeadlineOwner):
    """What is still to be freed."""

    __slots__ = ("_broker", "_litter")

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._litter: list[Litter] = []

    def __len__(self) -> int:
        return sum(map(len, self._litter))

    def add(self, litter: Iterable[Litter]) -> None:
        """Take things to free; few are simply let go of by the caller."""
        large = [things for things in litter if len(things) > SLICE]
        if large:
            self._litter += large
            self._broker.deadlines.set(self, self._broker.now)

    def on_deadline(self, now: float) -> None:
        """Free one slice, and ask for the next turn if more is left."""
        things = self._litter[-1]
        for _ in range(min(SLICE, len(things))):
            things.pop()
        if not len(things):
            self._litter.pop()
        if self._litter:
            self._broker.deadlines.set(self, now)

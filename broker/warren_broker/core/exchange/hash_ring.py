"""HashRing: which destination a position on a ring belongs to.

Every destination owns points, in proportion to its weight, and where they are depends
on its name alone. A position belongs to the owner of the next point. So a destination
that comes takes its share from all others, one that goes leaves its share to all
others, and nothing else changes hands.

A point is one 64-bit number: its place in the upper bits, its owner's slot in the
lower ones. The sorted array of them takes eight bytes a point, and finding is one
bisection. Changes wait until somebody looks: a thousand bindings in a row cost one
sorting.

The ring's size is bounded: when the weights together ask for more than ``POINTS_MAX``
points, each destination gets half as many, or a quarter. That moves keys which else
would stay, but only when the sum of the weights doubles.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from hashlib import shake_128
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.destination import Destination

POINTS_PER_WEIGHT: Final = 128
"""A destination of weight 1 gets its share within 1 / sqrt(128), about 9 percent."""
POINTS_MAX: Final = 2**17
"""Points of a whole ring, apart from the one that is left to every destination."""

_POINT_SIZE: Final = 8
_SLOT_MASK: Final = 2**24 - 1


@final
class HashRing:
    """Destinations with weights, on a ring of 64-bit positions."""

    __slots__ = (
        "_changed",
        "_free_slots",
        "_halvings",
        "_owners",
        "_points",
        "_slots",
        "_weight",
        "_weights",
    )

    def __init__(self) -> None:
        self._weights: dict[Destination, int] = {}
        self._weight = 0
        self._changed: dict[Destination, None] = {}
        self._points = array("Q")
        self._halvings = 0  # of the points that the weights ask for
        self._slots: dict[Destination, int] = {}
        self._owners: dict[int, Destination] = {}
        self._free_slots: list[int] = []

    @property
    def point_count(self) -> int:
        """How many points there are."""
        self._settle()
        return len(self._points)

    def resize(self, destination: Destination, weight: int) -> None:
        """Give ``destination`` this weight; 0 takes it off the ring."""
        known = self._weights.get(destination, 0)
        if weight == known:
            return
        self._weight += weight - known
        if weight:
            self._weights[destination] = weight
        else:
            del self._weights[destination]
        if weight or destination in self._slots:
            self._changed[destination] = None
        else:
            del self._changed[destination]  # it came and went, and nobody looked

    def find(self, position: int) -> Destination | None:
        """Return whose ``position`` is; None if the ring is empty."""
        if self._changed:
            self._settle()
        points = self._points
        if not points:
            return None
        at = bisect_left(points, position & ~_SLOT_MASK)
        point = points[at] if at < len(points) else points[0]
        return self._owners[point & _SLOT_MASK]

    def _settle(self) -> None:
        """Make the points what the weights say."""
        halvings = _halvings(self._weight)
        if halvings != self._halvings:
            self._halvings = halvings
            self._changed.update(dict.fromkeys(self._weights))
        stale = {self._slots[each] for each in self._changed if each in self._slots}
        points = [each for each in self._points if each & _SLOT_MASK not in stale]
        gone = [each for each in self._changed if each not in self._weights]
        for destination in gone:
            slot = self._slots.pop(destination)
            del self._owners[slot], self._changed[destination]
            self._free_slots.append(slot)
        for destination in self._changed:
            points += self._points_of(destination)
        points.sort()
        self._points = array("Q", points)
        self._changed.clear()

    def _points_of(self, destination: Destination) -> Iterator[int]:
        """Yield the points of ``destination``: of fewer, the first are the same."""
        slot = self._slot(destination)
        count = self._weights[destination] * POINTS_PER_WEIGHT >> self._halvings
        count = max(1, count)
        seed = f"{destination.kind} {destination.name}".encode()
        raw = shake_128(seed).digest(count * _POINT_SIZE)
        places = struct.unpack(f"<{count}Q", raw)
        return (place & ~_SLOT_MASK | slot for place in places)

    def _slot(self, destination: Destination) -> int:
        slot = self._slots.get(destination)
        if slot is None:
            slot = self._free_slots.pop() if self._free_slots else len(self._owners)
            self._slots[destination] = slot
            self._owners[slot] = destination
        return slot


def _halvings(weight: int) -> int:
    """Return how often the points for ``weight`` must be halved to fit a ring."""
    wanted = weight * POINTS_PER_WEIGHT
    fitting = (POINTS_MAX - 1).bit_length()
    return max(0, (wanted - 1).bit_length() - fitting) if wanted else 0

"""The destinations under one binding key, each counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.destination import Destination


@final
class Targets:
    """An ordered set of destinations that counts how many bindings lead to each.

    Two bindings may differ in their arguments only; the destination is one
    target, and stays one until the second binding is gone as well.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[Destination, int] = {}

    def add(self, destination: Destination) -> None:
        """Count one more binding to ``destination``."""
        self._counts[destination] = self._counts.get(destination, 0) + 1

    def remove(self, destination: Destination) -> None:
        """Count one binding less; KeyError if there was none."""
        count = self._counts[destination]
        if count > 1:
            self._counts[destination] = count - 1
        else:
            del self._counts[destination]

    @property
    def is_empty(self) -> bool:
        """True if no destination is left."""
        return not self._counts

    def all(self) -> Iterable[Destination]:
        """Return every destination once, oldest binding first."""
        return self._counts.keys()

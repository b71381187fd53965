"""The seam between a stream and the queues of which it gets copies."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Tapped(ABC):
    """What appends to a stream as long as that is there."""

    __slots__ = ()

    @abstractmethod
    def end_tap(self) -> None:
        """The stream is deleted."""

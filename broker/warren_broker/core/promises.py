"""Promises: what may be said only when the store has made something safe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import final


class PromiseHolder(ABC):
    """Somebody who has promised something."""

    __slots__ = ()

    @abstractmethod
    def on_committed(self, committed: int) -> None:
        """Say what was promised for tickets up to `committed`."""


@final
class Promises:
    """Who waits for which ticket. Tickets only grow, so the first waits least."""

    __slots__ = ("_line",)

    def __init__(self) -> None:
        self._line: deque[tuple[int, PromiseHolder]] = deque()

    def __bool__(self) -> bool:
        """Whether somebody waits."""
        return bool(self._line)

    def add(self, ticket: int, holder: PromiseHolder) -> None:
        """Let `holder` know when `ticket` is safe."""
        self._line.append((ticket, holder))

    def keep(self, committed: int) -> None:
        """All up to `committed` is safe."""
        while self._line and self._line[0][0] <= committed:
            self._line.popleft()[1].on_committed(committed)

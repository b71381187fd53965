"""Promises: what may be said only when the store has made something safe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import final


class PromiseHolder(ABC):
    """Somebody who has promised something."""

    __slots__ = ()

    @abstractmethod
    def on_committed(self, committed: int, recorded: int) -> None:
        """Say what was promised for tickets up to these, see `Store`."""


@final
class Promises:
    """Who waits for which ticket. Tickets only grow, so the first waits least."""

    __slots__ = ("_defined", "_line")

    def __init__(self) -> None:
        self._line: deque[tuple[int, PromiseHolder]] = deque()
        self._defined: deque[tuple[int, PromiseHolder]] = deque()

    def __bool__(self) -> bool:
        """Whether somebody waits."""
        return bool(self._line or self._defined)

    def add(
        self, ticket: int, holder: PromiseHolder, *, of_definitions: bool = False
    ) -> None:
        """Let `holder` know when `ticket` is safe; or only what is defined with it."""
        (self._defined if of_definitions else self._line).append((ticket, holder))

    def keep(self, committed: int, recorded: int) -> None:
        """All up to `committed` is safe, and all that is defined up to `recorded`."""
        for line, safe in ((self._line, committed), (self._defined, recorded)):
            while line and line[0][0] <= safe:
                line.popleft()[1].on_committed(committed, recorded)

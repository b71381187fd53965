"""EventLog: where the server says what an operator should know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class EventLog(ABC):
    """Named events with fields. Never raises, never called per message."""

    @abstractmethod
    def load(self) -> None:
        """Do now what the first event would wait for. Any thread may call this."""

    @abstractmethod
    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """Tell that `name` ("connection opened") happened, and to what."""

    @abstractmethod
    def failure(
        self, name: str, error: BaseException, fields: Mapping[str, object]
    ) -> None:
        """Tell of a bug, with its traceback. The server goes on."""

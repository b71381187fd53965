"""Hidden: what a connection keeps for each exchange, and each queue, that it uses.

Each has a channel that its user does not see, so that what the broker refuses there is
felt nowhere else. There may be many names, so those that are idle go when there are too
many.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Generic, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Callable

HIDDEN_MAX: Final = 64
"""Of one kind: more names, and the idle ones are closed."""


class Hidden(ABC):
    """Something with a channel of its own."""

    @property
    @abstractmethod
    def is_idle(self) -> bool:
        """Whether nobody would miss its channel."""

    @abstractmethod
    def close(self) -> None:
        """Close its channel, which is idle."""


Kind = TypeVar("Kind", bound=Hidden)


@final
class HiddenByName(Generic[Kind]):
    """All of one kind, by the name of what they are for."""

    def __init__(self, make: Callable[[str], Kind]) -> None:
        self._make = make
        self._all: dict[str, Kind] = {}

    def of(self, name: str) -> Kind:
        """Return the one for a name; make it if there is none."""
        found = self._all.get(name)
        if found is None:
            if len(self._all) >= HIDDEN_MAX:
                self._close_idle()
            found = self._all[name] = self._make(name)
        return found

    def all(self) -> list[Kind]:
        """Return those that there are at present."""
        return list(self._all.values())

    def _close_idle(self) -> None:
        for name, each in list(self._all.items()):
            if each.is_idle:
                self._all.pop(name).close()

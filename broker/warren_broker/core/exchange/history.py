"""History: the last messages of an exchange, within a budget it shares with others.

The budget is one virtual host's. When it is spent, the oldest message of all gives way,
whichever exchange keeps it; being the oldest of all it is the oldest of its exchange.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from warren_broker.core.message import Message

BUDGET_BYTES: Final = 64 * 1024 * 1024
KEPT_COST_BYTES: Final = 1024
"""What keeping a message costs besides its bytes: empty ones must not be for free."""


@final
class HistoryBudget:
    """The bytes that several histories may hold together.

    Attributes:
        bytes_used: what all messages kept now take.
    """

    __slots__ = ("_bytes_max", "_holders", "_number", "bytes_used")

    def __init__(self, bytes_max: int = BUDGET_BYTES) -> None:
        self.bytes_used = 0
        self._bytes_max = bytes_max
        self._number = 0
        self._holders: OrderedDict[int, tuple[History, int]] = OrderedDict()

    def take(self, holder: History, message: Message) -> int | None:
        """Make room for ``message``, and return the number to give it back by.

        None: it is larger than the whole budget, and nothing was done.
        """
        size_bytes = message.size_bytes + KEPT_COST_BYTES
        if size_bytes > self._bytes_max:
            return None
        while self.bytes_used + size_bytes > self._bytes_max:
            oldest, _ = next(iter(self._holders.values()))
            oldest.drop_oldest()
        self._number += 1
        self._holders[self._number] = holder, size_bytes
        self.bytes_used += size_bytes
        return self._number

    def give_back(self, number: int) -> None:
        """Free what ``take`` gave under ``number``; KeyError if it is free."""
        _, size_bytes = self._holders.pop(number)
        self.bytes_used -= size_bytes


@final
class History:
    """The last messages that one exchange was told of, oldest first."""

    __slots__ = ("_budget", "_kept", "_length_max")

    def __init__(self, budget: HistoryBudget, length_max: int) -> None:
        self._budget = budget
        self._length_max = length_max
        self._kept: deque[tuple[int, Message]] = deque()

    def add(self, message: Message) -> None:
        """Keep ``message``, in the place of the oldest if there are enough."""
        if len(self._kept) >= self._length_max:
            self.drop_oldest()
        number = self._budget.take(self, message)
        if number is not None:
            self._kept.append((number, message))

    def messages(self) -> tuple[Message, ...]:
        """Return what is kept now, oldest first."""
        return tuple(message for _, message in self._kept)

    def drop_oldest(self) -> None:
        """Forget the oldest message; IndexError if there is none."""
        number, _ = self._kept.popleft()
        self._budget.give_back(number)

    def clear(self) -> None:
        """Forget every message."""
        while self._kept:
            self.drop_oldest()

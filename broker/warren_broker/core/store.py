"""Store: what makes things survive the process; the seam between core and storage.

The core says what has happened, in order, and goes on at once. Everything that was said
before a moment is safe when `committed` has reached what `said` was at that moment:
until then nobody may be promised anything about it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from warren_broker.core.message import Message
    from warren_broker.core.queue.packing import Run
    from warren_broker.core.stream.log import Log, LogOwner

Key = tuple[str, ...]
"""What a definition is of: its kind first, then the names that tell it apart."""


class Store(ABC):
    """Takes down what must survive.

    The attributes are plain slots, which the subclass keeps: they are read once a
    batch of input.
    """

    __slots__ = ("committed", "count", "defined", "recorded", "said")

    count: int
    """Things said so far."""
    said: int
    """The last of them is safe once `committed` is so high."""
    committed: int
    defined: int
    """The last definition is safe once `recorded` is so high."""
    recorded: int
    """Like `committed`, but for messages and records, which may wait for room."""

    @abstractmethod
    def new_number(self) -> int:
        """Return a number for something that keeps messages, from 1, each once."""

    @abstractmethod
    def add(self, number: int, sequence: int, message: Message, expires_ms: int) -> int:
        """Keep `message` at the place `sequence` of `number`.

        `expires_ms` is since 1970, 0 for never. Return its position, never 0: the token
        for `settle`. Hot: once a durable message and queue.
        """

    @abstractmethod
    def settle(self, number: int, sequence: int, position: int) -> None:
        """Forget a message. Hot: once an ack."""

    @abstractmethod
    def settle_all(self, number: int, places: Iterable[tuple[int, int]]) -> None:
        """Forget many messages: sequence and position of each, in any order."""

    @abstractmethod
    def when_written(self, run: Run) -> None:
        """Call `run.on_written` as soon as all that was said can be read again."""

    @abstractmethod
    def recall(
        self, number: int, places: Iterable[tuple[int, int]], checksum: int
    ) -> list[Message]:
        """Read messages again that were written and not settled.

        `places`: sequence and position of each, see `add`. Raises OSError if they
        cannot be read, or have not that `checksum` (`checksum_of`).
        """

    @abstractmethod
    def want(self, number: int, first: tuple[int, int], last: tuple[int, int]) -> None:
        """The messages from one of these places to the other will be read soon."""

    @abstractmethod
    def count_return(self, number: int, sequence: int, count: int) -> None:
        """A message was returned, for the `count`th time."""

    @abstractmethod
    def define(self, key: Key, value: Mapping[str, object] | None) -> None:
        """Keep a definition, or with None forget it."""

    @abstractmethod
    def open_log(self, number: int, owner: LogOwner, *, segment_bytes: int) -> Log:
        """Return the log that keeps the records of the stream `number`, new or not.

        What it appends counts as said. It begins a new segment when the active one
        has `segment_bytes`.
        """

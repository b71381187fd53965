"""Receipt: what a publish leaves behind whose fate is not known yet.

Most publishes are taken or refused at once, and their outcome says so; no receipt is
made for them. A receipt is for the others: it counts what must still happen before
the message is safe, and then tells who holds it, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable


class ReceiptHolder(ABC):
    """Somebody who wants to know what became of publishes."""

    __slots__ = ()

    @abstractmethod
    def on_fate(self, tag: int, *, taken: bool) -> None:
        """Learn, once, whether the publish `tag` was taken by all its queues.

        The turn is somebody else's: take a note, and act on it in one of your own.
        """


@final
class Receipt:
    """The open questions of one publish.

    It is refused as soon as one of them is answered so: nothing can heal that.

    Attributes:
        is_refused: somebody has not taken the message.
        on_taken: is called if everybody has.
    """

    __slots__ = ("_holder", "_open_count", "_tag", "is_refused", "on_taken")

    def __init__(self) -> None:
        self._holder: ReceiptHolder | None = None
        self._open_count = 0
        self._tag = 0
        self.is_refused = False
        self.on_taken: Callable[[], None] | None = None

    def expect(self) -> None:
        """One more question is open; `answer` will close it."""
        self._open_count += 1

    def answer(self, *, taken: bool) -> None:
        """Close a question that `expect` opened."""
        self._open_count -= 1
        if not taken:
            self.is_refused = True
        elif self.on_taken is not None and not (self._open_count or self.is_refused):
            self.on_taken()
        self._tell()

    def give_to(self, holder: ReceiptHolder, tag: int) -> None:
        """Let `holder` know what becomes of the publish, as its `tag`."""
        self._holder = holder
        self._tag = tag
        self._tell()

    def drop(self) -> None:
        """Nobody wants to know any more."""
        self._holder = None

    def _tell(self) -> None:
        holder = self._holder
        if holder is not None and (self.is_refused or not self._open_count):
            self._holder = None
            holder.on_fate(self._tag, taken=not self.is_refused)

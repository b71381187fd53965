"""Unsafe: messages that the journal was told of, until they are known to be safe.

What only was published waits, if there is no room for it, until all else has been
written: acks make room, and must never stand behind what needs it. A turn that said
something besides may have moved messages: it stays whole, in one record.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.message import Message

Place = tuple[int, int]
"""Queue and sequence."""


class Waiting(NamedTuple):
    """A message that is not safe yet."""

    lsn: int  # it is safe with this record
    ticket: int  # and is promised with this group commit
    message: Message
    expires_ms: int
    turn: int  # it came in


@final
class Unsafe:
    """Remembers messages in case they are refused, and what was promised of them.

    A turn is everything up to `end_turn`; `count` is how many things were said by then.
    """

    __slots__ = (
        "_added",
        "_count_before",
        "_due",
        "_gone",
        "_held",
        "_inherited",
        "_messages",
        "_turn",
        "_whole",
    )

    def __init__(self) -> None:
        self._messages: dict[Place, Waiting] = {}  # by record, the oldest first
        self._held: dict[Place, Waiting] = {}  # refused, and not said again
        self._due: dict[Place, int] = {}  # refused, and promised with which ticket
        # Tickets of turns that took what was refused, and the lowest that had.
        self._gone: deque[tuple[int, int]] = deque()
        self._whole: dict[int, int] = {}  # turns that stay whole, and their records
        self._turn = 0  # number of the present one
        self._added = 0  # messages in it
        self._count_before = 0
        self._inherited = 0  # lowest ticket promised for what is gone in it; 0: none

    def add(
        self, place: Place, lsn: int, ticket: int, message: Message, expires_ms: int
    ) -> None:
        """A message was said. Hot: once a durable message and queue."""
        self._messages[place] = Waiting(lsn, ticket, message, expires_ms, self._turn)
        self._added += 1

    def forget(self, place: Place) -> bool:
        """A message is gone; return whether the journal does not know it at all."""
        self._messages.pop(place, None)
        if not self._due:
            return False
        ticket = self._due.pop(place, 0)
        if ticket:
            self._inherited = min(self._inherited or ticket, ticket)
        return self._held.pop(place, None) is not None

    def end_turn(self, count: int, lsn: int, ticket: int) -> None:
        """All that was said since the last call is one thing, in record `lsn`.

        It is safe with `ticket`, and so is what is gone in it.
        """
        if self._inherited and count > self._count_before:
            self._gone.append((ticket, self._inherited))
        if self._added:
            if count - self._count_before > self._added:
                self._whole[self._turn] = lsn
            if self._inherited:
                self._inherit(self._inherited)
            self._turn += 1
        self.begin_turn(count)

    def begin_turn(self, count: int) -> None:
        """What was said since the end of the last one belongs to none."""
        self._added, self._count_before, self._inherited = 0, count, 0

    def _inherit(self, ticket: int) -> None:
        """What this turn has added may be what was promised with an earlier ticket."""
        for place, waiting in reversed(self._messages.items()):
            if waiting.turn != self._turn:
                return
            self._due[place] = ticket

    def on_committed(self, lsn: int) -> None:
        """All records up to `lsn` are safe."""
        messages = self._messages
        while messages:
            place = next(iter(messages))
            if messages[place].lsn > lsn:
                break
            del messages[place]
            self._due.pop(place, None)
        if self._whole:
            whole = self._whole.items()
            self._whole = {turn: last for turn, last in whole if last > lsn}

    def refuse(self, places: Iterable[Place]) -> dict[Place, Waiting]:
        """There was no room. Return what must be said again now, see `say_again`."""
        urgent: dict[Place, Waiting] = {}
        for place in places:
            waiting = self._messages.pop(place, None)
            if waiting is not None:
                self._due.setdefault(place, waiting.ticket)
                is_whole = waiting.turn in self._whole
                (urgent if is_whole else self._held)[place] = waiting
        return urgent

    def release(self) -> dict[Place, Waiting]:
        """Return all that was held back, to be said again now."""
        held, self._held = self._held, {}
        return held

    def say_again(self, place: Place, waiting: Waiting, lsn: int) -> None:
        """A message was said once more, as a part of the turn it came in."""
        self._messages[place] = waiting._replace(lsn=lsn)

    def safe_up_to(self, committed: int) -> int:
        """Return the last ticket of which all is safe, but for what was refused."""
        gone = self._gone
        while gone and gone[0][0] <= committed:
            gone.popleft()
        due = [*self._due.values(), *(ticket for _, ticket in gone)]
        return min(committed, min(due, default=committed + 1) - 1)

    @property
    def is_waiting(self) -> bool:
        """Whether anything is in a record that is not written."""
        return bool(self._messages)

    @property
    def is_holding(self) -> bool:
        """Whether anything waits for `release`."""
        return bool(self._held)

    @property
    def is_short(self) -> bool:
        """Whether anything still waits for room."""
        return bool(self._due)

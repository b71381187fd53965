"""Admission: a transaction is let into the queues that block, all of it at once.

If one of its messages would have to wait for room, the whole transaction does: it has
a place in the line of each queue that blocks, and when it is first in all of them and
there is room for what goes there, it is carried out in one turn. So it is in the store
in one piece, and a crash finds all of it or nothing. As it takes all its places in one
turn, of two transactions that want the same queues one is before the other in each:
they never wait for one another.

Where messages will go is foreseen when the transaction comes. If that has changed when
it is let in, queues take them all the same, over their limits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, final

from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.queue.waiting_room import Waiter
from warren_broker.core.routing import foresee

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from warren_broker.core.broker import Broker
    from warren_broker.core.message import Message
    from warren_broker.core.queue import Queue
    from warren_broker.core.queue.overflow import Block
    from warren_broker.core.vhost import VHost


class AdmissionHolder(ABC):
    """Whose messages are to be let in."""

    __slots__ = ()

    @abstractmethod
    def on_admitted(self) -> None:
        """There is room: publish everything, in this turn."""

    @abstractmethod
    def on_refused(self) -> None:
        """It has waited too long."""


class NeverFits(Exception):
    """A queue is too small for a message even when it is empty, or its line is full."""


@final
class Place(Waiter):
    """The place of a transaction in the line of one queue: it goes when the others do.

    Attributes:
        is_ready: it is the first one, and there is room.
    """

    __slots__ = ("_admission", "block", "is_ready")

    _admission: Admission

    def __init__(self, block: Block, now: float) -> None:
        super().__init__(0, 0, now)
        self.block = block
        self.is_ready = False

    def add(self, message: Message) -> None:
        """One more message is for this queue."""
        self.count += 1
        self.size_bytes += message.size_bytes

    def take(self, admission: Admission) -> None:
        """Stand in the line, for `admission`."""
        self._admission = admission
        self.block.line.add(self)
        self.block.line.look_soon()

    @property
    def has_room(self) -> bool:
        """Whether the queue has room for its part."""
        return self.block.has_room_for_all(self.count, self.size_bytes)

    def try_to_enter(self, queue: Queue, leave: Callable[[], None]) -> bool:
        """Wait at the front for the other places, if there is room."""
        self.is_ready = self.has_room
        if self.is_ready:
            self._admission.look()
        return False

    def offer(self, queue: Queue) -> None:
        """The queue blocks no more: no need to wait for it."""
        self._admission.forget(self)

    def answer(self, *, taken: bool) -> None:
        """The queue is gone, or the time is over."""
        if taken:
            self._admission.forget(self)
        else:
            self._admission.give_up(self)


@final
class Admission(DeadlineOwner):
    """One transaction before the queues that block."""

    __slots__ = ("_broker", "_holder", "_is_refused", "_places")

    def __init__(self, broker: Broker, holder: AdmissionHolder) -> None:
        self._broker = broker
        self._holder = holder
        self._is_refused = False
        self._places: dict[Block, Place] = {}

    def foresee(self, vhost: VHost, messages: Iterable[Message]) -> None:
        """Find out which queues that block `messages` will go to.

        Raises NeverFits.
        """
        for message in messages if vhost.blocking else ():
            for queue in foresee(vhost, message):
                block = vhost.blocking.get(queue)
                if block is None:
                    continue
                if not block.ever_fits(message):
                    raise NeverFits
                if block not in self._places:
                    self._places[block] = Place(block, self._broker.now)
                self._places[block].add(message)

    @property
    def is_free(self) -> bool:
        """Whether there is room everywhere, and nobody waits for it."""
        places = self._places.values()
        return all(one.has_room and not len(one.block.line) for one in places)

    def stand_in_line(self) -> None:
        """Take all places. Raises NeverFits if a line is full; none is taken then."""
        places = self._places.values()
        if not all(one.block.line.has_room_for(one) for one in places):
            raise NeverFits
        for one in places:
            one.take(self)

    def look(self) -> None:
        """A place is ready: if all are, it is time, in a turn of its own."""
        if all(one.is_ready for one in self._places.values()):
            self._broker.deadlines.set(self, self._broker.now)

    def forget(self, place: Place) -> None:
        """That queue lets nobody wait any more."""
        del self._places[place.block]
        self.look()

    def give_up(self, place: Place) -> None:
        """That place, which is left already, was waited in too long."""
        del self._places[place.block]
        self._is_refused = True
        self.close()
        self._broker.deadlines.set(self, self._broker.now)

    def on_deadline(self, now: float) -> None:
        """Let all in, if there is still room; or tell that it was too long."""
        if self._is_refused:
            self._holder.on_refused()
        elif all(one.has_room for one in self._places.values()):
            self.close()
            self._holder.on_admitted()

    def close(self) -> None:
        """Leave all lines; who comes next may look."""
        self._broker.deadlines.cancel(self)
        places, self._places = self._places, {}
        for block, place in places.items():
            block.line.remove(place)

"""The messages of the model that wait, outside a full queue, for room in it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.model_queue import Room, Waiting
from tests.model_unique import Uniqueness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.model_parts import Channel, Message
    from tests.model_queue import Queue

PATIENCE_MS = 30_000


@dataclass(eq=False)
class Receipt:
    """What is open about one publish."""

    identity: int
    open: int


class Rooms(Uniqueness):
    """A virtual host with queues that let publishers wait.

    `fates` says what became of publishes that waited.
    """

    def __init__(self, default_timeout: float) -> None:
        super().__init__(default_timeout)
        self.fates: dict[int, bool] = {}

    @abstractmethod
    def accept(self, queue: Queue, message: Message) -> bool | Waiting:
        """Put a message into a queue, if its rules allow it."""

    def wait_for_room(self, queue: Queue, message: Message) -> bool | Waiting:
        """What would not even fit into the empty queue does not wait."""
        limit, limit_bytes = queue.limits
        if limit == 0 or message.size > limit_bytes:
            return False
        queue.room.line.append(Waiting(message, self.now))
        return queue.room.line[-1]

    def join(self, identity: int, waiting: list[Waiting]) -> None:
        """Somebody wants to know what becomes of all of these."""
        receipt = Receipt(identity, len(waiting))
        for one in waiting:
            one.receipt = receipt

    def answer(self, one: Waiting, *, taken: bool) -> None:
        receipt = one.receipt
        if receipt is None or receipt.identity in self.fates:
            return
        receipt.open -= 1
        if not taken or not receipt.open:
            self.fates[receipt.identity] = taken

    def look(self, room: Room) -> None:
        """Let in who fits, and give up who has waited too long: from the front."""
        queue = room.queue
        while room.line:
            one = room.line[0]
            if not queue.is_over([one.message]):
                room.line.pop(0)
                known = self.deduplicate(queue, one.message)
                if known is None:
                    self.take_in(queue, one.message)
                self.answer(one, taken=known is not False)
            elif one.since + patience_of(queue) <= self.now:
                room.line.pop(0)
                self.answer(one, taken=False)
            else:
                return

    def dissolve(self, room: Room) -> None:
        """Nobody waits here any more: the queue is offered all, as it is now."""
        line, room.line = room.line, []
        for one in line:
            self.answer(one, taken=self.accept(room.queue, one.message) is True)

    def drop(self, queue: Queue) -> None:
        super().drop(queue)
        line, queue.room.line = queue.room.line, []
        for one in line:
            self.answer(one, taken=True)

    def next_due(self) -> float | None:
        rooms = [queue for queue in self.queues.values() if queue.room.line]
        known = [super().next_due(), *(self.due_of(queue) for queue in rooms)]
        return min((due for due in known if due is not None), default=None)

    def due_of(self, queue: Queue) -> float:
        first = queue.room.line[0]
        if not queue.is_over([first.message]):
            return self.now
        return first.since + patience_of(queue)

    def tick(self, now: float, order: Iterable[Queue | Channel | Room | str]) -> None:
        for one in order:
            if isinstance(one, Room):
                self.now = now
                self.look(one)
                self.dispatch()
            else:
                super().tick(now, [one])


def patience_of(queue: Queue) -> float:
    return queue.rules.get("x-publish-deadline", PATIENCE_MS) / 1000.0

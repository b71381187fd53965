"""WaitingRoom: the messages that wait, outside a full queue, for room in it.

It is how a queue with `x-overflow: block` slows its publishers down, and only them: a
message that finds no room is neither taken nor refused, and neither is its confirm
sent. It is as if it were still under way: its time to live, its place and its
duplicates count from the moment when it gets in, which is strictly in its turn. After
the publish deadline, or when too much waits already, it is refused.

Room is made in the middle of other things, and what gets in may set off anything. So
the room is only told that it should look, and does so in a turn of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.deadlines import DeadlineOwner

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.core.message import Message
    from warren_broker.core.queue.queue import Queue
    from warren_broker.core.receipt import Receipt

SLICE: Final = 1000
"""Messages that get in, or are given up, in one turn; the others follow in the next."""

_MILLISECONDS: Final = 1000.0


class Waiter(ABC):
    """Something that waits in the line of a queue.

    Attributes:
        count, size_bytes: of the messages that it is.
        since: when it came, in monotonic seconds.
    """

    __slots__ = ("count", "since", "size_bytes")

    def __init__(self, count: int, size_bytes: int, since: float) -> None:
        self.count = count
        self.size_bytes = size_bytes
        self.since = since

    @abstractmethod
    def try_to_enter(self, queue: Queue, leave: Callable[[], None]) -> bool:
        """Enter `queue`, from the front of its line; False if it must still wait.

        Before it enters it must `leave` the line.
        """

    @abstractmethod
    def offer(self, queue: Queue) -> None:
        """Nobody waits for `queue` any more: see whether it takes this."""

    @abstractmethod
    def answer(self, *, taken: bool) -> None:
        """It waits no longer, and is not in the line any more."""


@final
class Waiting(Waiter):
    """One message that waits.

    Attributes:
        receipt: whom to tell; None while nobody has asked.
    """

    __slots__ = ("message", "receipt")

    def __init__(self, message: Message, since: float) -> None:
        super().__init__(1, message.size_bytes, since)
        self.message = message
        self.receipt: Receipt | None = None

    def join(self, receipt: Receipt) -> None:
        """Let `receipt` learn what becomes of this one."""
        receipt.expect()
        self.receipt = receipt

    def try_to_enter(self, queue: Queue, leave: Callable[[], None]) -> bool:
        """Get in, if there is room."""
        if not queue.has_room_for(self.message):
            return False
        leave()
        self.answer(taken=queue.let_in(self.message))
        return True

    def offer(self, queue: Queue) -> None:
        """Be published again, as it were."""
        self.answer(taken=queue.accept(self.message))

    def answer(self, *, taken: bool) -> None:
        """It waits no longer."""
        receipt, self.receipt = self.receipt, None
        if receipt is not None:
            receipt.answer(taken=taken)


@final
class WaitingRoom(DeadlineOwner):
    """The line of what waits for one queue, in the order in which it came.

    Its deadline is that of the first, who came first: all have the same time.
    """

    __slots__ = ("_count", "_line", "_queue", "_size_bytes")

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._line: deque[Waiter] = deque()
        self._count = 0
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._line)

    @property
    def newest(self) -> Waiter | None:
        """Who came last, and still waits."""
        return self._line[-1] if self._line else None

    def admit(self, message: Message) -> None:
        """Let `message` wait, unless too many do, or too large ones."""
        waiting = Waiting(message, self._queue.vhost.broker.now)
        if self.has_room_for(waiting):
            self.add(waiting)

    def has_room_for(self, waiter: Waiter) -> bool:
        """Whether `waiter` may wait. One may always, however large it is."""
        limits = self._queue.vhost.broker.limits
        return not self._line or (
            self._count + waiter.count <= limits.waiting_per_queue_max
            and self._size_bytes + waiter.size_bytes
            <= limits.waiting_per_queue_max_bytes
        )

    def add(self, waiter: Waiter) -> None:
        """Let `waiter` wait, behind all others."""
        self._line.append(waiter)
        self._count += waiter.count
        self._size_bytes += waiter.size_bytes
        if len(self._line) == 1:
            self._arm()

    def remove(self, waiter: Waiter) -> None:
        """`waiter` leaves the line: the next one may look."""
        if self._line[0] is waiter:
            self._leave()
            self.look_soon()
        else:
            self._line.remove(waiter)
            self._count -= waiter.count
            self._size_bytes -= waiter.size_bytes

    def look_soon(self) -> None:
        """There may be room: let in who fits, in a turn of its own."""
        if self._line:
            broker = self._queue.vhost.broker
            broker.deadlines.set(self, broker.now)

    def on_deadline(self, now: float) -> None:
        """Let in who fits, and give up who has waited too long: from the front."""
        queue, patience = self._queue, self._patience_seconds()
        for _ in range(SLICE):
            if not self._line:
                return
            waiter = self._line[0]
            if waiter.try_to_enter(queue, self._leave):
                continue
            if waiter.since + patience > now:
                self._arm()
                return
            self._leave()
            waiter.answer(taken=False)
        self.look_soon()

    def dissolve(self) -> None:
        """Nobody waits for this queue any more: offer it what did, as it is now."""
        for waiter in self._empty():
            waiter.offer(self._queue)

    def close(self) -> None:
        """The queue is deleted: what waits goes with what was in it, confirmed."""
        for waiter in self._empty():
            waiter.answer(taken=True)

    def _leave(self) -> None:
        waiter = self._line.popleft()
        self._count -= waiter.count
        self._size_bytes -= waiter.size_bytes

    def _empty(self) -> deque[Waiter]:
        self._queue.vhost.broker.deadlines.cancel(self)
        line, self._line = self._line, deque()
        self._count = self._size_bytes = 0
        return line

    def _arm(self) -> None:
        when = self._line[0].since + self._patience_seconds()
        self._queue.vhost.broker.deadlines.set(self, when)

    def _patience_seconds(self) -> float:
        """How long a message waits: the queue's publish deadline, or the broker's."""
        chosen_ms = self._queue.rules.publish_deadline_ms
        limits = self._queue.vhost.broker.limits
        deadline_ms = limits.publish_deadline_ms if chosen_ms is None else chosen_ms
        return deadline_ms / _MILLISECONDS

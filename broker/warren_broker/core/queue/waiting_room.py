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

from collections import deque
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.deadlines import DeadlineOwner

if TYPE_CHECKING:
    from warren_broker.core.message import Message
    from warren_broker.core.queue.queue import Queue
    from warren_broker.core.receipt import Receipt

SLICE: Final = 1000
"""Messages that get in, or are given up, in one turn; the others follow in the next."""

_MILLISECONDS: Final = 1000.0


@final
class Waiting:
    """One message that waits.

    Attributes:
        since: when it came, in monotonic seconds.
        receipt: whom to tell; None while nobody has asked.
    """

    __slots__ = ("message", "receipt", "since")

    def __init__(self, message: Message, since: float) -> None:
        self.message = message
        self.since = since
        self.receipt: Receipt | None = None

    def join(self, receipt: Receipt) -> None:
        """Let `receipt` learn what becomes of this one."""
        receipt.expect()
        self.receipt = receipt

    def answer(self, *, taken: bool) -> None:
        """It waits no longer."""
        receipt, self.receipt = self.receipt, None
        if receipt is not None:
            receipt.answer(taken=taken)


@final
class WaitingRoom(DeadlineOwner):
    """What waits for one queue, in the order in which it came.

    Its deadline is that of the first, who came first: all have the same time.
    """

    __slots__ = ("_line", "_queue", "_size_bytes")

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._line: deque[Waiting] = deque()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._line)

    @property
    def newest(self) -> Waiting | None:
        """Who came last, and still waits."""
        return self._line[-1] if self._line else None

    def admit(self, message: Message) -> bool:
        """Let `message` wait; False when too many do, or too large ones.

        One may always wait, however large it is.
        """
        broker = self._queue.vhost.broker
        limits, size_bytes = broker.limits, message.size_bytes
        if self._line and (
            len(self._line) >= limits.waiting_per_queue_max
            or self._size_bytes + size_bytes > limits.waiting_per_queue_max_bytes
        ):
            return False
        self._line.append(Waiting(message, broker.now))
        self._size_bytes += size_bytes
        if len(self._line) == 1:
            self._arm()
        return True

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
            waiting = self._line[0]
            if queue.has_room_for(waiting.message):
                self._leave()
                waiting.answer(taken=queue.let_in(waiting.message))
            elif waiting.since + patience <= now:
                self._leave()
                waiting.answer(taken=False)
            else:
                self._arm()
                return
        self.look_soon()

    def dissolve(self) -> None:
        """Nobody waits for this queue any more: offer it what did, as it is now."""
        for waiting in self._empty():
            waiting.answer(taken=self._queue.accept(waiting.message))

    def close(self) -> None:
        """The queue is deleted: what waits goes with what was in it, confirmed."""
        for waiting in self._empty():
            waiting.answer(taken=True)

    def _leave(self) -> None:
        self._size_bytes -= self._line.popleft().message.size_bytes

    def _empty(self) -> deque[Waiting]:
        self._queue.vhost.broker.deadlines.cancel(self)
        line, self._line = self._line, deque()
        self._size_bytes = 0
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

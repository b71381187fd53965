"""SafeOutput: what a connection may send only when the store has made it safe.

Confirms, and answers to changes of durable things. They leave in the order in which
they were given, each when all that was said to the store before it is safe. Without a
store, and where a turn has said nothing to it, they leave at once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, final

from warren.wire.constants import FRAME_HEADER_SIZE
from warren.wire.frames import encode_method
from warren.wire.methods import BasicAck, BasicNack, decode_method
from warren_broker.amqp.reader import WORK_PER_TURN
from warren_broker.core.promises import PromiseHolder

if TYPE_CHECKING:
    from warren.wire.methods import Method
    from warren.wire.outbox import Outbox
    from warren_broker.amqp.confirms import ConfirmLedger
    from warren_broker.core.broker import Broker


@final
class SafeOutput(PromiseHolder):
    """The promises of one connection.

    Attributes:
        confirming: ledgers with publishes to confirm at the end of the batch.
        is_holding: an answer waits, and with it whatever the peer has sent since: it
            must find the change made, and be answered later.
    """

    __slots__ = ("_broker", "_outbox", "_waiting", "confirming", "is_holding")

    def __init__(self, broker: Broker, outbox: Outbox) -> None:
        self._broker = broker
        self._outbox = outbox
        self._waiting: deque[tuple[int, int, bytes]] = deque()
        self.confirming: list[ConfirmLedger] = []
        self.is_holding = False

    @property
    def are_open(self) -> bool:
        """Whether something waits to become true."""
        return bool(self._waiting)

    def flush_confirms(self) -> None:
        """The batch of input is done: confirm what it published."""
        for ledger in self.confirming:
            ledger.flush()
        self.confirming.clear()

    def send(self, channel: int, method: Method, *, is_late: bool = False) -> bool:
        """Send `method` when it is true; return whether it must wait for that.

        `is_late`: it speaks of what was said to the store in an earlier turn.
        """
        return self._send(channel, method, self._broker.ticket_due(is_late=is_late))

    def send_defined(self, channel: int, method: Method) -> bool:
        """The same for a method that speaks of what is defined, by whomever."""
        return self._send(channel, method, self._broker.definition_due())

    def _send(self, channel: int, method: Method, ticket: int) -> bool:
        frame = encode_method(channel, method)
        if self._waiting:
            ticket = max(ticket, self._waiting[-1][0])
        if not ticket:
            self._outbox.write(frame)
            return False
        self._waiting.append((ticket, channel, frame))
        self._broker.promises.add(ticket, self)
        return True

    def send_now(self, channel: int, method: Method) -> None:
        """Send `method`, which is true already, past everything that waits."""
        self._outbox.write(encode_method(channel, method))

    def give_up(self, ticket: int) -> None:
        """Nack what waits to be confirmed for `ticket` or an earlier one.

        It may become safe all the same: a nack only says that nobody can tell.
        """
        for _ in range(len(self._waiting)):
            item = self._waiting.popleft()
            nack = _nack_for(item[2]) if item[0] <= ticket else None
            if nack is None:
                self._waiting.append(item)
            else:
                self.send_now(item[1], nack)

    def hold(self) -> None:
        """Take nothing more from the peer until all promises are kept."""
        self.is_holding = True
        self._broker.work += WORK_PER_TURN + 1  # whatever came with it waits as well

    def on_committed(self, committed: int) -> None:
        """Send what has become true."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= committed:
            self._outbox.write(waiting.popleft()[2])
        if self.is_holding and not waiting:
            self.is_holding = False
            self._outbox.nudge()

    def close(self) -> None:
        """The connection ends: nothing more is to be said on any channel."""
        self._waiting.clear()
        self.is_holding = False

    def drop(self, channel: int) -> None:
        """The channel is closed: nobody would understand what was promised on it."""
        kept = [promise for promise in self._waiting if promise[1] != channel]
        self._waiting = deque(kept)
        if not kept and self.is_holding:
            self.is_holding = False
            self._outbox.nudge()


def _nack_for(frame: bytes) -> BasicNack | None:
    """Return what takes the place of a confirm; None if `frame` is none."""
    method = decode_method(frame[FRAME_HEADER_SIZE:-1])
    if isinstance(method, BasicAck):
        tag, multiple = method.delivery_tag, method.multiple
        return BasicNack(tag, multiple=multiple, requeue=False)
    return method if isinstance(method, BasicNack) else None

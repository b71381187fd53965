"""SafeOutput: what a connection may send only when the store has made it safe.

Confirms, and answers to changes of durable things. They leave in the order in which
they were given, each when all that was said to the store before it is safe. Without a
store, and where a turn has said nothing to it, they leave at once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, final

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


class _Waiting(NamedTuple):
    """What is not true yet."""

    ticket: int  # with which it is; 0: it is already
    of_definitions: bool  # it speaks of these alone
    channel: int
    frame: bytes


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
        self._waiting: deque[_Waiting] = deque()
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
        ticket = self._broker.ticket_due(is_late=is_late)
        return self._send(channel, method, ticket, of_definitions=False)

    def send_defined(self, channel: int, method: Method) -> bool:
        """The same for a method that speaks of what is defined, by whomever."""
        ticket = self._broker.definition_due()
        return self._send(channel, method, ticket, of_definitions=True)

    def _send(
        self, channel: int, method: Method, ticket: int, *, of_definitions: bool
    ) -> bool:
        frame = encode_method(channel, method)
        if not (ticket or self._waiting):
            self._outbox.write(frame)
            return False
        self._waiting.append(_Waiting(ticket, of_definitions, channel, frame))
        if ticket:
            promises = self._broker.promises
            promises.add(ticket, self, of_definitions=of_definitions)
        return True

    def send_now(self, channel: int, method: Method) -> None:
        """Send `method`, which is true already, past everything that waits."""
        self._outbox.write(encode_method(channel, method))

    def give_up(self, ticket: int) -> None:
        """Nack what waits to be confirmed for `ticket` or an earlier one.

        It may become safe all the same: a nack only says that nobody can tell.
        """
        for _ in range(len(self._waiting)):
            each = self._waiting.popleft()
            nack = _nack_for(each.frame) if each.ticket <= ticket else None
            if nack is None:
                self._waiting.append(each)
            else:
                self.send_now(each.channel, nack)

    def hold(self) -> None:
        """Take nothing more from the peer until all promises are kept."""
        self.is_holding = True
        self._broker.work += WORK_PER_TURN + 1  # whatever came with it waits as well

    def on_committed(self, committed: int, recorded: int) -> None:
        """Send what has become true."""
        waiting = self._waiting
        while waiting:
            first = waiting[0]
            if first.ticket > (recorded if first.of_definitions else committed):
                break
            self._outbox.write(waiting.popleft().frame)
        if self.is_holding and not waiting:
            self.is_holding = False
            self._outbox.nudge()

    def close(self) -> None:
        """The connection ends: nothing more is to be said on any channel."""
        self._waiting.clear()
        self.is_holding = False

    def drop(self, channel: int) -> None:
        """The channel is closed: nobody would understand what was promised on it."""
        kept = [each for each in self._waiting if each.channel != channel]
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

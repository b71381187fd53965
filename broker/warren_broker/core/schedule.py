"""Schedule: the messages of one virtual host that are to be published later.

A message says when by its headers (`directives`), or by the header that a policy names
for its exchange; of several moments the last one counts. All that a publish must pass
is asked when it comes. At its moment it is routed as if published then, but nobody
hears what becomes of it: its publisher had a confirm when it was taken.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, final

from warren.errors import PreconditionFailed
from warren_broker.core.agenda import Agenda
from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.directives import DELAY
from warren_broker.core.lease import LEASE_EXCHANGE
from warren_broker.core.message import Message
from warren_broker.core.moment import moment_of
from warren_broker.core.outcome import ACCEPTED, UNROUTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.exchange import Exchange
    from warren_broker.core.vhost import VHost

SLICE: Final = 1000
"""Messages that become due, and copies of them, in one turn; the others follow in the
next."""

_MILLISECONDS: Final = 1000.0
_ROUNDING_MS: Final = 0.5


@final
class Schedule(DeadlineOwner):
    """What waits to be published in a virtual host; its length is how many.

    Attributes:
        number: for the store; 0 while nothing durable was scheduled.
    """

    __slots__ = ("_agenda", "_positions", "_vhost", "_wakes_at", "number")

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost
        self._agenda = Agenda()
        self._positions: dict[int, int] = {}  # of what is in the store
        self._wakes_at = math.inf
        self.number = 0

    def __len__(self) -> int:
        return self._agenda.count

    def take(self, exchange: Exchange, message: Message) -> int | None:
        """Keep a message that is published to `exchange` if it is for later.

        Return what became of it; None if it is to be published now. One that is to take
        out another one, and finds none, is UNROUTED.

        Raises:
            PreconditionFailed: it is for too late, or as many wait as may.
        """
        directives = message.header.directives
        if directives is None and exchange.deliver_at_header is None:
            return None
        if exchange.name == LEASE_EXCHANGE:
            return None  # a lease cannot be extended later
        self._vhost.broker.work += 1
        if directives is not None and directives.cancel_id is not None:
            is_found = self._remove((exchange.name, directives.cancel_id))
            return ACCEPTED if is_found else UNROUTED
        due = self._due(exchange, message)
        name = None
        if directives is not None and directives.schedule_id is not None:
            name = exchange.name, directives.schedule_id
        is_due = due <= self._vhost.broker.now
        if not is_due and (name is None or name not in self._agenda):
            self._check_room(1)
        if name is not None:
            self._remove(name)
        if is_due:
            return None
        relieved = _relieved(message)
        self._store(self._agenda.add(relieved, due, name), relieved, due)
        if due < self._wakes_at:
            self._arm()
        return ACCEPTED

    def would_take(self, exchange: Exchange, message: Message) -> bool:
        """Whether `message` is for later, or not to be published at all.

        Raises PreconditionFailed as `take`.
        """
        directives = message.header.directives
        if directives is not None and directives.cancel_id is not None:
            return True
        return self._due(exchange, message) > self._vhost.broker.now

    def restore(self, number: int, message: Message, due: float, position: int) -> None:
        """Put back a message that the store has kept, in the order of numbers."""
        directives = message.header.directives
        name = None
        if directives is not None and directives.schedule_id is not None:
            name = message.route.exchange, directives.schedule_id
        self._agenda.go_on_after(number - 1)
        self._positions[self._agenda.add(_relieved(message), due, name)] = position
        self._arm()

    def _store(self, number: int, message: Message, due: float) -> None:
        """Keep beyond a restart what is persistent: its publisher was promised that."""
        broker = self._vhost.broker
        if broker.store is None or not message.header.persistent:
            return
        if not self.number:
            self.number = broker.store.new_number()
            self._vhost.definitions.put_schedule(self.number)
        self._positions[number] = broker.store.add(
            self.number, number, message, broker.wall_ms(due)
        )

    def _forget(self, number: int) -> None:
        """It will be needed no more, not even after a restart."""
        store, position = self._vhost.broker.store, self._positions.pop(number, 0)
        if position and store is not None:
            store.settle(self.number, number, position)

    def close(self) -> None:
        """The virtual host is deleted: nothing is published any more."""
        broker = self._vhost.broker
        broker.deadlines.cancel(self)
        if broker.store is not None:
            broker.store.settle_all(self.number, self._positions.items())
        self._positions = {}
        self._agenda = Agenda()

    def check(self, messages: Iterable[Message]) -> None:
        """Raise what `take` would raise if `messages` were published one by one.

        There must be room for all, even if some of them are to replace others.
        """
        now = self._vhost.broker.now
        count = 0
        for message in messages:
            exchange = self._vhost.exchanges.get(message.route.exchange)
            directives = message.header.directives
            is_cancel = directives is not None and directives.cancel_id is not None
            if exchange is not None and not is_cancel:
                count += self._due(exchange, message) > now
        if count:
            self._check_room(count)

    def on_deadline(self, now: float) -> None:
        """Publish what is due, one slice of it."""
        self._wakes_at = math.inf
        broker, agenda = self._vhost.broker, self._agenda
        work_until = broker.work + SLICE
        try:
            while broker.work < work_until and self._is_due(now):
                broker.work += 1
                taken = agenda.take()
                if taken is not None:
                    self._forget(taken[0])
                    self._publish(taken[1])
        finally:
            agenda.tidy(SLICE)
            self._arm()

    def _publish(self, message: Message) -> None:
        """Send `message` on its way; it is dropped if its exchange is gone.

        So it is if that was made anew as one that clients cannot publish to.
        """
        vhost = self._vhost
        exchange = vhost.exchanges.get(message.route.exchange)
        if exchange is None or exchange.internal:
            return
        targets = vhost.route(exchange, message)
        vhost.broker.work += len(targets)
        for target in targets:
            target.accept_answered(message)

    def _is_due(self, now: float) -> bool:
        when = self._agenda.next()
        return when is not None and when <= now

    def _due(self, exchange: Exchange, message: Message) -> float:
        """Return when `message` is to be published (monotonic seconds).

        Raises:
            PreconditionFailed: that is too late.
        """
        broker = self._vhost.broker
        directives = message.header.directives
        due = broker.now
        if directives is not None and directives.delay_ms is not None:
            due += directives.delay_ms / _MILLISECONDS
        if directives is not None and directives.deliver_at is not None:
            due = max(due, broker.at(directives.deliver_at))
        if exchange.deliver_at_header is not None:
            moment = moment_of(message.header.headers().get(exchange.deliver_at_header))
            if moment is not None:
                due = max(due, broker.at(moment))
        delay_ms = (due - broker.now) * _MILLISECONDS
        if delay_ms > broker.limits.schedule_horizon_ms + _ROUNDING_MS:
            text = f"{delay_ms:.15g}"
            raise PreconditionFailed(
                f"invalid delay '{text}': {{value_too_large,{text}}}"
            )
        return due

    def _check_room(self, count: int) -> None:
        limit = self._vhost.broker.limits.scheduled_max
        if self._agenda.count + count > limit:
            raise PreconditionFailed(
                f"cannot schedule message: limit ({limit}) of messages that wait"
                f" in vhost '{self._vhost.name}' is reached"
            )

    def _remove(self, name: tuple[str, str]) -> bool:
        number = self._agenda.remove(name)
        if number is None:
            return False
        self._forget(number)
        if self._agenda.is_untidy:
            self._arm()
        return True

    def _arm(self) -> None:
        """Ask to be told when there is something to do."""
        broker, agenda = self._vhost.broker, self._agenda
        when = broker.now if agenda.is_untidy else agenda.next()
        if when is not None:
            self._wakes_at = when
            broker.deadlines.set(self, when)


def _relieved(message: Message) -> Message:
    """Return `message` as it is to be published: what it asked for is done.

    Its `x-delay` is negated, as by RabbitMQ's plugin: it will not be delayed once more
    by whoever publishes it again with its headers.
    """
    header, directives = message.header, message.header.directives
    if directives is None:
        return message
    keys = header.extra_keys  # those in BCC are in the headers no more
    if directives.delay_ms is None:
        header.instruct(keys, directives.once_due())
        return message
    headers = header.headers()
    headers[DELAY] = -directives.delay_ms
    header = header.rewritten(headers, keep_expiration=True)
    header.instruct(keys, directives.once_due())
    return Message(message.route, header, message.body)

"""Routing: from the exchange a message was published to, to the queues that get it.

The walk is the specification: it visits each exchange once whatever the bindings
between exchanges look like, and asks an alternate exchange where nothing matched.
Its result is fixed if the routing key alone decides, as it does for most types, and is
then kept in the exchange until the topology changes.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.deduplication import unique_id
from warren_broker.core.exchange import Exchange
from warren_broker.core.named_queue import NamedQueue
from warren_broker.core.outcome import ACCEPTED, UNROUTED
from warren_broker.core.queue import Queue
from warren_broker.core.receipt import Receipt
from warren_broker.core.reply_to import ReplyQueue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.deduplication import Deduplication
    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Message
    from warren_broker.core.vhost import VHost

Target = NamedQueue | ReplyQueue

CACHE_MAX: Final = 4096
"""Routing keys whose routes an exchange keeps; one more and it starts again."""


@final
class Screening:
    """One message before the exchanges that let each message pass once.

    They learn of it by `remember`, when it is known to be published: a publisher that
    was refused will try again.

    Attributes:
        is_stopped: some exchange did not let it pass.
        is_refused: one of those wants its publisher to know.
    """

    __slots__ = ("_now", "_passed", "_unique", "is_refused", "is_stopped")

    def __init__(self, message: Message, now: float) -> None:
        self._unique = unique_id(message)
        self._now = now
        self._passed: list[Deduplication] = []
        self.is_stopped = False
        self.is_refused = False

    def passes(self, deduplication: Deduplication) -> bool:
        """Whether an exchange lets the message pass."""
        if self._unique is None:
            return True
        if not deduplication.seen.knows(self._unique, self._now):
            self._passed.append(deduplication)
            return True
        deduplication.duplicate_count += 1
        self.is_stopped = True
        self.is_refused |= deduplication.refuses
        return False

    def receipt(self, receipt: Receipt | None) -> Receipt | None:
        """Have a say in what targets came to: a `receipt`, None if all have taken."""
        if self.is_refused:
            receipt = receipt or Receipt()
            receipt.is_refused = True
        elif receipt is None:
            self.remember()
        else:
            receipt.on_taken = self.remember
        return receipt

    def remember(self) -> None:
        """The message was published: whoever let it pass will not do so again."""
        if self._unique is not None:
            for deduplication in self._passed:
                deduplication.seen.add(self._unique, self._now)


def walk(
    exchanges: Mapping[str, Exchange],
    start: Exchange,
    message: Message,
    exchanges_max: int,
    now: float,
) -> tuple[tuple[Target, ...], bool, Screening | None]:
    """Return the queues for `message`, and whether all with its routing key go there.

    CC and BCC are further routing keys (RabbitMQ's extension); a queue gets one copy
    however many ways lead there. Exchanges that must know of every message learn of
    this one. What those have to say that let each message pass once comes as well;
    None if there was no such exchange on the way.
    """
    header = message.header
    keys = (message.route.routing_key, *header.extra_keys)
    directives = header.directives
    names_partition = directives is not None and directives.partition is not None
    is_fixed = not header.extra_keys and not names_partition
    screening: Screening | None = None
    found: dict[Target, None] = {}
    seen = {start}
    waiting = deque([start])
    while waiting and len(seen) <= exchanges_max:
        exchange = waiting.popleft()
        if exchange.deduplication is not None:
            is_fixed = False
            screening = screening or Screening(message, now)
            if not screening.passes(exchange.deduplication):
                continue
        if not exchange.has_fixed_routes:
            is_fixed = False
            exchange.on_message(message)
        matched = False
        for key in keys[:1] if exchange.chooses_one else keys:
            for destination in exchange.match(key, header):
                matched = True
                if isinstance(destination, NamedQueue | ReplyQueue):
                    found[destination] = None
                elif isinstance(destination, Exchange):
                    _follow(destination, seen, waiting)
        if not matched and exchange.alternate is not None:
            _follow(exchanges.get(exchange.alternate), seen, waiting)
    return tuple(found), is_fixed, screening


def _follow(
    exchange: Exchange | None, seen: set[Exchange], waiting: deque[Exchange]
) -> None:
    """Let the walk visit `exchange`, if it is there, and once."""
    if exchange is not None and exchange not in seen:
        seen.add(exchange)
        waiting.append(exchange)


def find_route(
    vhost: VHost, exchange: Exchange, message: Message
) -> tuple[tuple[Target, ...], Screening | None]:
    """Return what `walk` finds for `message` in `vhost`; keep it if it is fixed."""
    limits, now = vhost.broker.limits, vhost.broker.now
    queues, is_fixed, screening = walk(
        vhost.exchanges, exchange, message, limits.exchanges_per_route_max, now
    )
    if exchange.deliver_at_header is not None:
        is_fixed = False  # it is the schedule that decides
    if not is_fixed:
        return queues, screening
    if exchange.routes_generation != vhost.generation:
        exchange.routes.clear()
        exchange.routes_generation = vhost.generation
    elif len(exchange.routes) >= CACHE_MAX:
        exchange.routes.clear()
    exchange.routes[message.route.routing_key] = queues
    return queues, None


def foresee(vhost: VHost, message: Message) -> list[Queue]:
    """Return the queues to which `message` would go now, and change nothing.

    The walk without those who want to know; what lets messages pass once lets it pass,
    and what chooses at random may choose otherwise when it comes.
    """
    start, header = vhost.exchanges.get(message.route.exchange), message.header
    if start is None or vhost.schedule.would_take(start, message):
        return []
    keys = (message.route.routing_key, *header.extra_keys)
    found: dict[Queue, None] = {}
    seen, waiting = {start}, deque([start])
    while waiting and len(seen) <= vhost.broker.limits.exchanges_per_route_max:
        exchange = waiting.popleft()
        destinations: list[Destination | None] = [
            destination
            for key in (keys[:1] if exchange.chooses_one else keys)
            for destination in exchange.match(key, header)
        ]
        if not destinations and exchange.alternate is not None:
            destinations = [vhost.exchanges.get(exchange.alternate)]
        for destination in destinations:
            if isinstance(destination, Queue):
                found[destination] = None
            elif isinstance(destination, Exchange):
                _follow(destination, seen, waiting)
    return list(found)


def publish_by_walk(vhost: VHost, exchange: Exchange, message: Message) -> int:
    """Publish to `exchange` what its routes do not tell about, see `VHost.publish`.

    What was stopped somewhere and goes nowhere else counts as taken: a duplicate is no
    message without a route.

    Raises:
        PreconditionFailed: see `Schedule.take`.
    """
    outcome = vhost.schedule.take(exchange, message)
    if outcome is not None:
        return outcome
    queues, screening = find_route(vhost, exchange, message)
    if not queues and (screening is None or not screening.is_stopped):
        return UNROUTED
    vhost.broker.work += len(queues) or 1
    receipt = None
    for target in queues:
        if not target.accept(message):
            receipt = vhost.untaken.note(receipt, target, message)
    if screening is not None:
        if screening.is_stopped:
            vhost.broker.lean_on_store()
        receipt = screening.receipt(receipt)
    return ACCEPTED if receipt is None else vhost.untaken.outcome(receipt)


def hand_over(vhost: VHost, message: Message, destination: Destination) -> None:
    """Publish `message` to `destination` as if it came through a binding."""
    targets: tuple[Target, ...] = ()
    if isinstance(destination, NamedQueue):
        targets = (destination,)
    elif isinstance(destination, Exchange):
        targets = vhost.route(destination, message)
    vhost.broker.work += len(targets)
    for target in targets:
        target.accept_answered(message)

"""Dead-lettering: what a queue gave up is published to its dead letter exchange.

The header `x-death` tells the history, as RabbitMQ writes it: one table for each
queue and reason, the most recent first, with a count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, final

from warren_broker.core.message import Message, Route
from warren_broker.core.named_queue import NamedQueue

if TYPE_CHECKING:
    from warren_broker.core.queue import Queue
    from warren_broker.core.reply_to import ReplyQueue
    from warren_broker.core.vhost import VHost

_DEATH: Final = "x-death"
_COUNT_MAX: Final = 2**63 - 1  # what a field table can hold

_BY_CONSUMERS: Final = frozenset({"rejected", "consumer_timeout"})
"""The reasons that a consumer has given, or has by its silence."""

CASCADE_MAX: Final = 3000
"""Letters and copies that dead letters may set off in one turn; the rest is dropped.

Dead letter exchanges that fan out into one another multiply a message at each step.
"""

COPIES_MIN: Final = 8
"""What every letter may set off, however many went before it in the turn."""


class _Death(NamedTuple):
    queue: Queue
    message: Message
    reason: str


@final
class DeadLetters:
    """Messages on their way from a queue of one virtual host to its exchange.

    They wait in line instead of being published where they fall: a chain of full
    queues that dead-letter into one another must not become a chain of calls. And
    they wait while entries come back (`hold`), to find all of them in their places.
    """

    __slots__ = (
        "_dropped",
        "_held",
        "_hold_count",
        "_is_sending",
        "_left",
        "_line",
        "_turn",
        "_vhost",
    )

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost
        self._held: deque[_Death] = deque()
        self._hold_count = 0
        self._is_sending = False
        self._line: deque[_Death] = deque()  # what the letter that is sent set off
        self._turn = -1
        self._left = 0  # how much more it may set off
        self._dropped = 0

    def add(self, queue: Queue, message: Message, reason: str) -> None:
        """Dead-letter `message` of `queue`; reasons are RabbitMQ's words."""
        death = _Death(queue, message, reason)
        if not self._is_sending:
            self._held.append(death)
            if not self._hold_count:
                self._send()
        elif self._left > 0:
            self._left -= 1
            self._line.append(death)
        else:
            self._dropped += 1

    def hold(self) -> None:
        """Let letters wait until `release`."""
        self._hold_count += 1

    def release(self) -> None:
        """End what `hold` began, and send what waits."""
        self._hold_count -= 1
        if not self._hold_count and not self._is_sending:
            self._send()

    def _send(self) -> None:
        """Send what was held, one after the other, each with what it sets off."""
        self._is_sending = True
        try:
            while self._held:
                self._open_budget()
                self._line.append(self._held.popleft())
                while self._line:
                    self._publish(self._line.popleft())
        finally:
            self._is_sending = False
        if self._dropped:
            count, self._dropped = self._dropped, 0
            vhost = self._vhost
            vhost.broker.notice("dead letters dropped", vhost=vhost.name, count=count)

    def _open_budget(self) -> None:
        """Let one more letter set others off: a few always, many once a turn."""
        turn = self._vhost.broker.turn
        if turn != self._turn:
            self._turn, self._left = turn, CASCADE_MAX
        self._left = max(self._left, COPIES_MIN)

    def _publish(self, death: _Death) -> None:
        name = death.queue.rules.dead_letter_exchange
        exchange = None if name is None else self._vhost.exchanges.get(name)
        if exchange is None:
            return  # RabbitMQ: a missing dead letter exchange drops silently
        key = death.queue.rules.dead_letter_routing_key
        message = self._letter(death, exchange.name, key)
        deaths = _deaths(message.header.headers())
        if self._is_endless(deaths):
            return
        queues = self._vhost.route(exchange, message)
        self._left -= len(queues)
        self._vhost.broker.work += 1 + len(queues)
        for queue in queues:
            if not self._is_cycle(queue, deaths):
                queue.accept_answered(message)

    def _is_cycle(
        self, target: NamedQueue | ReplyQueue, deaths: list[dict[str, object]]
    ) -> bool:
        """Whether a message went in a circle to `target` with nobody rejecting it.

        Such a circle would never end; one with a reject in it is driven by a consumer.
        What goes to a stream, or to a queue that is tapped, goes on to the queues which
        the stream feeds.
        """
        sources = {target.name}
        if isinstance(target, NamedQueue) and target.declared.tap is not None:
            sources.add(target.declared.tap)
        for position, record in enumerate(deaths):
            name = record.get("queue")
            died_in = self._vhost.queues.get(name) if isinstance(name, str) else None
            is_fed = died_in is not None and died_in.declared.source_stream in sources
            if name == target.name or is_fed:
                return _nobody_rejected(deaths[: position + 1])
        return False

    def _is_endless(self, deaths: list[dict[str, object]]) -> bool:
        """Whether a message died in as many places as are remembered, by itself.

        In a circle of more queues than that it would not be found out.
        """
        maximum = self._vhost.broker.limits.death_records_max
        return len(deaths) >= maximum and _nobody_rejected(deaths)

    def _letter(self, death: _Death, exchange: str, key: str | None) -> Message:
        """The message as it goes on: new route, `x-death`, no expiration."""
        header, old_route = death.message.header, death.message.route
        headers = header.headers()
        headers.pop("BCC", None)
        copies = headers.get("CC")  # of those in BCC nobody may learn
        keys = [old_route.routing_key, *(copies if isinstance(copies, list) else ())]
        if key is not None:
            headers.pop("CC", None)  # a routing key of its own replaces them all
        now = datetime.fromtimestamp(int(self._vhost.broker.wall_seconds), UTC)
        record = {
            "count": 1,
            "reason": death.reason,
            "queue": death.queue.name,
            "time": now,
            "exchange": old_route.exchange,
            "routing-keys": keys,
        }
        if header.expiration_ms is not None:
            record["original-expiration"] = str(header.expiration_ms)
        maximum = self._vhost.broker.limits.death_records_max
        headers[_DEATH] = _merge(_deaths(headers), record)[:maximum]
        for moment in ("first", "last"):
            if moment == "last" or "x-first-death-queue" not in headers:
                headers[f"x-{moment}-death-queue"] = death.queue.name
                headers[f"x-{moment}-death-reason"] = death.reason
                headers[f"x-{moment}-death-exchange"] = old_route.exchange
        route = Route(exchange, old_route.routing_key if key is None else key, b"")
        rewritten = header.rewritten(headers, keep_expiration=False)
        return Message(route, rewritten, death.message.body)


def _deaths(headers: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the records of `x-death`; a publisher may have put anything there."""
    records = headers.get(_DEATH)
    if not isinstance(records, list):
        return []
    return [dict(record) for record in records if isinstance(record, Mapping)]


def _merge(
    deaths: list[dict[str, object]], record: dict[str, object]
) -> list[dict[str, object]]:
    """Count `record` where queue and reason are known, and put it first."""
    for known in deaths:
        if all(known.get(name) == record[name] for name in ("queue", "reason")):
            count = known.get("count")
            before = min(count, _COUNT_MAX - 1) if isinstance(count, int) else 0
            known["count"] = before + 1
            deaths.remove(known)
            return [known, *deaths]
    return [record, *deaths]


def _nobody_rejected(deaths: list[dict[str, object]]) -> bool:
    return all(death.get("reason") not in _BY_CONSUMERS for death in deaths)

"""Control: what a test sees of its broker, and does to it.

One class for both places a broker can be in: `ask` is how to get from the test to the
broker's loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warren_broker.testing.faults import Faults
from warren_broker.testing.publishes import published_message
from warren_broker.testing.stage import NotServing
from warren_broker.testing.survey import connection_state, queue_states, remaining

if TYPE_CHECKING:
    from warren_broker.testing.faults import Ask
    from warren_broker.testing.stage import Stage
    from warren_broker.testing.values import (
        ConnectionState,
        Event,
        PublishedMessage,
        QueueState,
    )

POLL_SECONDS: Final = 0.001
WAIT_SECONDS: Final = 5.0
"""How long a test waits for clients, unless it says otherwise."""

REPORT_EVENTS: Final = 30
REPORT_MESSAGES: Final = 5


class Control:
    """A running broker, in a test's hand.

    What it returns are values: they stay as they are whatever happens next. While the
    broker is stopped everything but `url`, `published` and `events` raises NotServing.

    Attributes:
        faults: what can go wrong.
    """

    def __init__(self, stage: Stage, ask: Ask) -> None:
        self.faults = Faults(stage, ask)
        self._stage = stage
        self._ask = ask

    @property
    def url(self) -> str:
        """Where clients connect to, such as ``amqp://127.0.0.1:40812/``.

        Raises NotServing if that is nowhere: a broker in a nursery without a port.
        """
        if not self._stage.urls:
            raise NotServing("it has no port: ask for one (tcp=True), or connect()")
        return self._stage.urls[0]

    def queues(self, vhost: str = "/") -> dict[str, QueueState]:
        """Return all queues of a virtual host, by name.

        Raises KeyError if there is no such virtual host.
        """
        stage = self._stage

        def look() -> dict[str, QueueState]:
            queues = stage.broker.vhosts[vhost].queues
            return queue_states(queues.values(), stage.connections)

        return self._ask(look)

    def queue(self, name: str, vhost: str = "/") -> QueueState:
        """Return a queue as it is now. Raises KeyError if there is none."""
        stage = self._stage

        def look() -> QueueState:
            queue = stage.broker.vhosts[vhost].queues[name]
            return queue_states([queue], stage.connections)[name]

        return self._ask(look)

    def published(
        self, exchange: str | None = None, *, vhost: str | None = None
    ) -> list[PublishedMessage]:
        """Return what clients have published, in order, to one exchange or to any.

        "" is the default exchange, by which a queue is named directly. Messages that a
        publish error has closed a channel for are not there. Of long tests only the
        last 10 000 messages are kept, and of those the last 64 MiB.
        """
        seen = self._ask(lambda: list(self._stage.publishes.seen))
        return [
            published_message(where, message, outcome)
            for where, message, outcome in seen
            if exchange in (None, message.route.exchange) and vhost in (None, where)
        ]

    def scheduled_count(self, vhost: str = "/") -> int:
        """Return how many messages wait for the moment when they are published."""
        return self._ask(lambda: len(self._stage.broker.vhosts[vhost].schedule))

    def connections(self) -> list[ConnectionState]:
        """Return the clients that have logged in."""
        stage = self._stage
        return self._ask(lambda: list(map(connection_state, stage.connections)))

    def events(self) -> list[Event]:
        """Return what the broker had to say: the last 1000 lines of its log."""
        return self._ask(lambda: list(self._stage.events.all))

    def remaining(self, *, scheduled: bool = False) -> list[str]:
        """Return what keeps the broker from being idle, a line each; see `wait_idle`.

        What waits for its time counts only if `scheduled`.
        """
        stage = self._stage
        return self._ask(
            lambda: remaining(stage.broker, stage.connections, scheduled=scheduled)
        )

    def report(self) -> str:
        """Return all of this as text, for who wants to know why a test has failed."""
        where = f"at {self.url}" if self._stage.urls else "in memory"
        lines = [f"broker {where}"]
        if self._ask(lambda: self._stage.is_serving):
            lines += self._connection_lines()
            vhosts = self._ask(lambda: list(self._stage.broker.vhosts))
            for vhost in vhosts:
                for queue in self.queues(vhost).values():
                    lines += _queue_lines(queue)
        else:
            lines.append("stopped")
        lines.append("last events")
        lines += [f"  {event}" for event in self.events()[-REPORT_EVENTS:]]
        return "\n".join(lines)

    def _connection_lines(self) -> list[str]:
        return [
            f"connection {each.address} {each.name or each.product}:"
            f" {each.channel_count} channels, {each.consumer_count} consumers,"
            f" {each.unacked_count} unacked"
            for each in self.connections()
        ]


def still_there(lines: list[str], seconds: float) -> TimeoutError:
    """Return the error of a wait for idleness that came to nothing."""
    return TimeoutError(f"not idle after {seconds} s\n  " + "\n  ".join(lines))


def _queue_lines(queue: QueueState) -> list[str]:
    """Return a queue and its first messages."""
    counts = (
        f"queue '{queue.name}' in vhost '{queue.vhost}': {len(queue.ready)} ready,"
        f" {len(queue.unacked)} unacked, {len(queue.delayed)} delayed,"
        f" {queue.consumer_count} consumers"
    )
    shown = queue.messages[:REPORT_MESSAGES]
    more = len(queue) - len(shown)
    lines = [f"  {message}" for message in shown]
    return [counts, *lines, *([f"  and {more} more"] if more else [])]

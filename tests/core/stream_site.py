"""A broker with streams whose logs outlive it: in memory, as if on a disk.

What was said to the store is safe at once but for records: those are safe when the turn
of their log has come, and a crash before that loses them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.core.support import GUEST, Channel, PlainHeader, at
from warren_broker.core.arguments import parse_consumer_arguments
from warren_broker.core.arguments.modes import QueueType
from warren_broker.core.broker import Broker
from warren_broker.core.message import Message, Route
from warren_broker.core.restoration import Restoration
from warren_broker.core.session import Session
from warren_broker.core.store import Store
from warren_broker.core.stream.consumer import RecordConsumer
from warren_broker.core.stream.leases import stream_lease
from warren_broker.core.stream.memory_log import MemoryLog
from warren_broker.core.stream.stream import Stream
from warren_broker.core.stream.subscribing import subscribe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from warren.errors import ChannelError
    from warren_broker.core.limits import Limits
    from warren_broker.core.queue import Entry
    from warren_broker.core.queue.packing import Run
    from warren_broker.core.store import Key
    from warren_broker.core.stream.loan import Loan
    from warren_broker.core.stream.log import Log, LogOwner
    from warren_broker.core.stream.record import Record


class StreamHeader(PlainHeader):
    """A header whose names can be seen without decoding it."""

    def __init__(self, headers: Mapping[str, object]) -> None:
        super().__init__(headers, payload=repr(dict(headers)).encode())


def record(
    key: str = "s", body: bytes = b"", exchange: str = "", **headers: object
) -> Message:
    """A message to the stream `s`; `x_expected_offset` stands for that header."""
    table = {name.replace("_", "-"): value for name, value in headers.items()}
    return Message(Route(exchange, key, b""), StreamHeader(table), body)


class NotingLog(MemoryLog):  # type: ignore[misc]
    """A log that remembers producers longer than their records, as one on disk does."""

    def __init__(self, broker: Broker, owner: LogOwner, *, segment_bytes: int) -> None:
        super().__init__(broker, owner, segment_bytes=segment_bytes)
        self.came: list[tuple[int, tuple[str, int]]] = []

    def append(self, record: Record, producer: tuple[str, int] | None) -> None:
        super().append(record, producer)
        if producer is not None:
            self.came.append((record.offset, producer))


class KeptStore(Store):
    """Definitions, and logs by number, that outlive brokers."""

    def __init__(self) -> None:
        self.count = self.said = self.committed = 0
        self.definitions: dict[Key, Mapping[str, object]] = {}
        self.logs: dict[int, NotingLog] = {}
        self.numbers = 0
        self.broker: Broker | None = None

    def new_number(self) -> int:
        self.numbers += 1
        return self.numbers

    def open_log(self, number: int, owner: LogOwner, *, segment_bytes: int) -> Log:
        assert self.broker is not None
        log = NotingLog(self.broker, owner, segment_bytes=segment_bytes)
        known = self.logs.get(number)
        if known is not None:
            self._take_over(log, known)
        self.logs[number] = log
        return log

    def _take_over(self, log: NotingLog, known: NotingLog) -> None:
        """Only what was safe is still there."""
        log._segments = known._segments
        while len(log._segments) > 1 and log._segments[-1].first >= known.end:
            log._segments.pop()
        for segment in log._segments:
            segment.keep([each for each in segment.records if each.offset < known.end])
            segment.end = min(segment.end, known.end)
            for each in segment.records:
                log.newest_ms = each.timestamp_ms
        log.first, log.end, log.count = known.first, known.end, known.count
        log.came = [each for each in known.came if each[0] < known.end]
        for _, (producer_id, sequence) in log.came:
            log.producers.pop(producer_id, None)
            log.producers[producer_id] = sequence

    def define(self, key: Key, value: Mapping[str, object] | None) -> None:
        if value is None:
            self.definitions.pop(key, None)
        else:
            self.definitions[key] = value

    def add(self, number: int, sequence: int, message: Message, expires_ms: int) -> int:
        raise AssertionError("no queue is durable here")

    def when_written(self, run: Run) -> None:
        raise AssertionError("no queue is durable here")

    def recall(
        self, number: int, places: Iterable[tuple[int, int]], checksum: int
    ) -> list[Message]:
        raise AssertionError("no queue is durable here")

    def want(self, number: int, first: tuple[int, int], last: tuple[int, int]) -> None:
        raise AssertionError("no queue is durable here")

    def settle(self, number: int, sequence: int, position: int) -> None:
        raise AssertionError("no queue is durable here")

    def settle_all(self, number: int, places: Iterable[tuple[int, int]]) -> None:
        raise AssertionError("no queue is durable here")

    def count_return(self, number: int, sequence: int, count: int) -> None:
        raise AssertionError("no queue is durable here")


class Given(NamedTuple):
    """A record that a listener was given."""

    tag: int
    entry: Entry
    marks: Mapping[str, object]
    redelivered: bool

    @property
    def offset(self) -> int:
        return self.entry.sequence

    @property
    def stream(self) -> str:
        return str(self.entry.queue.stream.name)  # type: ignore[attr-defined]

    @property
    def body(self) -> bytes:
        return self.entry.message.body


class Listener(RecordConsumer):
    """A consumer of streams whose peer is a list."""

    channel: Channel
    given: list[Given]
    failures: list[ChannelError]
    is_cancelled = False

    def deliver(self, entry: Entry) -> None:
        unacked = self.channel.unacked
        if self.no_ack:
            unacked.tag += 1
        else:
            unacked.add(entry)
        given = Given(unacked.tag, entry, entry.marks, entry.redelivered)
        self.given.append(given)

    def deliver_loan(self, loan: Loan) -> Loan | None:
        if self.no_ack or self.ack_timeout_seconds is not None:
            return None
        held = self.channel.unacked.lend(loan)
        for tag, entry in enumerate(loan.entries(0.0), loan.tag):
            self.given.append(Given(tag, entry, loan.marks, redelivered=False))
        return held

    def on_cancelled(self) -> None:
        self.is_cancelled = True

    def fail(self, error: ChannelError) -> None:
        self.failures.append(error)


class Site:
    """A broker, and what survives it."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits
        self.store = KeptStore()
        self.now = 0.0
        self.start()

    def start(self, *, is_clean: bool = False) -> None:
        """Start a broker with what there is, after a crash or a stop."""
        self.broker = Broker(self.limits, now=self.now, wall_seconds=self.now)
        self.broker.raises_bugs = True
        self.store.broker = self.broker
        restoration = Restoration(self.broker, is_clean=is_clean)
        restoration.define(self.store.definitions)
        self.broker.store = self.store
        restoration.finish()
        self.session = Session(self.broker.vhosts["/"], GUEST)
        self.settle()

    def settle(self, seconds: float = 0.0) -> None:
        """Let all happen that is due, and time pass."""
        self.now += seconds
        at(self.broker, self.now)
        while (when := self.broker.next_deadline()) is not None and when <= self.now:
            self.broker.on_deadline(self.now)

    def declare(self, name: str = "s", **arguments: object) -> Stream:
        table = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.session.declare_queue(
            name,
            durable=True,
            exclusive=False,
            auto_delete=False,
            arguments={"x-queue-type": "stream", **table},
        )
        return self.stream(name)

    def stream(self, name: str = "s") -> Stream:
        stream = self.broker.vhosts["/"].queues[name]
        assert isinstance(stream, Stream)
        return stream

    def publish(self, message: Message) -> int:
        return self.session.publish(message)

    def channel(self) -> Channel:
        return Channel(self.session)

    def listen(
        self,
        name: str = "s",
        tag: str = "",
        *,
        channel: Channel | None = None,
        prefetch: int = 1000,
        no_ack: bool = False,
        settles: bool = True,
        **arguments: object,
    ) -> Listener:
        """Consume; `offset` stands for `x-stream-offset`, `group` for `x-group`."""
        table = {
            "x-group" if key == "group" else f"x-stream-{key.replace('_', '-')}": value
            for key, value in arguments.items()
        }
        found = self.session.consumable(name)
        wishes = parse_consumer_arguments(table, name, "/", QueueType.STREAM)
        subscription = subscribe(found, wishes, tag)  # type: ignore[arg-type]
        channel = channel or self.channel()
        listener = Listener(
            subscription,
            tag or "made up",
            no_ack=no_ack,
            exclusive=False,
            priority=0,
            window=channel.window,
        )
        listener.channel, listener.given, listener.failures = channel, [], []
        listener.prefetch = prefetch
        listener.take_lease(stream_lease(self.broker, wishes))
        subscription.attach(listener)
        subscription.dispatch()
        if settles:
            self.settle()
        return listener

    def ack(self, listener: Listener, *given: Given) -> None:
        for each in given:
            listener.channel.unacked.settle(each.tag, multiple=False)
        self.settle()

    def ack_run(self, listener: Listener, tags: list[int]) -> None:
        """Ack `tags`, some of them at once if they are the first of a loan."""
        unacked, done = listener.channel.unacked, 0
        while done < len(tags):
            lent = unacked.loans.settle_run(tags, done) if unacked.loans.count else 0
            if not lent:
                unacked.settle(tags[done], multiple=False)
            done += lent or 1
        self.settle()

    def ack_until(self, listener: Listener, tag: int) -> None:
        listener.channel.unacked.settle(tag, multiple=True)
        self.settle()

    def nack(self, listener: Listener, given: Given, *, requeue: bool = True) -> None:
        listener.channel.unacked.refuse(given.tag, multiple=False, requeue=requeue)
        self.settle()

    def leave(self, listener: Listener) -> None:
        """Its channel ends."""
        listener.paused = True
        listener.channel.unacked.close()
        listener.queue.detach(listener)
        self.settle()

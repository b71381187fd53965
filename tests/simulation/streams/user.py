"""A user who reads streams as well, and queues that they feed, on another channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from tests.simulation.history import Violation
from tests.simulation.site import name_of
from tests.simulation.streams.book import Course, Sighting
from tests.simulation.user import User
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicNack,
    BasicQos,
    BasicQosOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    TxCommitOk,
)

if TYPE_CHECKING:
    from tests.pairs import Arrival
    from tests.simulation.ledger import Note
    from tests.simulation.streams.book import Book, StreamTerms
    from tests.simulation.streams.ledger import Feed, StreamLedger
    from warren.wire.table import Table
    from warren_broker.core.stream.stream import Stream

READING = 2
OFFSET, GAP, COUNT = "x-stream-offset", "x-stream-gap", "x-delivery-count"


class Hearer(ABC):
    """One who is given records by their offsets."""

    prefetch: int
    no_ack: bool

    @abstractmethod
    def give(self, offset: int, gap: int | None, *, redelivered: bool) -> None:
        """It is given a record. Raises Violation if that may not be."""

    @abstractmethod
    def settle(self, offset: int) -> None:
        """It is about to settle that."""

    @abstractmethod
    def give_back(self, offset: int) -> None:
        """It is about to have that given once more."""

    @abstractmethod
    def let_go(self, offset: int) -> None:
        """It is gone, and has not settled that."""


class Reading(Hearer):
    """A consumer of a stream: all comes in order, and nothing is left out."""

    def __init__(
        self, book: Book, course: Course | None, at: int | None, prefetch: int
    ) -> None:
        """With `at` None it goes on where `course` has come to."""
        self.book, self.course, self.next = book, course, at
        self.prefetch, self.no_ack = prefetch, False
        self.returned: set[int] = set()

    def give(self, offset: int, gap: int | None, *, redelivered: bool) -> None:
        if offset in self.returned:
            self.returned.discard(offset)
            if not redelivered:
                raise Violation(f"{self.book.name}: {offset} comes again as new")
            return
        if self.returned:
            raise Violation(f"{self.book.name}: {offset} before {self.returned}")
        at = self.next
        if at is None:
            at = offset - (gap or 0)
            assert self.course is not None
            self.book.check_passed(self.course, at, "who goes on")
        at += gap or 0
        holes = range(at, offset)
        if offset < at or not all(map(self.book.may_be_gone, holes)):
            raise Violation(f"{self.book.name}: {offset} comes, not {at}")
        self.next = offset + 1

    def settle(self, offset: int) -> None:
        if self.course is not None:
            self.course.settled.add(offset)

    def give_back(self, offset: int) -> None:
        self.returned.add(offset)

    def let_go(self, offset: int) -> None:
        """Whoever goes on under its name gets it."""


class Helper(Hearer):
    """A consumer of a queue that a stream feeds."""

    def __init__(self, feed: Feed, prefetch: int, *, no_ack: bool) -> None:
        self.feed, self.book = feed, feed.book
        self.prefetch, self.no_ack = prefetch, no_ack

    def give(self, offset: int, gap: int | None, *, redelivered: bool) -> None:
        self.feed.give(offset)

    def settle(self, offset: int) -> None:
        self.feed.settle(offset)

    def give_back(self, offset: int) -> None:
        self.feed.give_back(offset)

    def let_go(self, offset: int) -> None:
        self.feed.give_back(offset)


class StreamUser(User):
    """Somebody with two channels: one is for reading.

    Attributes:
        hearers: by consumer tag.
        held: by delivery tag, what is not settled, and whose it is.
    """

    CHANNELS = (1, READING)
    _ledger: StreamLedger

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.hearers: dict[str, Hearer] = {}
        self.held: dict[int, tuple[Hearer, int]] = {}
        self._notes: dict[int, str] = {}  # by number of the publish

    def publish(self, *notes: Note) -> None:
        for number, note in enumerate(notes, self._published + 1):
            self._notes[number] = note.name
        super().publish(*notes)

    def declare_stream(self, name: str, terms: StreamTerms) -> None:
        self._ledger.declare_stream(name, terms)
        self._declare(name, terms.arguments)

    def declare_feed(self, name: str, source: str) -> None:
        self._ledger.declare_feed(name, source, self.stream(source).log.first)
        self._declare(name, {"x-source-stream": source})

    def _declare(self, name: str, arguments: Table) -> None:
        method = QueueDeclare(queue=name, durable=True, arguments=arguments)
        self._ask(method, QueueDeclareOk, ("stream", name))

    def delete_stream(self, name: str) -> None:
        self._ledger.delete_stream(name)
        self._ask(QueueDelete(queue=name), QueueDeleteOk, ("stream", name))

    def stream(self, name: str) -> Stream:
        """What a client does not see: how long it is."""
        return self._site.broker.vhosts["/"].queues[name]  # type: ignore[return-value]

    # --- reading

    def read(self, name: str, at: str | int, prefetch: int) -> None:
        """Read a stream under no name, from `at` on."""
        log, following = self.stream(name).log, self.stream(name).next_offset
        start = {"first": log.first, "next": following}.get(at)  # type: ignore[call-overload]
        if start is None:
            start = min(int(at), following)
        reading = Reading(self._ledger.books[name], None, start, prefetch)
        arguments: Table = {"x-stream-offset": at}
        arguments["x-stream-automatic-offset-tracking"] = False
        self._hear_from(name, reading, arguments)

    def follow(self, name: str, reference: str, prefetch: int) -> None:
        """Read a stream under a name, from where that has come to."""
        stream, book = self.stream(name), self._ledger.books[name]
        start = None
        if reference not in book.courses:
            start = stream.next_offset
            book.courses[reference] = Course(start)
        reading = Reading(book, book.courses[reference], start, prefetch)
        self._hear_from(name, reading, {"x-stream-reference": reference})

    def join_group(self, name: str, group: str, prefetch: int) -> None:
        """Be one of those who read a stream together, from its beginning."""
        stream, book = self.stream(name), self._ledger.books[name]
        book.courses.setdefault(group, Course(stream.log.first))
        reading = Reading(book, book.courses[group], None, prefetch)
        arguments: Table = {"x-group": group, "x-stream-offset": "first"}
        self._hear_from(name, reading, arguments)

    def help(self, queue: str, prefetch: int, *, no_ack: bool) -> None:
        """Consume a queue that a stream feeds."""
        helper = Helper(self._ledger.feeds[queue], prefetch, no_ack=no_ack)
        self._hear_from(queue, helper, {})

    def _hear_from(self, name: str, hearer: Hearer, arguments: Table) -> None:
        tag = f"{name} {len(self.hearers)} {self._ledger.history.step}"
        self.hearers[tag] = hearer
        for each in self.hearers.values():
            each.prefetch = hearer.prefetch  # the broker has it for all of a channel
        self._send(
            BasicQos(0, hearer.prefetch),
            BasicConsume(
                queue=name, consumer_tag=tag, no_ack=hearer.no_ack, arguments=arguments
            ),
            channel=READING,
        )

    def cancel(self, tag: str) -> None:
        """Read no more under `tag`; what is held can still be settled."""
        del self.hearers[tag]
        self._send(BasicCancel(tag), channel=READING)

    def settle_records(self, tags: list[int], kind: str, *, multiple: bool) -> None:
        """As `settle`, for what came on the other channel."""
        for tag in tags:
            hearer, offset = self.held.pop(tag)
            if kind == "requeue":
                hearer.give_back(offset)
            else:
                hearer.settle(offset)
        if kind == "ack":
            self._send(BasicAck(tags[-1], multiple), channel=READING)
        else:
            method = BasicNack(tags[-1], multiple, requeue=kind == "requeue")
            self._send(method, channel=READING)

    def leave(self, how: str) -> None:
        super().leave(how)
        for hearer, offset in self.held.values():
            hearer.let_go(offset)
        self.hearers.clear()
        self.held.clear()

    def is_at_rest(self, hearer: Hearer) -> bool:
        """Whether it would get more if there was more."""
        held = sum(each is hearer for each, _ in self.held.values())
        return held < hearer.prefetch

    # --- hearing

    def _hear(self, arrival: Arrival) -> None:
        method = arrival.method
        if arrival.channel != READING:
            if isinstance(method, TxCommitOk):
                self._ledger.confirm(self._asked_in, self._site.store.committed)
            super()._hear(arrival)
        elif isinstance(method, BasicDeliver):
            self._hear_record(arrival, method)
        elif isinstance(method, BasicCancel):
            self.hearers.pop(method.consumer_tag, None)
        elif not isinstance(method, BasicConsumeOk | BasicQosOk | BasicCancelOk):
            raise Violation(f"unexpected: {method}")

    def _hear_confirm(self, method: BasicAck | BasicNack) -> None:
        before = dict(self._confirms)
        super()._hear_confirm(method)
        for number in before.keys() - self._confirms.keys():
            name = self._notes.pop(number)
            self._ledger.confirm(before[number], self._site.store.committed, name)

    def _hear_record(self, arrival: Arrival, method: BasicDeliver) -> None:
        hearer = self.hearers[method.consumer_tag]
        offset, gap, seen = sighting(arrival)
        hearer.book.see(offset, seen)  # type: ignore[attr-defined]
        hearer.give(offset, gap, redelivered=method.redelivered)
        if hearer.no_ack:
            hearer.settle(offset)
        else:
            self.held[method.delivery_tag] = hearer, offset


def sighting(arrival: Arrival) -> tuple[int, int | None, Sighting]:
    """Return what came, the offset it has, and how many were left out before it."""
    method, properties = arrival.method, arrival.properties
    assert isinstance(method, BasicDeliver)
    assert properties is not None
    headers = dict(properties.headers or {})
    offset, gap = headers.pop(OFFSET), headers.pop(GAP, None)
    headers.pop(COUNT, None)
    name = str(headers.get("x-name") or name_of(arrival.body, headers))
    topic = str(headers.get("x-compact-key") or method.routing_key)
    seen = Sighting(
        name,
        topic,
        arrival.body,
        (method.exchange, method.routing_key),
        (properties.delivery_mode, properties.expiration),
        headers,
    )
    assert isinstance(offset, int)
    return offset, gap, seen  # type: ignore[return-value]

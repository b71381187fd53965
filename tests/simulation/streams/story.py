"""A story with streams: as all stories, and streams are read, fed from and compacted.

After every start, and in the end, everything that is in a stream is read, and its book
is asked. In the very end queues that are fed by streams are drained.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.simulation.habits import ACTIONS
from tests.simulation.history import Violation
from tests.simulation.site import Fuse, PowerCut
from tests.simulation.story import STEPS, Story
from tests.simulation.streams.book import StreamTerms, Word
from tests.simulation.streams.ledger import StreamLedger
from tests.simulation.streams.user import READING, Reading, StreamUser, sighting
from warren.wire.methods import BasicConsume, BasicDeliver, BasicQos
from warren_broker.core.bridge import SourcedQueue
from warren_broker.core.limits import Limits
from warren_broker.core.queue import Queue
from warren_broker.core.stream import upkeep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.pairs import Arrival
    from tests.simulation.streams.book import Book
    from warren_broker.core.stream.stream import Stream

FEEDS_MAX = 2
TERMS = (
    StreamTerms(),
    StreamTerms(segment=300),
    StreamTerms(length=12),
    StreamTerms(segment=500, age=6),
    StreamTerms(segment=600, is_compacted=True),
    StreamTerms(segment=1500, is_compacted=True),
)
REFERENCES = ("one", "two")
GROUPS = ("team",)


@contextmanager
def brisk() -> Iterator[None]:
    """What is done each minute is done each two seconds."""
    usual = upkeep.PERIOD_SECONDS, upkeep.COMPACTION_SECONDS
    upkeep.PERIOD_SECONDS, upkeep.COMPACTION_SECONDS = 2.0, 3.0
    try:
        yield
    finally:
        upkeep.PERIOD_SECONDS, upkeep.COMPACTION_SECONDS = usual


@dataclass
class Producer:
    """It numbers what it appends, and sends what was not confirmed once more."""

    name: str
    stream: str
    owner: StreamUser | None = None
    sent: list[Word] = field(default_factory=list)

    def unconfirmed(self, book: Book) -> list[Word]:
        lines = book.lines
        return [
            word
            for word in self.sent
            if word.name not in lines or not lines[word.name].is_confirmed
        ]


class StreamStory(Story):
    """One seed."""

    LEDGER = StreamLedger
    USER = StreamUser
    CUT_BATCHES = 0.1
    TTLS = (0,)  # they hold in a queue that is fed, too
    LIMITS = Limits(handover_ms=2000, source_window_max=4)
    ledger: StreamLedger
    users: list[StreamUser]  # type: ignore[assignment]

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._producers: list[Producer] = []
        self._streams_max = self.random.choice((1, 2, 3))
        favourite = self.random.choice(TERMS)
        self._terms = (*TERMS, *[favourite] * 2 * len(TERMS))

    def play(self, steps: int = STEPS) -> None:
        with brisk():
            super().play(steps)
            self._audit_all()
            for name in self.ledger.feeds:
                self._drain(name)

    def _taste(self) -> dict[str, float]:
        likes = super()._taste()
        likes["fetch"] = self.random.choice((4.0, 10.0, 30.0))
        likes["fetch_and_die"] = 0.5
        likes["pass_time"] *= self.random.choice((1, 3))
        return likes

    # --- steps

    def fetch(self) -> None:
        """A page is read, or a step of a compaction is done."""
        self.site.worker.run()

    def fetch_and_die(self) -> None:
        """The power goes meanwhile."""
        fuse = Fuse(self.site.disk, self.random.randint(0, 6))
        try:
            self.site.worker.run_all()
        except PowerCut:
            self.counts["cut within a fetch"] += 1
            self.crash()
        else:
            fuse.remove()

    def settle_down(self) -> None:
        while True:
            super().settle_down()
            self._pump()
            self.hear()
            if not self.site.worker.run() and not self.site.store.is_dirty:
                break
        for user in self.users:
            for hearer in user.hearers.values():
                self._check_rest(user, hearer)

    def _check_rest(self, user: StreamUser, hearer: object) -> None:
        """Nobody is left without what there is."""
        if not isinstance(hearer, Reading) or not user.is_at_rest(hearer):
            return
        book, stream = hearer.book, self.site.broker.vhosts["/"].queues
        if book.name not in stream or hearer.next is None or book.terms.is_compacted:
            return
        end = stream[book.name].log.end  # type: ignore[attr-defined]
        if hearer.next != end or hearer.returned:
            raise Violation(f"{book.name}: all is done, and {hearer.next} of {end}")

    # --- after each step, and each start

    def _pump(self) -> None:
        """Readers are served in turns of their own."""
        self.site.advance(0)

    def _end_step(self) -> None:
        self._pump()
        for name, book in self.ledger.streams.items():
            first = self._stream(name).log.first
            book.trimmed_until = max(book.trimmed_until, first)
        self.ledger.note_ticket(self.site.store.said)
        super()._end_step()
        for feed in self.ledger.feeds.values():
            feed.check()

    def _begin_again(self, *, is_clean: bool | None) -> None:
        super()._begin_again(is_clean=is_clean)
        for producer in self._producers:
            producer.owner = None
        self._audit_all()
        for name, book in self.ledger.streams.items():
            self._check_stored(book, dict(self._stream(name).offsets))

    def _check_stored(self, book: Book, stored: dict[str, int]) -> None:
        """What is stored never leads, and is not forgotten once it is safe."""
        for reference, course in [*book.courses.items()]:
            offset = stored.get(reference)
            if offset is not None:
                course.is_stored = True
                book.check_passed(course, offset, f"the stored offset of {reference}")
            elif course.is_stored:
                raise Violation(f"{book.name}: {reference} is forgotten")
            else:
                del book.courses[reference]

    def _queues(self) -> dict[str, Queue]:
        queues = super()._queues()
        named = {*self.ledger.streams, *self.ledger.feeds}
        if not named <= queues.keys():
            raise Violation(f"{named} are not all in {queues.keys()}")
        return {
            name: queue
            for name, queue in queues.items()
            if isinstance(queue, Queue) and not isinstance(queue, SourcedQueue)
        }

    def _stream(self, name: str) -> Stream:
        return self.site.broker.vhosts["/"].queues[name]  # type: ignore[return-value]

    def _audit_all(self) -> None:
        for name, book in self.ledger.streams.items():
            log = self._stream(name).log
            book.trimmed_until = max(book.trimmed_until, log.first)
            found = [
                sighting(each)
                for each in self._consume_all(name, {"x-stream-offset": "first"})
            ]
            if len(found) != log.count:
                raise Violation(
                    f"{name} has {log.count} records, and {len(found)} come"
                )
            self.counts["records audited"] += len(found)
            self.counts["holes"] += log.end - log.first - len(found)
            self.counts["trimmed"] += log.first
            records = [(offset, seen) for offset, _, seen in found]
            book.audit(records, log.end, self.site.now)

    def _drain(self, name: str) -> None:
        feed = self.ledger.feeds[name]
        for each in self._consume_all(name, {}):
            offset, _, seen = sighting(each)
            feed.book.see(offset, seen)
            feed.give(offset)
            feed.settle(offset)
        if feed.book.name in self.ledger.streams:
            end = self._stream(feed.book.name).log.end
            feed.book.check_passed(feed.course, end, name)

    def _consume_all(self, name: str, arguments: dict[str, object]) -> list[Arrival]:
        """Have a guest read all there is, who leaves nothing behind."""
        if arguments:
            arguments["x-stream-automatic-offset-tracking"] = False
        guest = self.site.open(channels=(READING,))
        consume = BasicConsume(
            queue=name, consumer_tag="guest", no_ack=True, arguments=arguments
        )
        guest.send(BasicQos(0, 1000), consume, channel=READING)
        found = guest.arrivals()
        while True:
            self._pump()
            came = guest.arrivals()
            found += came
            if not came and not self.site.worker.run():
                break
        guest.hang_up()
        self.site.clients.remove(guest)
        return [each for each in found if isinstance(each.method, BasicDeliver)]

    # --- what users do

    def _tap(self) -> str:
        names = [*self.ledger.streams, ""]
        return self.random.choice(names)

    def _queues_to_fill(self) -> list[str]:
        return [*super()._queues_to_fill(), *self.ledger.streams]

    def declare_stream(self, user: StreamUser) -> None:
        if len(self.ledger.streams) < self._streams_max:
            self._names += 1
            user.declare_stream(f"s{self._names}", self.random.choice(self._terms))

    def declare_feed(self, user: StreamUser) -> None:
        if self.ledger.streams and len(self.ledger.feeds) < FEEDS_MAX:
            self._names += 1
            source = self.random.choice([*self.ledger.streams])
            user.declare_feed(f"f{self._names}", source)

    def delete_stream(self, user: StreamUser) -> None:
        names = [*self.ledger.streams, *self.ledger.feeds]
        if (
            names
            and self.random.random() < 0.3
            and not any(each.is_busy for each in self.users)
        ):
            user.delete_stream(self.random.choice(names))

    def bind_stream(self, user: StreamUser) -> None:
        if self.ledger.exchanges and self.ledger.streams:
            source = self.random.choice([*self.ledger.exchanges])
            user.bind(source, self.random.choice([*self.ledger.streams]))

    def append(self, user: StreamUser) -> None:
        if self.ledger.streams and user.mode != "tx":
            stream = self.random.choice([*self.ledger.streams])
            count = self.random.choice((1, 2, 5, 12))
            user.publish(*(self._word(stream) for _ in range(count)))

    def produce(self, user: StreamUser) -> None:
        """Append with numbers; who takes over begins with what is not confirmed."""
        draw = self.random
        if not self.ledger.streams or user.mode != "confirm":
            return
        stream = draw.choice([*self.ledger.streams])
        of_stream = [each for each in self._producers if each.stream == stream]
        if len(of_stream) < 2:
            of_stream.append(Producer(f"p{len(self._producers)}", stream))
            self._producers.append(of_stream[-1])
        producer = draw.choice(of_stream)
        words = []
        if producer.owner is not user:
            if producer.owner in self.users and draw.random() < 0.7:
                return  # nobody thinks that it is gone
            producer.owner = user
            words = producer.unconfirmed(self.ledger.streams[stream])
        elif draw.random() < 0.2:  # out of impatience, or of fear
            words = producer.sent[-draw.choice((1, 3)) :]
        for _ in range(draw.choice((1, 3, 8))):
            word = self._word(stream)
            word.producer = producer.name, len(producer.sent) + 1
            producer.sent.append(word)
            words.append(word)
        user.publish(*words)

    def _word(self, stream: str) -> Word:
        draw, self._names = self.random, self._names + 1
        is_compacted = self.ledger.streams[stream].terms.is_compacted
        return Word(
            f"w{self._names}",
            "",
            stream,
            persistent=draw.random() < 0.8,
            padding=draw.choice((0, 0, 10, 100)),
            topic=self._topic() if is_compacted else "",
            is_tombstone=is_compacted and draw.random() < 0.1,
        )

    def _topic(self) -> str:
        """A key that comes again and again, or one of which there will be no more."""
        return self.random.choice(("", "k", f"k{self._names // 30}"))

    def read(self, user: StreamUser) -> None:
        draw = self.random
        if not self.ledger.streams or len(user.hearers) > 2 or user.mode == "tx":
            return
        name = draw.choice([*self.ledger.streams])
        prefetch = draw.choice((1, 3, 10))
        kind = draw.choice(("read", "follow", "join", "join"))
        if kind == "read":
            at = draw.choice(("first", "next", draw.randint(0, 20)))
            user.read(name, at, prefetch)
        elif kind == "join":
            user.join_group(name, draw.choice(GROUPS), prefetch)
        elif not self._is_followed(name, reference := draw.choice(REFERENCES)):
            user.follow(name, reference, prefetch)

    def _is_followed(self, name: str, reference: str) -> bool:
        """Whether somebody reads under that name, or may still settle for it."""
        course = self.ledger.streams[name].courses.get(reference)
        hearers = [
            hearer
            for user in self.users
            for hearer in (
                *user.hearers.values(),
                *(each for each, _ in user.held.values()),
            )
        ]
        return course is not None and any(
            getattr(each, "course", None) is course for each in hearers
        )

    def help(self, user: StreamUser) -> None:
        draw = self.random
        if self.ledger.feeds and len(user.hearers) <= 2 and user.mode != "tx":
            name = draw.choice([*self.ledger.feeds])
            user.help(name, draw.choice((1, 3)), no_ack=draw.random() < 0.2)

    def cancel(self, user: StreamUser) -> None:
        if user.hearers:
            user.cancel(self.random.choice([*user.hearers]))

    def settle_records(self, user: StreamUser) -> None:
        tags = [*user.held]
        if tags:
            at = self.random.randrange(len(tags))
            multiple = self.random.random() < 0.4
            chosen = tags[: at + 1] if multiple else [tags[at]]
            kind = self.random.choice(("ack", "ack", "ack", "refuse", "requeue"))
            user.settle_records(chosen, kind, multiple=multiple)

    @classmethod
    def _steps(cls) -> dict[str, Callable[[Self], None]]:
        steps = {"fetch": cls.fetch, "fetch_and_die": cls.fetch_and_die}
        return {**super()._steps(), **steps}

    @classmethod
    def _actions(cls) -> dict[Callable[[Self, StreamUser], None], int]:
        seldom = {action: weight / 3 for action, weight in ACTIONS.items()}
        return {**seldom, **_ACTIONS}  # type: ignore[dict-item]


_ACTIONS: dict[Callable[[StreamStory, StreamUser], None], int] = {
    StreamStory.declare_stream: 8,
    StreamStory.declare_feed: 2,
    StreamStory.delete_stream: 1,
    StreamStory.bind_stream: 2,
    StreamStory.append: 14,
    StreamStory.produce: 12,
    StreamStory.read: 8,
    StreamStory.help: 3,
    StreamStory.cancel: 2,
    StreamStory.settle_records: 24,
}

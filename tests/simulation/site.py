"""A site: a broker that keeps a journal on a simulated disk, without threads.

What the broker's keeper does in a thread is done here in pieces, when it is asked for:
a batch is taken, run and answered, and anything may happen in between. The site can be
stopped, and its power can be cut at any call to the disk.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.core.shelf import Shelf
from tests.pairs import World
from tests.simulated_disk import SimulatedDisk, pages
from tests.simulation.history import Violation
from tests.streams import streams_on
from warren_broker.amqp.content_header import ContentHeader
from warren_broker.core.broker import Broker
from warren_broker.core.queue import backlog, packing
from warren_broker.server.awakening import restore, wanted_streams
from warren_broker.server.book import Book
from warren_broker.server.journal_store import JournalStore
from warren_broker.storage.journal import Journal
from warren_broker.storage.lookup import Lookup
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.recovery import recover
from warren_broker.storage.settings import RUNWAY_SIZE, JournalSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from random import Random

    from tests.simulation.history import Fact, Value
    from warren_broker.core.limits import Limits
    from warren_broker.server.group_commit import GroupCommit
    from warren_broker.storage.recovery import Recovered
    from warren_broker.storage.replay import Stored

STORE_ID = b"sixteen bytes..."
WALL_SECONDS = 1000.0  # at the beginning, since 1970
PAGE = 256


@contextmanager
def short_heads() -> Iterator[None]:
    """Backlogs are packed from a few entries on, as they are from thousands."""
    usual = backlog.HEAD_MAX, packing.RUN
    backlog.HEAD_MAX, packing.RUN = 2, 2
    try:
        yield
    finally:
        backlog.HEAD_MAX, packing.RUN = usual


class PowerCut(BaseException):
    """It happens within a call to the disk, and nobody contains it."""


class Fuse:
    """Cuts the power at one of the calls to a disk."""

    def __init__(self, disk: SimulatedDisk, calls: int) -> None:
        self._disk, self._calls = disk, calls
        disk.on_change = self

    def __call__(self) -> None:
        self._calls -= 1
        if self._calls < 0:
            raise PowerCut

    def remove(self) -> None:
        self._disk.on_change = lambda: None


class Site(World):
    """The world of a broker that may end and begin again."""

    broker: Broker
    journal: Journal
    store: JournalStore
    shelf: Shelf

    RESERVE = 700
    RUNWAY = RUNWAY_SIZE
    STREAM_RUNWAY = 4000

    def __init__(
        self,
        segment_size: int,
        segments_min: int,
        memory: int = 1 << 30,
        limits: Limits | None = None,
    ) -> None:
        """With more than `memory` bytes of packed messages some are spilled."""
        super().__init__()
        self._memory = memory
        self._limits = limits
        self.disk = SimulatedDisk()
        self._settings = JournalSettings(
            segment_size=segment_size,
            reserve_size=self.RESERVE,
            segments_min=segments_min,
            runway_size=self.RUNWAY,
        )
        self.bare: set[int] = set()  # streams for whose name there was no room
        self._batch: GroupCommit | None = None
        self._is_run = False
        self.start(self.recover())

    def limit_memory(self, memory: int) -> None:
        """From now on spill what is more than `memory` bytes."""
        self._memory = self.broker.parking.limit_bytes = memory

    # --- the broker's life

    def recover(self) -> Recovered:
        recovered = recover(self.disk, reserve_size=self.RESERVE, store_id=STORE_ID)
        if recovered.damage:
            raise Violation(f"damage: {recovered.damage}")
        return recovered

    def try_to_recover(self) -> None:
        """Do what is done before anything is served, for nobody."""
        recovered = self.recover()
        streams_on(self.disk, recovered.start, wanted_streams(recovered))

    def start(self, recovered: Recovered) -> None:
        """Begin again with what was recovered."""
        wall_seconds = WALL_SECONDS + self.now
        broker = Broker(self._limits, now=self.now, wall_seconds=wall_seconds)
        broker.raises_bugs = True
        broker.parking.spill = self.shelf = Shelf()
        broker.parking.limit_bytes = self._memory
        self.journal = Journal(recovered.start, self._settings)
        streams, self.worker = streams_on(
            self.disk, recovered.start, wanted_streams(recovered), self.STREAM_RUNWAY
        )
        lookup = Lookup(self.journal, self.disk)
        self.store = JournalStore(self.journal, Book(), lookup, streams)
        streams.tell = self._tell
        for _ in restore(broker, recovered, self.store):
            pass
        self.broker = broker
        self._batch = None
        if notices := [one for one in broker.take_notices() if "not" in one.event]:
            raise Violation(f"not restored: {notices}")
        if missing := set(streams.missing) - self.bare:
            raise Violation(f"streams without a file: {missing}")

    def stop(self) -> bool | None:
        """Write all that is left, and the end; return whether that was a clean one.

        None: it may be. All clients are gone.
        """
        self.write_all()
        last = self.store.take_commit(is_last=True)
        if last is None:
            raise Violation("there is no last batch")
        last.run(self.disk)
        assert last.error is None
        self.disk.unlock()
        return True

    def cut_power(self, random: Random) -> None:
        """Lose what the disk was not made to keep, or some of it, or none."""
        for client in self.clients:
            client.outbox.close()
        self.clients.clear()
        self.dirty.clear()
        kind = random.choice(("killed", "all", "nothing", "some", "some", "first"))
        if kind == "killed":
            self.disk = self.disk.killed()
        else:
            self.disk = self.disk.crashed(lambda pending: _kept(kind, pending, random))

    # --- the journal's life

    def take_batch(self) -> bool:
        """Close the record; False if there is nothing, or a batch is on its way."""
        if self._batch is not None:
            return False
        self._batch = self.store.take_commit()
        self._is_run = False
        return self._batch is not None

    def run_batch(self) -> bool:
        if self._batch is None or self._is_run:
            return False
        self._batch.run(self.disk)
        self._is_run = True
        return True

    def end_batch(self) -> bool:
        """Tell the broker what has become of the batch."""
        if self._batch is None or not self._is_run:
            return False
        batch, self._batch = self._batch, None
        assert self.store.on_written(batch) is Outcome.WRITTEN
        self.shelf.finish()
        self.broker.on_committed(self.now)
        for log, _ in batch.streams:
            log.on_safe()
        self.after_turn()
        return True

    def after_turn(self) -> None:
        """Say that it is over, as whoever takes turns does."""
        self.store.end_turn()
        self.journal.end_turn()

    @contextmanager
    def misreading(self, spoil: Callable[[bytes], bytes]) -> Iterator[None]:
        """The next time something is read, that is spoiled; after that it is not."""

        def once(data: bytes) -> bytes:
            disk.on_read = lambda data: data
            return spoil(data)

        disk = self.disk
        disk.on_read = once
        yield
        disk.on_read = lambda data: data

    def write_some(self) -> bool:
        """Write one batch, if there is room for it."""
        commit = self.store.take_commit()
        assert commit is not None
        commit.run(self.disk)
        return self.store.on_written(commit) is Outcome.WRITTEN

    def write_all(self) -> None:
        """Until nothing is left to be written."""
        while self.take_batch() or self._batch is not None:
            self.run_batch()
            self.end_batch()

    def _tell(self, what: Callable[[], None]) -> None:
        self.broker.begin_turn(self.now)
        what()
        self.after_turn()

    def tidy(self) -> None:
        """Read a piece of an old segment again, if that lets it go."""
        move = self.journal.take_move()
        if move is not None:
            move.run(self.disk)
            self.store.on_moved(move, None)


def _kept(kind: str, pending: list, random: Random) -> list:  # type: ignore[type-arg]
    """What a power cut leaves of what was pending."""
    if kind == "all":
        return pending
    if kind == "first":
        return pending[: random.randint(0, len(pending))]
    if kind == "nothing":
        return []
    parts = [
        part
        for each in pending
        for part in (pages(each, PAGE) if each.kind == "write" else [each])
    ]
    return [part for part in parts if random.random() < 0.5]


# What a recovered journal says, in the words of the ledger


def facts_of(recovered: Recovered) -> Mapping[Fact, Value]:
    """Return everything that has survived."""
    book = Book()
    book.read(recovered.snapshot, recovered.definitions)
    facts: dict[Fact, Value] = {}
    queues: dict[object, str] = {}
    for key, value in book.definitions().items():
        if key[0] == "queue" and _is_of_streams(value):
            facts["stream", key[2]] = value["arguments"]
        elif key[0] == "queue":
            queues[value["number"]] = key[2]
            facts["queue", key[2]] = value["arguments"]
        elif key[0] == "exchange":
            facts["exchange", key[2]] = value["type"]
        elif key[0] == "binding":
            facts["binding", key[2], key[4]] = True
        elif key[0] == "schedule":
            queues[value["number"]] = ""
    for number, stored in recovered.messages.items():
        queue = queues.get(number)
        for one in stored if queue is not None else ():
            fact = ("copy", queue) if queue else ("later",)
            facts[(*fact, _name_of(one))] = True
    return facts


def _is_of_streams(value: Mapping[str, object]) -> bool:
    """Whether it is a stream, or fed by one: the journal has none of its messages."""
    arguments = value["arguments"]
    assert isinstance(arguments, dict)
    return not arguments.keys().isdisjoint({"x-queue-type", "x-source-stream"})


def _name_of(stored: Stored) -> str:
    return name_of(stored.body, ContentHeader(stored.header).headers())


def name_of(body: bytes, headers: Mapping[str, object]) -> str:
    """A message's own name, and the queues in which it died."""
    deaths = headers.get("x-death", [])
    assert isinstance(deaths, list)
    return "/".join([body.decode(), *(death["queue"] for death in reversed(deaths))])

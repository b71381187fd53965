"""JournalStore on a disk that is full now and then: nothing lost, nobody stuck."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import booleans, integers, sampled_from

from tests.simulated_disk import SimulatedDisk
from tests.streams import streams_on
from warren.wire.properties import Properties, encode_header
from warren_broker.amqp.content_header import ContentHeader
from warren_broker.core.message import Message, Route
from warren_broker.server.book import Book
from warren_broker.server.journal_store import JournalStore
from warren_broker.storage.journal import Journal
from warren_broker.storage.lookup import Lookup
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.recovery import recover
from warren_broker.storage.settings import JournalSettings

if TYPE_CHECKING:
    from warren_broker.server.group_commit import GroupCommit

Place = tuple[int, int]

ROUTE = Route("", "q", b"\0\1q")
HEADER = ContentHeader(encode_header(Properties(), 0))
RESERVE = 400
QUEUES = (1, 2)
LARGE = 1000
SIZES = (0, 100, LARGE)
TRIES = 50  # of writes that end with all that was said


class FullNowAndThen(RuleBasedStateMachine):
    """Turns that publish, ack and move, batches, a disk with room or without."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimulatedDisk()
        found = recover(self.disk, reserve_size=RESERVE)
        options = JournalSettings(
            segment_size=3000, reserve_size=RESERVE, segments_min=1, runway_size=0
        )
        self.journal = Journal(found.start, options)
        lookup = Lookup(self.journal, self.disk)
        streams, _ = streams_on(self.disk, found.start)
        self.store = JournalStore(self.journal, Book(), lookup, streams)
        self.commit: GroupCommit | None = None
        self.sequence = 0
        self.ready: dict[Place, int] = {}  # positions
        self.promised: dict[Place, int] = {}  # tickets, until it may be gone
        self.moved: list[tuple[Place, Place, int]] = []

    @rule(size=sampled_from(SIZES), number=sampled_from(QUEUES), copies=booleans())
    def publish(self, size: int, number: int, copies: bool) -> None:
        message = Message(ROUTE, HEADER, bytes(size))
        self.sequence += 1
        for each in QUEUES if copies else (number,):
            self._add((each, self.sequence), message)
        self._end_turn()

    @precondition(lambda self: self.ready)
    @rule(which=integers(0, 100), at_once=booleans())
    def ack(self, which: int, at_once: bool) -> None:
        """One, or all of its queue."""
        place = list(self.ready)[which % len(self.ready)]
        if at_once:
            gone = [each for each in self.ready if each[0] == place[0]]
            places = [(each[1], self.ready[each]) for each in gone]
            self.store.settle_all(place[0], places)
        else:
            gone = [place]
            self.store.settle(*place, self.ready[place])
        for each in gone:
            del self.ready[each]
            self.promised.pop(each, None)
        self._end_turn()

    @precondition(lambda self: self.ready)
    @rule(which=integers(0, 100), size=sampled_from(SIZES))
    def move(self, which: int, size: int) -> None:
        """As dead-lettering does, within one turn."""
        old = list(self.ready)[which % len(self.ready)]
        self.sequence += 1
        new = 3, self.sequence
        ticket = self.promised.pop(old)
        self._add(new, Message(ROUTE, HEADER, bytes(size)))
        self.store.settle(*old, self.ready.pop(old))
        self.moved.append((old, new, ticket))
        self._end_turn()

    @rule(room=sampled_from([0, 60, LARGE // 2, 2 * LARGE, None]))
    def fill(self, room: int | None) -> None:
        used = sum(map(len, self.disk.contents().values()))
        self.disk.capacity = None if room is None else used + room

    @rule(times=integers(1, 3))
    def write_often(self, times: int) -> None:
        for _ in range(times):
            self.write()

    @rule()
    def take(self) -> None:
        if self.commit is None:
            self.commit = self.store.take_commit()

    @rule()
    def write(self) -> None:
        self.take()
        commit, self.commit = self.commit, None
        if commit is not None:
            commit.run(self.disk)
            outcome = self.store.on_written(commit)
            assert outcome is not Outcome.FAILED
            if outcome is Outcome.WRITTEN:
                self.store.release()

    @invariant()
    def what_is_safe_survives(self) -> None:
        found, committed = self._found(), self.store.committed
        for place, ticket in self.promised.items():
            assert ticket > committed or place in found
        replaced = {old: new for old, new, _ in self.moved}
        for old, _, ticket in self.moved:
            heir = old
            while heir not in found and heir in replaced:
                heir = replaced[heir]
            is_gone = heir not in self.ready
            assert ticket > committed or is_gone or heir in found

    def teardown(self) -> None:
        """With room everything is said in the end, and safe."""
        self.disk.capacity = None
        self.write()
        for _ in range(TRIES):
            self.write()
        assert self.store.committed >= self.store.said
        assert not self.store.is_short
        self.what_is_safe_survives()
        assert self._found() == self.ready.keys()
        assert not self.journal.is_full

    def _found(self) -> set[Place]:
        """What would survive a power cut now."""
        messages = recover(self.disk.crashed(), reserve_size=0).messages
        return {
            (number, each.sequence)
            for number, stored in messages.items()
            for each in stored
        }

    def _end_turn(self) -> None:
        """As the keeper does."""
        self.store.end_turn()
        self.journal.end_turn()

    def _add(self, place: Place, message: Message) -> None:
        self.ready[place] = self.store.add(*place, message, 0)
        self.promised[place] = self.store.said


TestFullNowAndThen = FullNowAndThen.TestCase
TestFullNowAndThen.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None
)


def test_what_was_promised_of_a_message_holds_for_where_it_was_moved() -> None:
    """It waited for room, and goes to another queue before there is any."""
    state = FullNowAndThen()
    state.fill(room=0)
    state.publish(size=0, number=1, copies=False)
    state.write()
    state.take()
    state.move(which=0, size=0)
    state.write()
    state.what_is_safe_survives()
    state.teardown()


def test_a_record_that_was_closed_may_be_the_last() -> None:
    """Nothing follows for a long time, and its messages are safe."""
    state = FullNowAndThen()
    for _ in range(3):
        state.publish(size=LARGE, number=1, copies=False)
    assert state.journal.closed
    state.write()
    assert state.store.committed == state.store.said


def test_what_was_promised_of_a_message_waits_for_what_took_it() -> None:
    """It is not written, and what it was deleted with is not written yet."""
    state = FullNowAndThen()
    state.fill(room=0)
    state.publish(size=LARGE, number=1, copies=False)
    promised = state.store.said
    state.write()
    state.take()
    state.store.define(("a", "queue"), None)
    state.ack(which=0, at_once=True)
    state.write()
    assert state.store.committed < promised
    state.write()
    assert state.store.committed >= promised
    state.teardown()


def test_what_is_published_on_a_full_disk_leaves_the_reserve_alone() -> None:
    """As what was published before: acks are written there, and nothing else."""
    state = FullNowAndThen()
    state.fill(room=0)
    for size in (LARGE, 0, 0):
        state.publish(size=size, number=1, copies=False)
        state.write()
        assert not state._found()
    state.teardown()

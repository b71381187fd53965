"""Keeper: what it does when the disk is short of room, full, or broken."""

from __future__ import annotations

import errno
from contextlib import asynccontextmanager
from threading import Event
from typing import TYPE_CHECKING, final

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.server.harness import PeerBench, RememberingLog
from tests.server.test_streams import Owner
from tests.simulated_disk import SimulatedDisk
from tests.streams import streams_on
from warren.wire.properties import Properties, encode_header
from warren_broker.amqp.content_header import ContentHeader
from warren_broker.core.broker import Broker
from warren_broker.core.message import Message, Route
from warren_broker.core.promises import PromiseHolder
from warren_broker.core.stream.record import Record
from warren_broker.server.book import Book
from warren_broker.server.journal_store import JournalStore
from warren_broker.server.keeper import CHECKPOINT_SECONDS, Keeper
from warren_broker.server.rounds import JournalFailed
from warren_broker.storage import reserve
from warren_broker.storage.journal import Journal
from warren_broker.storage.lookup import Lookup
from warren_broker.storage.recovery import recover
from warren_broker.storage.segment import name_of
from warren_broker.storage.settings import SEGMENT_SIZE, JournalSettings, Sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ROOM = 1000
LARGE = 10_000


@final
class Told(PromiseHolder):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.committed = self.recorded = 0

    def on_committed(self, committed: int, recorded: int) -> None:
        self.committed, self.recorded = committed, recorded


@final
class Bench:
    """A broker whose keeper writes on a simulated disk.

    `reasons`: why publishers were blocked after each of the keeper's turns.
    """

    def __init__(
        self,
        sync: str = "always",
        free_bytes_min: int = 0,
        reserve_size: int = 0,
        segment_size: int = SEGMENT_SIZE,
        disk: SimulatedDisk | None = None,
    ) -> None:
        self.disk = disk or SimulatedDisk()
        self.log = RememberingLog()
        self.broker = Broker(now=trio.current_time())
        start = recover(self.disk, reserve_size=0).start
        chosen = Sync.parse(sync)
        settings = JournalSettings(
            chosen, segment_size, reserve_size, segments_min=1, runway_size=0
        )
        self.journal = Journal(start, settings)
        self.streams, self.worker = streams_on(self.disk, start)
        store = self.store = JournalStore(
            self.journal,
            Book(),
            Lookup(self.journal, self.disk),
            self.streams,
            chosen.mode,
        )
        self.broker.store = store
        self.keeper = Keeper(
            self.journal,
            self.disk,
            store,
            self.broker,
            self.log,
            free_bytes_min=free_bytes_min,
            sync_seconds=chosen.interval_ms / 1000,
        )
        self.keeper.after_turns(self._after_turn)
        self.reasons: list[str | None] = []
        self._turned = trio.Event()

    def used(self) -> int:
        return sum(map(len, self.disk.contents().values()))

    def size_of(self, name: str) -> int:
        return len(self.disk.contents().get(name, b""))

    def define(self, size: int = 1) -> Told:
        """Take a turn that defines something; return who waits for that."""
        self.broker.begin_turn(trio.current_time())
        self.store.define(("x", "y"), {"value": "." * size})
        ticket, told = self.broker.definition_due(), Told()
        self.broker.promises.add(ticket, told, of_definitions=True)
        self.keeper.after_turn()
        return told

    def promise(self) -> Told:
        """End a turn; return who waits for what it has said."""
        told = Told()
        self.broker.promises.add(self.store.said, told)
        self.keeper.after_turn()
        return told

    def sequences(self) -> list[int]:
        """Messages of queue 1 that would survive a power cut now."""
        messages = recover(self.disk.crashed(), reserve_size=0).messages
        return [each.sequence for each in messages.get(1, ())]

    async def fill_and_empty(self, room: int) -> None:
        """Leave segments that can go, once definitions are written anew; and `room`."""
        positions = {}
        for sequence in range(1, 13):
            body = published(bytes(ROOM // 2))
            positions[sequence] = self.store.add(1, sequence, body, 0)
            told = self.define(2 * ROOM) if sequence == 1 else self.promise()
            await self.until(lambda told=told: told.committed > 0)
        self.disk.capacity = self.used() + room
        for sequence, position in positions.items():
            self.store.settle(1, sequence, position)
        told = self.promise()
        await self.until(lambda: told.committed > 0)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for the turn after which something is so."""
        with trio.fail_after(20):
            while not is_so():
                await self._turned.wait()

    def _after_turn(self) -> None:
        self.reasons.append(self.broker.alarms.reason)
        turned, self._turned = self._turned, trio.Event()
        turned.set()


@asynccontextmanager
async def keeping(
    sync: str = "always",
    free_bytes_min: int = 0,
    reserve_size: int = 0,
    segment_size: int = SEGMENT_SIZE,
    disk: SimulatedDisk | None = None,
) -> AsyncIterator[Bench]:
    """A bench whose keeper runs; its end is a clean one."""
    bench = Bench(sync, free_bytes_min, reserve_size, segment_size, disk)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.keeper.run)
        async with trio.open_nursery() as watching:
            watching.start_soon(bench.keeper.alarm.run)
            yield bench
            watching.cancel_scope.cancel()
        bench.keeper.stop()


def published(body: bytes) -> Message:
    header = ContentHeader(encode_header(Properties(), len(body)))
    return Message(Route("", "q", b"\0\1q"), header, body)


def test_acks_do_not_stand_behind_messages_that_wait_for_room() -> None:
    """Else nothing is written that could make room, and all wait for ever."""

    async def main() -> None:
        async with keeping() as bench:
            store, alarms = bench.store, bench.broker.alarms
            first = store.add(1, 1, published(b"first"), 0)
            store.add(1, 2, published(b"second"), 0)
            told = bench.promise()
            await bench.until(lambda: told.committed > 0)
            bench.disk.capacity = bench.used() + ROOM
            waits = store.add(1, 3, published(bytes(LARGE)), 0)
            store.add(1, 4, published(bytes(LARGE)), 0)
            told = bench.promise()
            await bench.until(lambda: alarms.reason == "low on disk")
            store.settle(1, 1, first)
            store.settle(1, 3, waits)
            bench.promise()
            await bench.until(lambda: bench.sequences() == [2])
            assert told.committed == 0
            assert bench.reasons[-1] == "low on disk", "a message still waits"
            bench.disk.capacity = None
            await bench.until(lambda: told.committed > 0)
            assert alarms.reason is None
            assert bench.sequences() == [2, 4]

    trio.run(main)


@pytest.mark.parametrize("waits", ["a message", "a record"])
def test_a_declare_does_not_stand_behind_what_waits_for_room(waits: str) -> None:
    """Who would make room is about to declare what it will consume."""

    async def main() -> None:
        async with keeping() as bench:
            log = bench.store.open_log(2, Owner(), segment_bytes=LARGE)
            told = bench.define()
            await bench.until(lambda: told.recorded > 0)
            bench.disk.capacity = bench.used() + ROOM
            if waits == "a message":
                bench.store.add(1, 1, published(bytes(LARGE)), 0)
            else:
                log.append(Record(0, 1, published(bytes(LARGE))), None)
            waiting = bench.promise()
            first = bench.define()
            await bench.until(lambda: first.recorded > 0)
            later = bench.define()
            await bench.until(lambda: later.recorded > 0)
            assert waiting.committed == 0
            bench.broker.begin_turn(trio.current_time())
            assert bench.broker.definition_due() == 0, "it was declared before"
            bench.disk.capacity = None
            await bench.until(lambda: waiting.committed > 0)

    trio.run(main)


@pytest.mark.parametrize("waits", ["a message", "a record"])
def test_what_only_keeps_room_goes_before_what_waits_for_it(waits: str) -> None:
    """A message in an old segment is moved, definitions are written anew."""

    async def main() -> None:
        async with keeping(segment_size=2 * ROOM) as bench:
            store, positions = bench.store, {}
            log = store.open_log(2, Owner(), segment_bytes=LARGE)
            bench.define()
            for sequence in range(1, 13):
                body = published(bytes(ROOM // 2))
                positions[sequence] = store.add(1, sequence, body, 0)
                told = bench.promise()
                await bench.until(lambda told=told: told.committed > 0)
            bench.disk.capacity = bench.used() + ROOM
            last = published(bytes(3 * ROOM))
            if waits == "a message":
                store.add(1, 13, last, 0)
            else:
                log.append(Record(0, 1, last), None)
            told = bench.promise()
            await bench.until(lambda: bench.broker.alarms.reason == "low on disk")
            for sequence in range(2, 13):
                store.settle(1, sequence, positions[sequence])
            bench.promise()
            await bench.until(lambda: told.committed > 0)
            assert bench.sequences() == ([1, 13] if waits == "a message" else [1])
            assert log.end == (waits == "a record")

    trio.run(main)


def test_streams_leave_the_reserve_to_the_journal() -> None:
    """Else there is no room for the settlements, which would make some."""

    async def main() -> None:
        async with keeping(reserve_size=2 * ROOM) as bench:
            store, positions = bench.store, {}
            log = store.open_log(2, Owner(), segment_bytes=LARGE)
            for sequence in range(1, 6):
                body = published(bytes(ROOM))
                positions[sequence] = store.add(1, sequence, body, 0)
                told = bench.promise()
                await bench.until(lambda told=told: told.committed > 0)
            bench.disk.capacity = bench.used() + ROOM // 10
            store.add(1, 6, published(bytes(5 * ROOM)), 0)
            bench.promise()
            await bench.until(lambda: bench.broker.alarms.reason == "low on disk")
            for offset in range(6):
                log.append(Record(offset, 1, published(bytes(ROOM // 2))), None)
                told = bench.promise()
            for sequence, position in positions.items():
                store.settle(1, sequence, position)
                bench.promise()
                await bench.until(lambda gone=sequence: gone not in bench.sequences())
            assert log.end == 0
            assert bench.reasons[-1] == "low on disk", "records still wait"
            bench.disk.capacity = None
            await bench.until(lambda: told.committed > 0)
            assert log.end == 6

    trio.run(main)


def test_the_reserve_is_given_up_for_what_lets_segments_go() -> None:
    """Settlements have room in what is there of a segment; definitions have none.

    Nothing else asks for room but a record, which may not have the reserve.
    """

    async def main() -> None:
        async with keeping(reserve_size=4 * ROOM, segment_size=2 * ROOM) as bench:
            store, positions = bench.store, {}
            log = store.open_log(2, Owner(), segment_bytes=LARGE)
            for sequence in range(1, 13):
                body = published(bytes(ROOM // 2))
                positions[sequence] = store.add(1, sequence, body, 0)
                told = bench.define(2 * ROOM) if sequence == 1 else bench.promise()
                await bench.until(lambda told=told: told.committed > 0)
            bench.disk.capacity = bench.used() + ROOM
            log.append(Record(0, 1, published(bytes(3 * ROOM))), None)
            told = bench.promise()
            await bench.until(lambda: bench.broker.alarms.reason == "low on disk")
            for sequence, position in positions.items():
                store.settle(1, sequence, position)
            bench.promise()
            await bench.until(lambda: told.committed > 0)
            assert log.end == 1

    trio.run(main)


def test_a_stop_does_not_wait_for_what_has_no_room() -> None:
    """All that was said is written, and definitions could be for ever."""

    async def main() -> None:
        async with keeping(segment_size=2 * ROOM) as bench:
            await bench.fill_and_empty(ROOM)
            most = len(bench.disk.calls) + 100

            def count(method: str, name: str) -> None:
                assert len(bench.disk.calls) < most, "it tries for ever"

            bench.disk.on_call = count
        bench.disk.locked = False
        assert recover(bench.disk, reserve_size=0).was_clean

    trio.run(main)


def test_what_a_broker_has_left_goes_when_the_next_one_begins() -> None:
    """Nobody may be able to say anything before there is room."""

    async def main() -> None:
        async with keeping(segment_size=2 * ROOM) as bench:
            await bench.fill_and_empty(ROOM)
            disk = bench.disk.crashed()
        assert name_of(1) in disk.names()
        async with keeping(segment_size=2 * ROOM, disk=disk) as bench:
            await bench.until(lambda: name_of(1) not in disk.names())

    trio.run(main)


def test_publishers_wait_while_there_is_too_little_room() -> None:
    async def main() -> None:
        async with keeping(free_bytes_min=LARGE) as bench:
            alarms = bench.broker.alarms
            bench.disk.capacity = bench.used() + ROOM
            await bench.until(lambda: alarms.reason == "low on disk")
            told = bench.define()
            await bench.until(lambda: told.committed > 0)  # writing goes on
            assert alarms.reason == "low on disk"
            bench.disk.capacity = bench.used() + 2 * LARGE
            await bench.until(lambda: alarms.reason is None)
            assert bench.log.names == ["disk alarm on", "disk alarm off"]
            (_, fields), _ = bench.log.events
            assert fields["full"] is False
            assert isinstance(fields["free_bytes"], int)
            assert fields["free_bytes"] <= ROOM

    trio.run(main)


def test_a_full_disk_is_an_alarm_and_nothing_is_lost() -> None:
    async def main() -> None:
        async with keeping() as bench:
            alarms = bench.broker.alarms
            bench.disk.capacity = bench.used() + ROOM
            told = bench.define(LARGE)
            await bench.until(lambda: alarms.reason == "low on disk")
            assert told.committed == 0
            assert bench.reasons[0] == "low on disk", "nobody would be told"
            bench.disk.capacity = None
            await bench.until(lambda: told.committed > 0)
            assert alarms.reason is None
            assert bench.log.names == ["disk alarm on", "disk alarm off"]
            assert bench.log.events[0][1]["full"] is True
        bench.disk.locked = False
        found = recover(bench.disk, reserve_size=0)
        assert found.was_clean
        assert any(b"." * LARGE in each for each in found.definitions)

    trio.run(main)


@pytest.mark.parametrize("sync", ["always", "interval:20", "os"])
def test_when_what_was_promised_is_on_the_disk(sync: str) -> None:
    async def main() -> None:
        async with keeping(sync) as bench:
            told = bench.define()
            await bench.until(lambda: told.committed > 0)
            is_safe = bench.journal.synced == bench.journal.committed
            assert is_safe == (sync == "always")
            if sync != "os":
                await bench.until(
                    lambda: bench.journal.synced == bench.journal.committed
                )
        assert not any(each.data for each in bench.disk.pending), "a clean end"

    trio.run(main)


def test_an_interval_is_kept_under_load() -> None:
    async def main() -> None:
        async with keeping("interval:20") as bench:
            rounds = 0
            start = trio.current_time()
            while bench.journal.synced == 0:
                told = bench.define()
                await bench.until(lambda told=told: told.committed > 0)
                rounds += 1
            assert rounds > 1
            assert trio.current_time() - start < CHECKPOINT_SECONDS

    trio.run(main)


def test_what_found_no_room_and_is_not_needed_is_no_alarm() -> None:
    """As a message that was only to be moved to a newer segment."""

    async def main() -> None:
        async with keeping() as bench:
            bench.disk.capacity = bench.used() + ROOM
            bench.journal.add_message(1, 1, 0, b"", b"", bytes(LARGE))
            bench.store.said += 1
            bench.keeper.after_turn()
            await bench.until(lambda: len(bench.log.events) > 1)
            assert bench.log.names[:2] == ["disk alarm on", "disk alarm off"]
            bench.disk.capacity = None

    trio.run(main)


def test_publishers_wait_for_a_disk_that_is_far_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("warren_broker.server.keeper.BEHIND_BYTES", ROOM)
    gate = Event()

    async def main() -> None:
        async with keeping() as bench, trio.open_nursery() as nursery:
            bench.disk.on_call = lambda method, name: gate.wait(20) and None
            bench.define(LARGE)
            publisher = PeerBench(keeper=bench.keeper)
            publisher.connection.is_publisher = True
            nursery.start_soon(publisher.run)
            await publisher.client.send_all(b"once")
            assert await publisher.read_exactly(4) == b"once"
            await publisher.client.send_all(b"more")
            await wait_all_tasks_blocked()
            assert publisher.connection.is_kept_waiting
            assert len(publisher.connection.turns) == 1
            gate.set()
            assert await publisher.read_exactly(4) == b"more"
            assert not publisher.connection.is_kept_waiting
            await publisher.client.aclose()

    trio.run(main)


def test_the_reserve_is_made_beside_the_traffic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever waits for a batch waits for one piece at most."""
    monkeypatch.setattr(reserve, "PIECE", 100)

    async def main() -> None:
        async with keeping(reserve_size=1000) as bench:
            sizes = []
            while bench.size_of(reserve.NAME) < 1000:
                before = bench.size_of(reserve.NAME)
                told = bench.define()
                await bench.until(lambda told=told: told.committed > 0)
                sizes.append(bench.size_of(reserve.NAME) - before)
            assert max(sizes) <= 200, "one before it, one behind it"
            assert bench.size_of(reserve.NAME) == 1000

    trio.run(main)


def test_the_reserve_is_made_when_nothing_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reserve, "PIECE", 100)

    async def main() -> None:
        async with keeping(reserve_size=1000) as bench:
            told = bench.define()
            await bench.until(lambda: told.committed > 0)
            with trio.fail_after(20):
                while bench.size_of(reserve.NAME) < 1000:
                    await trio.lowlevel.checkpoint()

    trio.run(main)


def no_room_at_the_end(bench: Bench) -> None:
    bench.disk.capacity = bench.used()


def broken(bench: Bench) -> None:
    def fail(method: str, name: str) -> None:
        if method == "sync":
            raise OSError(errno.EIO, "Input/output error")

    bench.disk.on_call = fail


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (broken, "journal: [Errno 5] Input/output error"),
        (no_room_at_the_end, "journal: not ended cleanly: "),
    ],
)
def test_a_journal_that_fails_ends_it_and_promises_nothing(
    fault: Callable[[Bench], None], text: str
) -> None:
    benches: list[Bench] = []
    told: list[Told] = []

    async def main() -> None:
        async with keeping() as bench:
            benches.append(bench)
            fault(bench)
            told.append(bench.define(LARGE))
            if fault is broken:
                await trio.sleep_forever()

    with pytest.RaisesGroup(
        pytest.RaisesExc(JournalFailed), allow_unwrapped=True, flatten_subgroups=True
    ) as caught:
        trio.run(main)
    (error,) = leaves(caught.value)
    assert str(error).startswith(text)
    assert told[0].committed == 0
    (bench,) = benches
    assert bench.log.events[-1] == ("journal failed", {"reason": str(error)})
    assert not bench.disk.locked


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in leaves(each)]
    return [error]

"""The logs of streams as the core sees them, on a simulated disk without threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated_disk import SimulatedDisk, broken
from tests.streams import streams_on
from warren.wire.properties import Properties, encode_header
from warren_broker.amqp.content_header import ContentHeader
from warren_broker.amqp.deliver import encode_route
from warren_broker.core.message import Message, Route
from warren_broker.core.stream.log import LogOwner, Retention
from warren_broker.core.stream.record import Record
from warren_broker.server.background import Background, Nobody
from warren_broker.server.book import Book
from warren_broker.server.journal_store import JournalStore
from warren_broker.server.streams import Streams
from warren_broker.storage.journal import Journal
from warren_broker.storage.lookup import Lookup
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.recovery import recover
from warren_broker.storage.settings import JournalSettings, SyncMode
from warren_broker.storage.stream.segment import COMPACTING, INDEX, SEGMENT

if TYPE_CHECKING:
    from warren_broker.core.stream.record import Page
    from warren_broker.server.group_commit import GroupCommit

SEGMENT_BYTES = 4096
NUMBER = 1


@final
class Owner(LogOwner):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []
        self.pages: list[Page] = []

    def on_safe(self) -> None:
        self.said.append(("safe",))

    def on_trimmed(self) -> None:
        self.said.append(("trimmed",))

    def on_page(self, page: Page) -> None:
        self.pages.append(page)

    def on_unreadable(self, start: int, end: int, reason: str) -> None:
        self.said.append(("unreadable", start, end))

    def on_time_found(self, timestamp_ms: int, offset: int) -> None:
        self.said.append(("time", timestamp_ms, offset))


class Bench:
    """A store with one stream."""

    def __init__(
        self,
        disk: SimulatedDisk | None = None,
        sync: SyncMode = SyncMode.ALWAYS,
        reserve_size: int = 0,
    ) -> None:
        self.disk = disk or SimulatedDisk()
        recovered = recover(self.disk, reserve_size=reserve_size)
        settings = JournalSettings(reserve_size=reserve_size)
        self.journal = Journal(recovered.start, settings)
        self.streams, self.worker = streams_on(self.disk, recovered.start)
        lookup = Lookup(self.journal, self.disk)
        self.store = JournalStore(self.journal, Book(), lookup, self.streams, sync)
        self.owner = Owner()
        self.log = self.store.open_log(NUMBER, self.owner, segment_bytes=SEGMENT_BYTES)
        self.next = self.log.end

    def append(self, body: bytes, key: str = "key", **headers: object) -> None:
        properties = Properties(headers=headers or None)  # type: ignore[arg-type]
        header = ContentHeader(encode_header(properties, len(body)))
        message = Message(Route("x", key, b""), header, body)
        self.log.append(Record(self.next, 1000 + self.next, message), None)
        self.next += 1

    def commit(self, *, is_last: bool = False) -> tuple[GroupCommit, Outcome]:
        commit = self.store.take_commit(is_last=is_last)
        assert commit is not None
        commit.run(self.disk)
        outcome = self.store.on_written(commit)
        if outcome is not Outcome.FAILED:
            for log, _ in commit.streams:
                log.on_safe()
        return commit, outcome

    def read(self) -> dict[int, Message]:
        """Everything, one page after the other."""
        found, offset = {}, self.log.first
        while offset < self.log.end:
            self.log.want(offset)
            self.worker.run_all()
            page = self.owner.pages.pop()
            found |= {each.offset: each.message for each in page.records}
            offset = page.end
        return found

    def files(self, suffix: str) -> list[str]:
        return [name for name in self.disk.contents() if name.endswith(suffix)]

    def restarted(self) -> Bench:
        return Bench(self.disk.crashed())


def test_a_record_is_what_it_was_after_a_power_cut() -> None:
    bench = Bench()
    bench.append(b"one", "a.b", **{"x-filter": "cat"})
    bench.append(b"", "")
    assert (bench.store.said, bench.store.committed, bench.log.end) == (1, 0, 0)
    commit, _ = bench.commit()
    assert (commit.number, bench.store.committed, bench.log.end) == (1, 1, 2)
    assert bench.owner.said == [("safe",)]
    again = bench.restarted()
    assert (again.log.first, again.log.end, again.log.count) == (0, 2, 2)
    assert again.log.newest_ms == 1001
    first, second = again.read().values()
    assert (first.body, first.route.exchange) == (b"one", "x")
    assert (first.route.routing_key, second.route.routing_key) == ("a.b", "")
    assert first.header.headers() == {"x-filter": "cat"}
    assert first.route.encoded == encode_route(Route("x", "a.b", b""))


@given(value=st.none() | st.text(max_size=60), exchange=st.text(max_size=20))
def test_whatever_a_record_has_is_kept(value: str | None, exchange: str) -> None:
    bench = Bench()
    header = ContentHeader(encode_header(Properties(), 1))
    message = Message(Route(exchange, exchange[::2], b""), header, b"\0")
    bench.log.append(Record(0, -5, message, value), ("producer", 2**63))
    bench.log.append(Record(1, 2**62, message, None), None)
    bench.commit()
    bench.log.want(0)
    bench.worker.run_all()
    (page,) = bench.owner.pages
    one, two = page.records
    assert (one.timestamp_ms, two.timestamp_ms) == (-5, 2**62)
    assert (one.filter_value, two.filter_value) == (value, None)
    assert one.message.route.routing_key == exchange[::2]
    assert two.message.route is one.message.route
    assert two.message.header is one.message.header
    assert bench.restarted().log.producers == {"producer": 2**63}


def test_one_page_comes_once_however_often_it_is_wanted() -> None:
    bench = Bench()
    bench.append(b"body")
    bench.commit()
    bench.log.want(0)
    bench.log.want(0)
    assert not bench.owner.pages  # never within the call
    bench.worker.run_all()
    assert len(bench.owner.pages) == 1


def test_a_stream_without_room_keeps_its_records_and_the_journal_is_written() -> None:
    bench = Bench()
    bench.append(b"first")
    bench.commit()
    bench.disk.capacity = sum(map(len, bench.disk.contents().values())) + 600
    bench.append(bytes(2000))
    bench.store.define(("a", "b"), {"c": 1})
    commit, outcome = bench.commit()
    assert outcome is Outcome.FULL
    assert commit.journal is not None
    assert bench.journal.committed == commit.journal.lsn
    assert (bench.store.committed, bench.store.said, bench.log.end) == (1, 2, 1)
    bench.disk.capacity = None
    _, outcome = bench.commit()
    assert outcome is Outcome.WRITTEN
    assert (bench.store.committed, bench.log.end) == (3, 2)
    assert bench.read()[1].body == bytes(2000)


def test_what_retention_lets_go_of_makes_room_on_a_full_disk() -> None:
    bench = Bench()
    for _ in range(6):
        bench.append(bytes(3000))
        bench.commit()
    bench.disk.capacity = sum(map(len, bench.disk.contents().values())) + 600
    bench.log.retain(Retention(max_records=2), now_ms=0)
    bench.append(bytes(3000))
    _, outcome = bench.commit()
    assert (outcome, bench.log.end) == (Outcome.FULL, 6)
    assert len(bench.files(SEGMENT)) == 2
    again = bench.restarted()
    assert (again.log.first, again.log.end) == (4, 6)
    _, outcome = bench.commit()
    assert (outcome, bench.log.end) == (Outcome.WRITTEN, 7)
    assert bench.read().keys() == {4, 5, 6}


def test_how_far_a_reader_has_come_holds_up_no_declare() -> None:
    """A consumer that makes room must not wait for the one that waits for room."""
    bench = Bench()
    bench.commit()
    for kind in ("stream-offset", "queue-source"):
        bench.store.define((kind, "/", "s", "name"), {"offset": 1})
    bench.store.count_return(7, 1, 1)
    assert bench.store.said > bench.store.recorded >= bench.store.defined
    bench.store.define(("queue", "/", "q"), {"number": 2})
    assert bench.store.defined == bench.store.said


def test_a_stream_on_a_broken_disk_ends_it_all() -> None:
    bench = Bench()
    bench.commit()
    bench.append(b"body")

    def fail(method: str, name: str) -> None:
        if method == "sync":
            raise broken(name)

    bench.disk.on_call = fail
    commit, outcome = bench.commit()
    assert outcome is Outcome.FAILED
    assert isinstance(commit.error, OSError)
    assert bench.log.end == 0


def test_without_a_sync_a_power_cut_takes_what_was_not_synced() -> None:
    bench = Bench(sync=SyncMode.OS)
    bench.append(b"one")
    bench.commit()
    assert bench.log.end == 1
    assert bench.store.is_unsynced
    assert bench.restarted().log.end == 0
    bench.store.request_sync()
    bench.append(b"two")
    bench.commit()
    assert not bench.store.is_unsynced
    assert bench.restarted().log.end == 2


def test_a_reader_in_the_middle_of_what_is_let_go_of_is_told_nothing_false() -> None:
    bench = Bench()
    for _ in range(6):
        bench.append(bytes(3000))
        bench.commit()
    bench.log.want(0)  # is to be read, when the file is gone already
    bench.log.want(bench.log.end - 1)
    bench.log.retain(Retention(max_records=2), now_ms=0)
    assert bench.owner.said[-1] == ("trimmed",)
    assert (bench.log.first, bench.log.count) == (4, 2)
    bench.commit()
    assert len(bench.files(SEGMENT)) == 2
    bench.worker.run_all()
    assert [page.end for page in bench.owner.pages] == [bench.log.end]
    assert not [each for each in bench.owner.said if each[0] == "unreadable"]


def test_compaction_leaves_the_newest_and_a_reader_goes_on() -> None:
    bench = Bench()
    for count in range(12):
        bench.append(bytes([count]) * 1500, key=f"k{count % 3}")
        bench.commit()
    bench.append(b"", key="k9", **{"x-compact-key": 7})
    bench.log.compact(0)
    bench.read()  # pages of all segments are open now
    for _ in range(500):
        if bench.streams.is_dirty:
            bench.commit()
        if not bench.worker.run():
            break
    bench.worker.run_all()
    sealed = {at: one for at, one in bench.read().items() if at < 10}
    assert [one.route.routing_key for one in sealed.values()] == ["k1", "k2", "k0"]
    assert not bench.files(COMPACTING)
    assert bench.log.count == len(bench.read())
    again = bench.restarted()
    assert again.read().keys() == bench.read().keys()


def test_nothing_is_compacted_again_before_it_is_in_place() -> None:
    bench = Bench()
    for count in range(6):
        bench.append(bytes(1500), key=f"k{count % 2}")
        bench.commit()
    for _ in range(2):
        bench.log.compact(0)
        bench.worker.run_all()
    _, outcome = bench.commit()
    assert outcome is Outcome.WRITTEN
    before = bench.log.count
    bench.append(bytes(3000), key="k0")
    bench.append(bytes(3000), key="k1")
    bench.commit()
    bench.log.compact(0)
    bench.worker.run_all()
    bench.commit()
    assert bench.log.count < before + 2


def test_where_a_time_begins() -> None:
    bench = Bench()
    for _ in range(5):
        bench.append(bytes(2000))
        bench.commit()
    for when in (0, 1003, 1005):
        bench.log.want_time(when)
    bench.worker.run_all()
    times = [each for each in bench.owner.said if each[0] == "time"]
    assert times == [("time", 0, 0), ("time", 1003, 3), ("time", 1005, 5)]


def test_what_is_damaged_is_told_and_what_follows_is_read() -> None:
    bench = Bench()
    for _ in range(3):
        bench.append(bytes(100))
        bench.commit()
    (name,) = bench.files(SEGMENT)
    size = bench.disk.size(name) - 64
    bench.disk.damage(name, 64 + size // 3 + 90, b"\xff\xff")
    bench.log.want(1)
    bench.log.want(2)
    bench.worker.run_all()
    assert bench.owner.said[-1] == ("unreadable", 1, 2)
    assert [page.start for page in bench.owner.pages] == [2]


def test_a_deleted_stream_leaves_nothing() -> None:
    bench = Bench()
    bench.append(bytes(100))
    bench.commit()
    bench.log.want(0)
    bench.log.delete()
    bench.store.define(("queue", "/", "s"), None)
    bench.commit()
    bench.worker.run_all()
    assert not bench.owner.pages
    assert not bench.files(SEGMENT) + bench.files(INDEX)
    assert not bench.streams.is_dirty


def test_many_streams_are_deleted_in_one_go() -> None:
    bench = Bench()
    logs = [bench.log] + [
        bench.store.open_log(number, Owner(), segment_bytes=SEGMENT_BYTES)
        for number in range(NUMBER + 1, NUMBER + 9)
    ]
    bench.commit()
    assert len(bench.files(SEGMENT)) == len(logs)
    for log in logs[1:]:
        log.delete()
    before = len(bench.disk.calls)
    bench.commit()
    calls = [call for call, _ in bench.disk.calls[before:]]
    assert calls.count("sync_directory") == 1
    assert len(bench.files(SEGMENT)) == 1


def test_a_segment_is_never_tiny_on_a_disk() -> None:
    disk = SimulatedDisk()
    start = recover(disk, reserve_size=0).start
    streams = Streams(start, {}, disk, reading=Nobody(), upkeep=Nobody())
    files = streams.open_log(NUMBER, Owner(), 1).files
    for _ in range(100):
        files.append(1, None, b"", b"", bytes(1000))
    batch = files.take_batch(syncs=True)
    assert batch is not None
    assert len(batch.parts) == 1


def test_another_size_of_segments_holds_at_once_even_while_a_batch_is_written() -> None:
    bench = Bench()
    bench.append(bytes(3000))
    commit = bench.store.take_commit()
    assert commit is not None
    bench.log.size_segments(1000)
    commit.run(bench.disk)
    bench.store.on_written(commit)
    assert len(bench.files(SEGMENT)) == 1
    bench.append(bytes(300))
    bench.commit()
    assert len(bench.files(SEGMENT)) == 2, "the active one is full"
    bench.log.size_segments(SEGMENT_BYTES)
    for _ in range(3):
        bench.append(bytes(1000))
        bench.commit()
    assert len(bench.files(SEGMENT)) == 2


def test_nothing_stays_open_of_a_segment_that_is_let_go_of() -> None:
    bench = Bench()
    for _ in range(6):
        bench.append(bytes(3000))
        bench.commit()
    bench.read()
    assert bench.disk.reading == 6
    bench.log.retain(Retention(max_records=2), now_ms=0)
    bench.commit()
    bench.worker.run_all()
    assert bench.disk.reading == 0
    assert list(bench.read()) == [4, 5]


def test_a_clean_stop_leaves_nothing_to_be_read_again() -> None:
    bench = Bench()
    bench.append(bytes(100))
    bench.commit(is_last=True)
    disk = bench.disk.crashed()
    Bench(disk)
    assert not [call for call in disk.calls if call[1].endswith((SEGMENT, INDEX))]


def test_a_stream_without_records_has_a_file_however_often_the_power_goes() -> None:
    bench = Bench()
    bench.commit()
    again = bench.restarted()
    again.store.define(("a", "b"), {"c": 1})
    assert not again.streams.missing
    assert not again.restarted().streams.missing


def test_background_work_is_done_elsewhere_and_heard_here() -> None:
    import trio

    async def main() -> None:
        background, heard = Background("test"), []
        for count in range(40):
            background.do(lambda count=count: lambda: heard.append(count))
        while len(heard) < 40:
            await trio.lowlevel.checkpoint()
        background.close()
        assert heard == list(range(40))

    trio.run(main)


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_stream_has_a_file_though_there_is_no_room_for_its_records(room: int) -> None:
    """It is defined: without one it would seem to be damaged."""
    bench = Bench(reserve_size=1000)
    bench.disk.capacity = sum(map(len, bench.disk.contents().values())) + room
    bench.append(bytes(2000))
    bench.store.define(("a", "b"), {"c": 1})
    while not bench.store.recorded:
        assert bench.commit()[1] is Outcome.FULL
    for _ in range(2):
        bench = bench.restarted()
        assert not bench.streams.missing
    bench.append(b"first")
    bench.commit()
    assert [each.body for each in bench.restarted().read().values()] == [b"first"]

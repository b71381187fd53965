"""The journal beside its twin: a dict of what lives."""

from __future__ import annotations

from random import Random

import pytest

from tests.simulated_disk import SimulatedDisk
from tests.storage.support import (
    SMALL,
    Store,
    contents_of,
    definitions_of,
    reopen,
    settings,
)
from tests.streams import streams_on
from warren_broker.amqp.content_header import ContentHeader
from warren_broker.core.message import Message, Route
from warren_broker.server.book import Book
from warren_broker.server.journal_store import JournalStore
from warren_broker.storage.journal import Journal
from warren_broker.storage.lookup import Lookup
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.segment import SegmentReader, number_of
from warren_broker.storage.settings import JournalSettings, SettingError, Sync, SyncMode


def segments_of(disk: SimulatedDisk) -> list[int]:
    return sorted(n for n in map(number_of, disk.contents()) if n is not None)


@pytest.mark.parametrize("seed", range(12))
def test_twin(seed: int) -> None:
    """Random publishes, settles, moves, purges, rolls, reclaims and crashes."""
    random, store, sequence = Random(seed), Store(), 0
    for step in range(300):
        live = sorted(store.ledger.positions)
        for _ in range(random.randint(0, 4)):
            sequence += 1
            body = random.randbytes(random.randint(0, 200))
            store.publish(random.randint(1, 3), sequence, body)
        for key in random.sample(live, min(len(live), random.randint(0, 4))):
            store.settle(key)
        if random.random() < 0.03:
            store.purge(2)
        if random.random() < 0.1:
            store.define(b"definition-%d" % step)
        if store.journal.wants_snapshot:
            store.snapshot()
        store.commit()
        store.tidy()
        if random.random() < 0.05:
            store.commit()
            store.restart(random.choice((store.disk.crashed(), store.disk.killed())))
        if step % 10 == 9:
            store.commit()
            recovered = reopen(store.disk.crashed())
            assert contents_of(recovered) == store.ledger.live()
            assert store.ledger.complaints(recovered, store.journal.committed) == []


def test_positions_are_where_the_operations_are() -> None:
    """The position that is given is the one that recovery finds."""
    random, store = Random(5), Store()
    for sequence in range(1, 200):
        store.publish(1, sequence, random.randbytes(sequence % 50), 2)
        if random.random() < 0.4:
            store.commit()
    store.commit()
    given = dict(store.ledger.positions)
    recovered = reopen(store.disk.crashed())
    found = {
        (queue, each.sequence): each.position
        for queue, stored in recovered.messages.items()
        for each in stored
    }
    assert found == given


def test_a_record_collects_while_the_one_before_is_written() -> None:
    store = Store()
    store.publish(1, 1, b"one")
    first = store.journal.take_batch()
    assert first is not None
    store.publish(1, 2, b"two")
    assert store.journal.take_batch() is None
    assert (store.journal.committed, store.journal.ticket) == (0, 2)
    first.run(store.disk)
    assert store.journal.on_written(first, None).outcome is Outcome.WRITTEN
    assert store.journal.committed == 1
    assert store.journal.is_dirty
    store.commit()
    assert store.journal.committed == 2
    assert contents_of(reopen(store.disk.crashed())) == store.ledger.live()


def test_waiting_bytes_and_nothing_to_do() -> None:
    journal = Store().journal
    assert not journal.is_dirty
    assert journal.take_batch() is None
    journal.add_message(1, 1, 0, b"r", b"h", bytes(100))
    assert journal.waiting_bytes == 31 + 102
    journal.take_batch()
    assert journal.waiting_bytes == 31 + 102
    journal.add_definition(b"cbor")
    assert journal.waiting_bytes == 31 + 102 + 9


def test_dead_segments_go_and_what_lives_is_moved() -> None:
    """One old message does not keep a journal from staying small."""
    store = Store()
    store.publish(9, 1, b"for ever")
    for sequence in range(2, 400):
        store.publish(1, sequence, bytes(100))
        if sequence > 3:
            store.settle((1, sequence - 2))
        store.commit()
        store.tidy()
    assert len(segments_of(store.disk)) <= 4
    assert store.journal.size < 5 * 800
    found = contents_of(reopen(store.disk.crashed()))
    assert found == store.ledger.live()
    assert (9, 1) in found
    store.settle((9, 1))
    store.commit()
    assert (9, 1) not in contents_of(reopen(store.disk.crashed()))


def test_a_moved_message_keeps_its_copies_in_one_record() -> None:
    store = Store()
    store.publish(1, 1, bytes(300), *range(2, 12))
    for sequence in range(20, 60):
        store.publish(1, sequence, bytes(150))
        store.commit()
        store.settle((1, sequence))
        store.commit()
        store.tidy()
    assert store.journal.size < 4000
    assert len(contents_of(reopen(store.disk.crashed()))) == 11


def test_definitions_keep_a_segment_until_there_is_a_snapshot() -> None:
    store = Store()
    store.define(b"queue")
    for sequence in range(1, 30):
        store.publish(1, sequence, bytes(100))
        store.settle((1, sequence))
        store.commit()
    assert segments_of(store.disk)[0] == 1
    assert store.journal.wants_snapshot
    store.snapshot()
    store.commit()
    assert not store.journal.wants_snapshot
    assert segments_of(store.disk)[0] > 1
    recovered = reopen(store.disk.crashed())
    assert (recovered.snapshot, recovered.definitions) == (b"queue", ())


def test_a_snapshot_is_exact_within_its_record() -> None:
    store = Store()
    store.define(b"one")
    store.snapshot()
    store.define(b"two")
    store.commit()
    recovered = reopen(store.disk.crashed())
    assert (recovered.snapshot, recovered.definitions) == (b"one", (b"two",))


@pytest.mark.parametrize("mode", ["interval:50", "os"])
def test_weak_modes_commit_what_is_written(mode: str) -> None:
    store = Store(settings(mode, segment_size=5000))
    store.publish(1, 1, b"body")
    store.commit()
    assert store.journal.committed == 1
    assert contents_of(reopen(store.disk.crashed())) == {}
    assert contents_of(reopen(store.disk.killed())) == store.ledger.live()
    store.journal.request_sync()
    store.commit()
    assert contents_of(reopen(store.disk.crashed())) == store.ledger.live()
    store.journal.request_sync()
    assert store.commit() is None


def test_a_checkpoint_is_written_once() -> None:
    store = Store(settings(segment_size=5000))
    store.publish(1, 1, b"body")
    store.commit()
    store.journal.request_checkpoint()
    assert store.commit() is not None
    store.journal.request_checkpoint()
    assert store.commit() is None


def test_a_clean_stop_is_known() -> None:
    store = Store()
    store.publish(1, 1, b"body")
    store.commit(is_last=True)
    disk = store.disk.crashed()
    assert reopen(disk).was_clean
    assert not reopen(disk.crashed()).was_clean


def test_starts_without_traffic_add_nothing() -> None:
    store = Store()
    store.publish(1, 1, b"body")
    store.commit(is_last=True)
    disk = store.disk.crashed()
    before = contents_of(reopen(disk))
    sizes = {name: len(data) for name, data in disk.contents().items()}
    for _ in range(50):
        disk = disk.crashed()
        recovered = reopen(disk)
        journal = Journal(recovered.start, SMALL)
        batch = journal.take_last_batch()
        assert batch is not None
        batch.run(disk)
        assert contents_of(recovered) == before
    assert {name: len(data) for name, data in disk.contents().items()} == sizes


def test_definitions_of_an_empty_store() -> None:
    assert definitions_of(reopen(SimulatedDisk())) == []


@pytest.mark.parametrize("text", ["always", "interval:20", "os"])
def test_sync_setting(text: str) -> None:
    assert str(Sync.parse(text)) == text
    assert Sync.parse("interval:20") == Sync(SyncMode.INTERVAL, 20)


@pytest.mark.parametrize("text", ["", "never", "interval", "interval:0", "interval:x"])
def test_bad_sync_setting(text: str) -> None:
    with pytest.raises(SettingError, match="sync is always, interval:MS or os"):
        Sync.parse(text)


def test_defaults() -> None:
    assert JournalSettings().sync == Sync(SyncMode.ALWAYS)


def test_large_bodies_are_not_joined() -> None:
    store = Store()
    body = bytes(100_000)
    store.publish(1, 1, body)
    batch = store.journal.take_batch()
    assert batch is not None
    assert any(chunk is body for chunk in batch.chunks)
    batch.run(store.disk)
    store.journal.on_written(batch, None)
    assert contents_of(reopen(store.disk.crashed())) == store.ledger.live()


def test_the_segments_of_a_store_follow_each_other() -> None:
    store = Store()
    for sequence in range(1, 20):
        store.publish(1, sequence, bytes(200))
        store.commit()
    headers = [
        SegmentReader(store.disk, name, 0).header()
        for name in sorted(store.disk.contents())
        if number_of(name)
    ]
    assert [each and each.number for each in headers] == segments_of(store.disk)


# Records that are closed before the batch under way is written


def test_a_long_record_is_closed_at_the_end_of_its_turn() -> None:
    store = Store(settings(segment_size=300))
    batch = None
    for sequence in range(1, 7):
        store.publish(1, sequence, bytes(200))
        store.publish(2, sequence, bytes(200))
        store.journal.end_turn()
        batch = batch or store.journal.take_batch()
    assert batch is not None
    assert store.journal.waiting_bytes > 6 * 400
    batch.run(store.disk)
    store.journal.on_written(batch, None)
    for count in range(1, 7):
        found = contents_of(reopen(store.disk.crashed()))
        assert len(found) == 2 * count, "a turn is never torn apart"
        assert store.commit() is not None or count == 6
    assert store.journal.waiting_bytes == 0 or not store.journal.is_dirty
    assert found == store.ledger.live()


def test_a_record_has_a_size_that_four_bytes_can_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even if one turn says more: it is cut, not corrupted."""
    disk = SimulatedDisk()
    start = reopen(disk).start
    journal = Journal(start, settings(segment_size=300))
    streams, _ = streams_on(disk, start)
    store = JournalStore(journal, Book(), Lookup(journal, disk), streams)
    monkeypatch.setattr(Journal.bound_record, "__defaults__", (1000,))
    for sequence in range(1, 20):
        header = ContentHeader(bytes.fromhex("003c0000") + bytes(10))
        message = Message(Route("", "q", b"\0\1q"), header, bytes(300))
        store.add(1, sequence, message, 0)
    sizes = []
    while (commit := store.take_commit()) is not None:
        assert store.committed < store.said  # until all of it is written
        sizes.append(commit.size)
        commit.run(disk)
        assert store.on_written(commit) is Outcome.WRITTEN
    assert len(sizes) > 3
    assert max(sizes) < 1500
    assert store.committed >= store.said
    assert len(contents_of(reopen(disk.crashed()))) == 19


def test_a_segment_that_is_not_written_is_not_removed() -> None:
    store = Store(settings(segment_size=100))
    for _ in range(5):  # segments in which no message ever was
        for _ in range(6):
            store.purge(9)
        store.journal.bound_record(0)
    while store.commit() is not None:
        there = set(segments_of(store.disk.crashed()))
        assert there <= set(store.journal._space.segments), "written, but removed"
    assert reopen(store.disk.crashed()).damage == ()


def test_a_segment_that_is_not_written_is_not_read() -> None:
    store = Store(settings(segment_size=100))
    for _ in range(6):
        store.purge(9)
    under_way = store.journal.take_batch()
    assert under_way is not None
    for sequence in range(1, 7):
        store.publish(1, sequence, bytes(100))
        store.journal.bound_record(0)
    for sequence in range(2, 7):
        store.settle((1, sequence))
    under_way.run(store.disk)
    store.journal.on_written(under_way, None)
    assert store.journal.take_move() is None
    while store.commit() is not None:
        store.tidy()
    assert contents_of(reopen(store.disk.crashed())) == store.ledger.live()

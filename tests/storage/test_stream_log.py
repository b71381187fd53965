"""A log alone: whatever happens to it, the rules S1 to S4 of the ledger hold."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from tests.simulated_disk import SimulatedDisk, pages
from tests.storage.stream_bench import NUMBER, STORE_ID, Bench, Seen, read_from
from warren_broker.core.stream.log import Retention
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.stream.books import OpenedStream
from warren_broker.storage.stream.log import StoreFacts, StreamLog
from warren_broker.storage.stream.reading import StreamReader
from warren_broker.storage.stream.segment import name_of

KEYS = [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]


class LogMachine(RuleBasedStateMachine):
    """Appends, commits, crashes and reads, compared with a list."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.reader = StreamReader(self.bench.disk, STORE_ID)

    @rule(
        key=st.sampled_from(KEYS),
        size=st.sampled_from([0, 1, 30, 30, 30, 300, 2000]),
        producer=st.sampled_from([None, None, "p", "q"]),
        moves=st.booleans(),
    )
    def append(self, key: bytes, size: int, producer: str | None, moves: bool) -> None:
        self.bench.now_ms += moves
        count = len(self.bench.ledger.appended)
        body = b"%d." % count * size
        self.bench.append(key, body[:size], (producer, count) if producer else None)

    @rule(syncs=st.booleans())
    def commit(self, syncs: bool) -> None:
        self.bench.commit(syncs=syncs)

    @rule()
    def commit_synced(self) -> None:
        self.bench.commit()
        assert self.bench.log.end == len(self.bench.ledger.appended)

    @rule(room=st.integers(0, 600))
    def commit_on_a_full_disk(self, room: int) -> None:
        disk = self.bench.disk
        disk.capacity = sum(map(len, disk.contents().values())) + room
        end = self.bench.log.end
        if self.bench.commit() is Outcome.FULL:
            assert self.bench.log.end == end
        disk.capacity = None

    @rule(data=st.data())
    def read_anywhere(self, data: st.DataObject) -> None:
        log, ledger = self.bench.log, self.bench.ledger
        if log.first < log.end:
            offset = data.draw(st.integers(log.first, log.end - 1))
            for at, seen in read_from(self.reader, log, offset):
                one = ledger.appended[at]
                assert seen == Seen(one.timestamp_ms, one.key, one.body)
                offset = max(offset, at)

    @rule(data=st.data())
    def find_a_time(self, data: st.DataObject) -> None:
        log, ledger = self.bench.log, self.bench.ledger
        when = data.draw(st.integers(990, self.bench.now_ms + 1))
        there = [
            at
            for at in range(log.first, log.end)
            if ledger.appended[at].timestamp_ms >= when
        ]
        place = log.place_of_time(when)
        found = log.end
        if place is not None:
            found = self.reader.offset_at(NUMBER, place, when)
        # Where compaction has left holes any offset of a hole will do.
        later = [at for at in there if at not in ledger.may_be_gone]
        assert log.first <= found <= (later[0] if later else log.end)
        older = [at for at in range(log.first, found) if at in there]
        assert all(at in ledger.may_be_gone for at in older)

    @rule(limit=st.integers(0, 3000), age=st.integers(0, 20))
    def retain(self, limit: int, age: int) -> None:
        self.bench.retain(Retention(max_bytes=limit, max_age_ms=age + 5))

    @rule(records=st.integers(0, 40))
    def retain_records(self, records: int) -> None:
        self.bench.retain(Retention(max_records=records))
        segments = self.bench.log.sealed()
        assert not segments or self.bench.log.first == segments[0].first

    @rule(age=st.integers(0, 10))
    def compact(self, age: int) -> None:
        self.bench.compact(self.bench.now_ms - age)

    @rule(seed=st.integers(0, 1 << 20))
    def crash(self, seed: int) -> None:
        chance = random.Random(seed)
        crashed = self.bench.disk.crashed(
            lambda pending: [
                part
                for each in pending
                for part in (pages(each, 128) if each.kind == "write" else [each])
                if chance.random() < 0.7
            ]
        )
        self._restart(crashed)

    @rule()
    def stop(self) -> None:
        self.bench.commit(is_last=True)
        end = self.bench.log.end
        self._restart(self.bench.disk.crashed())
        assert self.bench.log.end == end
        assert not [call for call in self.bench.disk.calls if call[0] == "write"]

    def _restart(self, disk: object) -> None:
        self.bench.restart(disk)  # type: ignore[arg-type]
        self.reader = StreamReader(self.bench.disk, STORE_ID)

    @precondition(lambda self: len(self.bench.ledger.appended) < 60)
    @invariant()
    def all_is_there(self) -> None:
        bench = self.bench
        wrong = bench.ledger.complaints(bench.opened, bench.log, bench.disk)
        # What retention has let go is not there to be read, but may come back.
        assert not wrong, wrong


LogMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None
)
TestLog = LogMachine.TestCase


def test_there_is_no_runway_in_room_that_is_spared() -> None:
    disk, facts = SimulatedDisk(), StoreFacts(STORE_ID, 1, 1 << 16)
    log = StreamLog(OpenedStream.new(NUMBER), facts, 1 << 20)
    for spares in (1, 0, 1):
        log.append(1_000, None, b"key", b"", bytes(1000))
        batch = log.take_batch(syncs=True)
        assert batch is not None
        batch.spares = spares
        before = disk.size(name_of(NUMBER, 0)) if log.end else 0
        batch.run(disk)
        log.on_written(batch, None)
        size = disk.size(name_of(NUMBER, 0))
        assert size == (max(before, log.size) if spares else 2 * log.size)


def test_most_syncs_find_a_file_as_long_as_it_was() -> None:
    """It grows as what is in it does; large chunks and a clean stop need no runway."""
    disk, runway = SimulatedDisk(), 1 << 16
    facts = StoreFacts(STORE_ID, 1, runway)
    log = StreamLog(OpenedStream.new(NUMBER), facts, 1 << 20)

    def commit(body: bytes, *, is_last: bool = False) -> int:
        log.append(1_000, None, b"key", b"", body)
        batch = log.take_batch(syncs=True, is_last=is_last)
        assert batch is not None
        batch.run(disk)
        log.on_written(batch, None)
        return disk.size(name_of(NUMBER, 0))

    sizes = [commit(bytes(1000)) for _ in range(400)]
    assert len(set(sizes)) < 20
    assert sizes[0] < 3000
    assert log.size <= sizes[-1] < log.size + runway
    while log.size < 900_000:
        size = commit(bytes(runway))
    assert size == log.size
    assert commit(b"") > log.size
    assert commit(b"", is_last=True) == log.size

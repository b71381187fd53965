"""What the files of a stream cost: descriptors, and bytes that are no records."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storage.stream_bench import (
    NUMBER,
    STORE_ID,
    Bench,
    key_of,
    open_all,
    read_from,
)
from warren_broker.storage.disk import FileDisk
from warren_broker.storage.stream.books import OpenedStream
from warren_broker.storage.stream.compaction import Compaction
from warren_broker.storage.stream.log import StoreFacts, StreamLog
from warren_broker.storage.stream.opening import open_streams
from warren_broker.storage.stream.reading import FIRST_PAGE_BYTES, StreamReader
from warren_broker.storage.stream.segment import name_of

_SEGMENTS = 150
_OPEN_MAX = 70
_RECORDS = 1000
_GONE = 100
_OWN_DESCRIPTORS = Path("/proc/self/fd")


def open_files(path: Path) -> int:
    """How many files of a data directory this process has open."""
    found = 0
    for descriptor in _OWN_DESCRIPTORS.iterdir():
        try:
            found += descriptor.readlink().is_relative_to(path)
        except FileNotFoundError:
            continue  # that of this very listing
    return found


def test_a_sealed_segment_keeps_no_descriptor(tmp_path: Path) -> None:
    facts = StoreFacts(STORE_ID, 1)
    disk = FileDisk(tmp_path)
    log = StreamLog(OpenedStream.new(NUMBER), facts, 100)
    for count in range(_SEGMENTS):
        log.append(count, None, b"", b"", bytes(100))
    batch = log.take_batch(syncs=True)
    assert batch is not None
    batch.run(disk)
    assert len(disk.names()) == 2 * _SEGMENTS - 1
    assert open_files(tmp_path) < _OPEN_MAX
    for name in disk.names():
        if name.endswith(".index"):
            disk.remove(name)
    again = FileDisk(tmp_path)
    before = open_files(tmp_path)
    open_streams(again, STORE_ID, None)
    assert len(again.names()) >= 2 * _SEGMENTS - 1
    assert open_files(tmp_path) - before < _OPEN_MAX


def test_producers_take_no_more_of_a_segment_than_records() -> None:
    bench = Bench()
    for count in range(50):
        bench.append(b"", b"", (f"{count:0200}", 1))
    for _ in range(200):
        bench.append(b"", bytes(50), None)
        bench.commit()
    written = sum(map(len, bench.disk.contents().values()))
    assert written < 60_000 + 50 * 210 * 4


@cache
def large_chunk(*, is_compacted: bool) -> Bench:
    """A log with 1000 records in one chunk; compacted, the first 100 are gone."""
    bench = Bench()
    bench.log = StreamLog(OpenedStream.new(NUMBER), StoreFacts(STORE_ID, 1), 1 << 20)
    for count in range(_RECORDS):
        bench.append(b"%d" % (count % (_RECORDS - _GONE)), bytes(150))
    bench.commit()
    bench.append(b"", bytes(1 << 20))
    bench.commit()
    if is_compacted:
        facts, keys = StoreFacts(STORE_ID, 1), _RECORDS
        for step in Compaction(
            NUMBER, bench.log.sealed(), facts, key_of, 0, keys
        ).steps(bench.disk):
            if step is not None:
                bench.log.replace(step)
        bench.commit()
    return bench


@given(offset=st.integers(0, _RECORDS), is_compacted=st.booleans())
def test_a_first_page_is_a_part_of_a_large_chunk(
    offset: int, is_compacted: bool
) -> None:
    bench = large_chunk(is_compacted=is_compacted)
    reader = StreamReader(bench.disk, STORE_ID)
    page = reader.page(NUMBER, bench.log.place_of(offset), offset)
    assert page.start == offset
    if offset < _RECORDS:
        assert page.size < FIRST_PAGE_BYTES + 200
    found = [at for at, _ in read_from(reader, bench.log, offset)]
    first = max(offset, _GONE) if is_compacted else offset
    assert found == list(range(first, _RECORDS + 1))


@pytest.mark.parametrize("data", [b"something else", None])
def test_a_file_that_is_no_segment_does_not_move_the_end(data: bytes | None) -> None:
    bench = Bench()
    bench.append(b"", b"one")
    bench.commit()
    far = name_of(NUMBER, 1 << 60)
    own = bench.disk.contents()[name_of(NUMBER, 0)]
    bench.disk.plant(far, own if data is None else data)
    (stream,) = open_all(bench.disk).streams.values()
    assert stream.segments[-1].end == 1
    assert far not in bench.disk.contents()

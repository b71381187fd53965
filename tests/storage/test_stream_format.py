"""Chunks, indexes and names of streams: what is written is read, and nothing else."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from tests.simulated_disk import SimulatedDisk
from tests.storage.stream_bench import NUMBER, STORE_ID, Bench, log_of, open_all
from warren_broker.core.stream.log import Retention
from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream import entry as entries
from warren_broker.storage.stream import index as indexes
from warren_broker.storage.stream import segment as segments
from warren_broker.storage.stream.books import OpenedStream
from warren_broker.storage.stream.chunk import Chunk, Draft
from warren_broker.storage.stream.index import IndexEntry
from warren_broker.storage.stream.log import StoreFacts, StreamLog
from warren_broker.storage.stream.opening import open_streams
from warren_broker.storage.stream.producers import PRODUCERS_MAX, note_producers
from warren_broker.storage.stream.segment import SegmentFile, SegmentHeader

u32 = st.integers(0, 2**32 - 1)
u63 = st.integers(0, 2**63 - 1)
bodies = st.lists(st.binary(max_size=40), max_size=5)


def drafted(parts: list[bytes], time: int = 5, **producers: int) -> Draft:
    log = StreamLog(OpenedStream.new(1), StoreFacts(STORE_ID, 1), 1 << 20)
    for body in parts:
        log.append(time, None, b"route", b"header", body)
    draft = log._drafts[0] if parts else Draft(time)
    draft.producers = producers
    return draft


def decoded(data: bytes, seed: int, offset: int = 0) -> Chunk | None:
    header = chunks.decode_header(data, offset, seed)
    return None if header is None else chunks.decode(data, offset, header, seed)


@given(parts=bodies, first=u63, safe=u63, epoch=u32, seed=u32, last=u63)
def test_a_chunk_is_read_as_it_was_written(
    parts: list[bytes], first: int, safe: int, epoch: int, seed: int, last: int
) -> None:
    draft = drafted(parts, -7, producer=last)
    data = b"".join(chunks.compose(draft, first, safe, epoch, seed))
    assert len(data) == chunks.size_of(draft)
    chunk = decoded(b"before" + data + b"behind", seed, 6)
    assert chunk is not None
    assert chunk.header.whole_size == len(data)
    assert chunk.header[:5] == (chunks.RECORDS, len(parts), -7, epoch, first)
    assert (chunk.safe, chunk.end) == (safe, first + len(parts))
    assert chunks.decode_producers(chunk.producers) == {"producer": last}
    spans = list(entries.spans(chunk.data, has_deltas=False))
    found = [entries.decode(chunk.data, start) for _, start, _ in spans]
    assert [each.body for each in found] == parts
    assert [count for count, _, _ in spans] == list(range(len(parts)))


@given(parts=bodies, data=st.data(), seed=u32)
def test_a_chunk_with_any_bit_wrong_is_none(
    parts: list[bytes], data: st.DataObject, seed: int
) -> None:
    raw = bytearray(b"".join(chunks.compose(drafted(parts, p=1), 3, 2, 1, seed)))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    assert decoded(bytes(raw), seed) is None


@given(parts=bodies, data=st.data())
def test_a_chunk_that_is_cut_or_of_another_place_is_none(
    parts: list[bytes], data: st.DataObject
) -> None:
    seed = chunks.seed_of(STORE_ID, 1, 0)
    raw = b"".join(chunks.compose(drafted(parts), 3, 2, 1, seed))
    assert decoded(raw[: data.draw(st.integers(0, len(raw) - 1))], seed) is None
    assert decoded(raw, chunks.seed_of(STORE_ID, 2, 0)) is None
    assert decoded(raw, chunks.seed_of(STORE_ID, 1, 1)) is None
    assert decoded(raw, chunks.seed_of(bytes(16), 1, 0)) is None


def test_the_first_45_bytes_are_those_of_the_stream_protocol() -> None:
    raw = b"".join(chunks.compose(drafted([b"body"], time=9), 77, 70, 3, 1))
    head = struct.unpack_from(">BBHIqQQIIIB", raw)
    assert head[:7] == (0x50, 0, 1, 1, 9, 3, 77)
    size, trailer = head[8:10]
    assert len(raw) == 48 + size + trailer
    assert raw[48:52] == struct.pack(">I", size - 4)  # the highest bit: no sub-batch


@given(st.lists(st.tuples(u63, u63, u63, u63, u63), max_size=6), st.binary(), u32)
def test_an_index_is_read_up_to_what_is_wrong(
    rows: list[tuple[int, ...]], garbage: bytes, seed: int
) -> None:
    rising = sorted(IndexEntry(*row) for row in rows)
    positions = sorted(64 + each.position for each in rising)
    written = [
        each._replace(position=position)
        for each, position in zip(rising, positions, strict=True)
    ]
    raw = b"".join(indexes.encode(each, seed) for each in written)
    assert indexes.decode(raw, seed) == written
    assert indexes.decode(raw + garbage, seed)[: len(written)] == written
    assert indexes.decode(raw, seed ^ 1) == []


@given(number=st.integers(1, 2**32 - 1), first=u63)
def test_names(number: int, first: int) -> None:
    for suffix in (segments.SEGMENT, segments.INDEX, segments.COMPACTING):
        name = segments.name_of(number, first, suffix)
        assert segments.parse_name(name) == (number, first, suffix)
        for other in (name[:-1], name.replace("-", "_"), name + "x", name[8:]):
            assert segments.parse_name(other) is None
    assert segments.parse_name(f"streams/0{number}-{first:020}.index") is None


@given(epoch=u32, number=u32, revision=u32, first=u63, cut=st.integers(0, 511))
def test_the_header_of_a_segment(
    epoch: int, number: int, revision: int, first: int, cut: int
) -> None:
    header = SegmentHeader(epoch, STORE_ID, number, revision, first)
    raw = bytearray(segments.encode_header(header))
    assert len(raw) == segments.HEADER_SIZE
    assert segments.decode_header(bytes(raw)) == header
    raw[cut // 8] ^= 1 << cut % 8
    assert segments.decode_header(bytes(raw)) is None


def test_a_chunk_is_found_behind_any_garbage() -> None:
    raw = b"".join(chunks.compose(drafted([b"x"]), 5, 5, 1, 9))
    disk = SimulatedDisk()
    disk.plant("streams/x", b"\x50\0" * 200_001 + raw)
    file = SegmentFile(disk.open("streams/x"), 9, disk.size("streams/x"))
    found = file.find(1, 0)
    assert found is not None
    assert (found.position, found.chunk.header.first) == (400_002, 5)
    assert file.find(0, 6) is None


def test_only_the_most_recent_producers_are_remembered() -> None:
    known: dict[str, int] = {}
    for count in range(PRODUCERS_MAX + 5):
        note_producers(known, {"first": count, str(count): count})
    assert len(known) == PRODUCERS_MAX
    assert known["first"] == PRODUCERS_MAX + 4
    assert "5" not in known


def test_what_is_unknown_goes_to_quarantine_and_leftovers_go() -> None:
    bench = Bench()
    bench.append(b"a", b"body")
    bench.commit()
    names = set(bench.disk.contents())
    bench.disk.plant("streams/7-readme.txt", b"mine")
    bench.disk.plant(segments.name_of(NUMBER, 0, segments.COMPACTING), b"half")
    bench.disk.plant(segments.name_of(NUMBER, 9, segments.INDEX), b"of nothing")
    bench.disk.plant(segments.name_of(NUMBER + 1, 0), b"of a stream that is deleted")
    opened = open_all(bench.disk)
    assert opened.set_aside == ["quarantine/streams.7-readme.txt"]
    assert set(bench.disk.contents()) == names | set(opened.set_aside)
    assert open_streams(bench.disk, STORE_ID, None).streams.keys() == {NUMBER}


def test_a_segment_that_is_missing_is_told_and_its_offsets_are_not_given_again() -> (
    None
):
    bench = Bench()
    for _ in range(6):
        bench.append(b"a", bytes(500))
        bench.commit()
    places = bench.log.sealed()
    bench.disk.remove(segments.name_of(NUMBER, places[2].first))
    opened = open_all(bench.disk)
    (damage,) = opened.damage
    assert (damage.start, damage.end) == (places[2].first, places[2].end)
    assert (log_of(opened).first, log_of(opened).end) == (0, 6)


def test_what_a_clean_stop_has_written_is_not_given_again_when_it_is_gone() -> None:
    bench = Bench()
    for _ in range(3):
        bench.append(b"a", bytes(50))
        bench.commit()
    bench.commit(is_last=True)
    name = segments.name_of(NUMBER, 0)
    bench.disk.truncate(name, bench.disk.size(name) - 100)
    opened = open_all(bench.disk)
    assert [(each.start, each.end) for each in opened.damage] == [(2, 3)]
    assert log_of(opened).end == 3


def test_retention_never_takes_the_active_segment() -> None:
    bench = Bench()
    for _ in range(5):
        bench.append(b"a", bytes(500))
        bench.commit()
    bench.now_ms += 10**12
    bench.retain(Retention(max_bytes=0, max_records=0, max_age_ms=0))
    bench.commit()
    assert (bench.log.first, bench.log.end, bench.log.count) == (4, 5, 1)
    assert not bench.log.retain(Retention(max_bytes=0), bench.now_ms)


def test_memory_of_a_compaction_is_bounded() -> None:
    """With more keys than may be remembered it takes more passes."""
    bench = Bench()
    for count in range(60):
        bench.append(b"key %d" % (count % 20), bytes(100))
        bench.commit()
    end = bench.log.sealed()[-1].end
    bench.compact()
    assert not bench.ledger.complaints(bench.opened, bench.log, bench.disk)
    gone = {at for at in range(end) if at + 20 < end}
    assert bench.ledger.gone == gone
    assert bench.log.count == 60 - len(gone)

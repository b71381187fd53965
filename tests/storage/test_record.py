"""Records: what was written is read, and nothing else is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.simulated_disk import SimulatedDisk
from warren_broker.storage.record import (
    HEADER_SIZE,
    KINDS,
    OPS,
    OVERHEAD,
    RecordHeader,
    decode_header,
    decode_lost,
    encode_header,
    encode_lost,
    encode_record,
    seed_of,
)
from warren_broker.storage.segment import SegmentReader

SEED = seed_of(b"a store")
NAME = "journal/00000001.log"

numbers = st.integers(0, 2**64 - 1)
headers = st.builds(
    RecordHeader,
    kind=st.sampled_from(sorted(KINDS)),
    size=st.integers(0, 2**32 - 1),
    lsn=numbers,
    epoch=st.integers(0, 2**32 - 1),
    synced=numbers,
)
EXAMPLE = encode_record(RecordHeader(OPS, 11, 7, 3, 6), b"eleven byte", SEED)


def reader_of(data: bytes, seed: int = SEED) -> SegmentReader:
    disk = SimulatedDisk()
    disk.plant(NAME, data)
    return SegmentReader(disk, NAME, seed)


@given(headers)
def test_header_round_trip(header: RecordHeader) -> None:
    data = encode_header(header, SEED)
    assert len(data) == HEADER_SIZE == 32
    assert decode_header(b"xx" + data, 2, SEED) == header


def test_every_flipped_bit_of_a_header_is_detected() -> None:
    for bit in range(HEADER_SIZE * 8):
        flipped = bytearray(EXAMPLE)
        flipped[bit // 8] ^= 1 << bit % 8
        assert decode_header(bytes(flipped), 0, SEED) is None


def test_every_flipped_bit_of_a_record_is_detected() -> None:
    for bit in range(len(EXAMPLE) * 8):
        flipped = bytearray(EXAMPLE)
        flipped[bit // 8] ^= 1 << bit % 8
        assert reader_of(bytes(flipped)).record_at(0) is None


def test_every_truncation_is_detected() -> None:
    for size in range(len(EXAMPLE)):
        assert decode_header(EXAMPLE[: min(size, 31)], 0, SEED) is None
        assert reader_of(EXAMPLE[:size]).record_at(0) is None


@given(st.binary(max_size=300), numbers, st.integers(0, 2**32 - 1))
def test_record_round_trip(body: bytes, lsn: int, epoch: int) -> None:
    header = RecordHeader(OPS, len(body), lsn, epoch, 0)
    data = encode_record(header, body, SEED)
    assert len(data) == OVERHEAD + len(body) == header.whole_size
    found = reader_of(data + b"behind").record_at(0)
    assert found is not None
    assert (found.header, found.body, found.end) == (header, body, len(data))


@given(numbers, numbers)
def test_a_body_belongs_to_its_number_and_epoch(lsn: int, other: int) -> None:
    header = RecordHeader(OPS, 4, lsn, 1, 0)
    body = encode_record(header, b"body", SEED)[HEADER_SIZE:]
    there = encode_header(header._replace(lsn=other), SEED) + body
    assert (reader_of(there).record_at(0) is not None) == (lsn == other)
    later = encode_header(header._replace(epoch=2), SEED) + body
    assert reader_of(later).record_at(0) is None


def test_a_record_of_another_store_is_not_one() -> None:
    assert reader_of(EXAMPLE, seed_of(b"another")).record_at(0) is None


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_record_is_found_however_it_lies(before: bytes, behind: bytes) -> None:
    found = reader_of(before + EXAMPLE + behind).find(0)
    assert found is not None
    assert (found.offset, found.body) == (len(before), b"eleven byte")


def test_a_record_is_found_across_blocks() -> None:
    for distance in (-40, -3, -1, 0, 1):
        before = bytes((1 << 22) + distance)
        found = reader_of(before + EXAMPLE).find(0)
        assert found is not None
        assert found.offset == len(before)


def test_nothing_is_found_where_nothing_is() -> None:
    assert reader_of(b"\xc9\x5a\x01" * 50).find(0) is None


@given(numbers, numbers)
def test_lost_records(first: int, last: int) -> None:
    found = reader_of(encode_lost(first, last, 4, SEED)).record_at(0)
    assert found is not None
    assert decode_lost(found.body) == (first, last)
    assert found.header.lsn == last
    assert found.first_lsn == first

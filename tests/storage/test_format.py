"""docs/FORMAT.md says what the code does: every offset, every size, every number."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from warren_broker.storage import definitions, ops, record, segment, superblock
from warren_broker.storage.disk import LOCK, QUARANTINE
from warren_broker.storage.reserve import NAME as RESERVE
from warren_broker.storage.stream import chunk, entry, index
from warren_broker.storage.stream import segment as stream_segment
from warren_broker.storage.survey import LEFTOVERS

TEXT = (Path(__file__).parents[2] / "docs/FORMAT.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| (\d+) \| (.+) \|$", re.MULTILINE)

STRUCTS = {
    "Superblock": superblock._FIELDS,
    "Segment": segment._HEADER,
    "Record": record._HEADER,
    "MESSAGE": ops.MESSAGE_HEAD,
    "COPY": ops.COPY_OP,
    "SETTLED": ops.SETTLED_OP,
    "RANGE": ops.RANGE_OP,
    "DEFINE": ops.DEFINE_HEAD,
    "Definitions": definitions._HEADER,
    "Streams": stream_segment._HEADER,
    "Chunk": chunk._HEADER,
    "Trailer": chunk._SAFE,
    "Entry": entry.HEAD,
    "Index": index._ENTRY,
}


def section(title: str) -> str:
    """The text under a heading, up to the next one."""
    _, _, rest = TEXT.partition(f"# {title}\n")
    return re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]


def fields_of(layout: struct.Struct) -> list[tuple[int, int]]:
    """Offset and size of each field, padding too."""
    fields, offset = [], 0
    for count, code in re.findall(r"(\d*)([a-zA-Z])", layout.format):
        size = struct.calcsize(f">{count}{code}")
        repeat = 1 if code in "sx" or not count else int(count)
        for _ in range(repeat):
            fields.append((offset, size // repeat))
            offset += size // repeat
    return fields


@pytest.mark.parametrize("title", STRUCTS)
def test_a_table_is_the_struct(title: str) -> None:
    rows = [(int(a), int(b)) for a, b, _ in ROW.findall(section(title))]
    assert rows == fields_of(STRUCTS[title])


def test_every_table_is_checked() -> None:
    assert len(ROW.findall(TEXT)) == sum(len(fields_of(s)) for s in STRUCTS.values())


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("MESSAGE", ops.MESSAGE),
        ("COPY", ops.COPY),
        ("SETTLED", ops.SETTLED),
        ("RANGE", ops.RANGE),
        ("DEFINE", ops.DEFINE),
    ],
)
def test_kinds_of_operations(title: str, kind: int) -> None:
    assert f"| kind, {kind} |" in section(title)


def test_kinds_of_records() -> None:
    text = f"kind: {record.OPS} OPS, {record.SEAL} SEAL, {record.LOST} LOST"
    assert text in section("Record")


@pytest.mark.parametrize(
    ("title", "module"),
    [("Superblock", superblock), ("Segment", segment), ("Definitions", definitions)],
)
def test_magic_and_version(title: str, module: object) -> None:
    magic, version = module.MAGIC, module.VERSION  # type: ignore[attr-defined]
    shown = magic.decode().replace("\0", "\\0")
    assert f"magic `{shown}`" in section(title)
    assert f"version, {version} |" in section(title)


def test_record_magic() -> None:
    assert f"magic, 0x{record.MAGIC:04X}" in section("Record")
    assert f"version, {record.VERSION} |" in section("Record")


def test_checksums_are_where_the_text_says() -> None:
    assert f"up to offset {superblock._CRC_OFFSET}," in section("Superblock")
    assert superblock.SIZE == superblock._CRC_OFFSET + 4 == 512
    assert f"At offset {segment._HEADER.size} " in section("Segment")
    assert segment.HEADER_SIZE == segment._HEADER.size + 4 == 64
    assert f"At offset {record._HEADER.size} " in section("Record")
    assert record.HEADER_SIZE == record._HEADER.size + 4 == 32


def test_every_file_is_named() -> None:
    names = [LOCK, RESERVE, definitions.NAME, *superblock.SLOTS, segment.name_of(1)]
    for name in [*names, *LEFTOVERS, QUARANTINE]:
        assert name in TEXT


def test_the_numbers_that_the_hot_path_spells_out() -> None:
    """`Collector` and `Replay` have sizes of operations as literals."""
    assert ops.MESSAGE_HEAD.size == 31
    assert ops.COPY_OP.size == 25
    assert ops.SETTLED_OP.size == 13


def test_snapshot_round_trip() -> None:
    snapshot = definitions.Snapshot(7, 2, b"cbor")
    data = definitions.encode(snapshot)
    assert definitions.decode(data) == snapshot
    for size in range(len(data)):
        assert definitions.decode(data[:size]) is None
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert definitions.decode(bytes(flipped)) is None


def test_segment_header_round_trip() -> None:
    header = segment.SegmentHeader(3, 17, 2, bytes(range(16)), 0xDEAD)
    data = segment.encode_header(header)
    assert segment.decode_header(data) == header
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert segment.decode_header(bytes(flipped)) is None


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("journal/00000001.log", 1),
        ("journal/123456789.log", 123456789),
        ("journal/0000001.log", None),
        ("journal/000000001.log", None),
        ("journal/00000001.tmp", None),
        ("00000001.log", None),
    ],
)
def test_names_of_segments(name: str, number: int | None) -> None:
    assert segment.number_of(name) == number

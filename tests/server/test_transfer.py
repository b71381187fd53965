"""Export and import: what one data directory holds, another one has, or none."""

from __future__ import annotations

import io
import stat
from typing import TYPE_CHECKING

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warren_broker.server.book import Book
from warren_broker.server.transfer import (
    export_directory,
    export_to,
    import_directory,
    import_from,
    open_data_directory,
)
from warren_broker.server.transfer_file import (
    Moving,
    TransferError,
    TransferReader,
    TransferWriter,
)
from warren_broker.storage.disk import FileDisk, StoreInUseError
from warren_broker.storage.recovery import Recovered, recover
from warren_broker.storage.segment import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NUMBERS = [7]  # the entry of a book that says which numbers were given
QUEUE = [
    ["queue", "/", "q"],
    {"number": 7, "auto_delete": False, "arguments": b"\0" * 4},
]
MESSAGES = [
    Moving(7, 0, 0, b"\0\1q", b"header", b"first"),
    Moving(7, 5, 1_800_000_000_000, b"\1x\1k", b"", b""),
]


def file_of(messages: Iterable[Moving] = MESSAGES, *, was_clean: bool = True) -> bytes:
    target = io.BytesIO()
    writer = TransferWriter(target, was_clean=was_clean)
    for entry in (NUMBERS, QUEUE):
        writer.add_definition(cbor2.dumps(entry))
    for moving in messages:
        writer.add_message(moving)
    writer.end()
    return target.getvalue()


def exported(path: Path) -> bytes:
    target = io.BytesIO()
    assert export_directory(path, target).damage == ()
    return target.getvalue()


def recovered(path: Path) -> Recovered:
    """What the next start finds."""
    disk = FileDisk(path)
    try:
        return recover(disk, reserve_size=0)
    finally:
        disk.unlock()


u64 = st.integers(0, 2**64 - 1)
movings = st.builds(
    Moving,
    st.integers(1, 2**32 - 1),
    u64,
    u64,
    st.binary(max_size=20),
    st.binary(max_size=20),
    st.binary(max_size=100),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(movings, max_size=10, unique_by=lambda each: each[:2]), st.booleans())
def test_there_and_back(
    tmp_path_factory: pytest.TempPathFactory, messages: list[Moving], was_clean: bool
) -> None:
    path = tmp_path_factory.mktemp("x") / "data"
    data = file_of(sorted(messages), was_clean=was_clean)
    done = import_directory(io.BytesIO(data), path)
    assert (done.definitions, done.messages) == (2, len(messages))
    assert exported(path) == data
    assert exported(path) == data, "an export changes nothing"


def test_a_start_finds_what_was_imported(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data"
    import_directory(io.BytesIO(file_of()), path)
    found = recovered(path)
    assert found.was_clean
    assert found.damage == ()
    assert [each[:5] for each in found.messages[7]] == [each[1:] for each in MESSAGES]
    book = Book()
    book.read(found.snapshot, found.definitions)
    assert book.entries() == [NUMBERS, QUEUE]
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["data"]


def test_after_a_kill_nothing_is_new(tmp_path: Path) -> None:
    path = tmp_path / "data"
    import_directory(io.BytesIO(file_of(was_clean=False)), path)
    found = recovered(path)
    assert not found.was_clean
    assert len(found.messages[7]) == 2


def test_more_than_one_batch(tmp_path: Path) -> None:
    path = tmp_path / "data"
    messages = [Moving(7, at, 0, b"\0\1q", b"", bytes(3 << 20)) for at in range(8)]
    import_directory(io.BytesIO(file_of(messages)), path)
    assert [len(each.body) for each in recovered(path).messages[7]] == [3 << 20] * 8


# Refused


def is_refused(data: bytes, path: Path) -> str:
    with pytest.raises(TransferError) as caught:
        import_directory(io.BytesIO(data), path)
    assert list(path.parent.iterdir()) == [], "nothing is left of it"
    return str(caught.value)


def read(data: bytes) -> None:
    for _ in TransferReader(io.BytesIO(data)).items():
        pass


def test_a_file_that_is_cut_anywhere(tmp_path: Path) -> None:
    data = file_of()
    read(data)
    for size in range(len(data)):
        with pytest.raises(TransferError):
            read(data[:size])
    is_refused(data[:-1], tmp_path / "data")


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x41, 0x80, 0xFF])
def test_a_file_with_a_wrong_byte_anywhere(flip: int, tmp_path: Path) -> None:
    data = file_of()
    for at in range(len(data)):
        wrong = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
        with pytest.raises(TransferError):
            read(wrong)
    is_refused(data.replace(b"first", b"worst"), tmp_path / "data")


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (["hello"], "this is no file of warren export"),
        ([["warren export", 3, True]], "version 3 of the file is not known"),
        ([["warren export", 1, True], ["x"]], "the file is damaged"),
        ([["warren export", 1, True], [1, 0, 0, 0, b"", b"", b""]], "damaged"),
        ([["warren export", 1, True], [1, 2**32, 0, 0, b"", b"", b""]], "damaged"),
        ([["warren export", 1, True], [1, 1, -1, 0, b"", b"", b""]], "damaged"),
        ([["warren export", 1, True], [1, 1, 0, 2**64, b"", b"", b""]], "damaged"),
        ([["warren export", 1, True], [1, 1, 0, 0, b"." * 513, b"", b""]], "damaged"),
        ([["warren export", 1, True], [2, 0, 1, 0]], "damaged"),
        ([["warren export", 1, True]], "the end of the file is missing"),
    ],
)
def test_a_file_of_something_else(
    items: list[object], text: str, tmp_path: Path
) -> None:
    data = b"".join(map(cbor2.dumps, items))
    assert text in is_refused(data, tmp_path / "data")


def test_nesting_without_end_is_damage() -> None:
    with pytest.raises(TransferError):
        TransferReader(io.BytesIO(b"\x81" * 100_000))


@pytest.mark.parametrize("is_file", [False, True])
def test_a_directory_that_has_something(is_file: bool, tmp_path: Path) -> None:
    path = tmp_path / "data"
    if is_file:
        path.write_bytes(b"mine")
    else:
        path.mkdir()
        (path / "mine").touch()
    with pytest.raises(TransferError, match="not an empty directory"):
        import_directory(io.BytesIO(file_of()), path)
    assert [each.name for each in tmp_path.iterdir()] == ["data"]


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.mkdir()
    import_directory(io.BytesIO(file_of()), path)
    assert exported(path) == file_of()


def test_what_is_no_data_directory_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(TransferError, match="is no data directory"):
            open_data_directory(path)
    assert [each.name for each in tmp_path.iterdir()] == ["journal"]


def test_not_while_somebody_uses_it(tmp_path: Path) -> None:
    path = tmp_path / "data"
    import_directory(io.BytesIO(file_of()), path)
    disk = FileDisk(path)
    disk.lock()
    with pytest.raises(StoreInUseError):
        export_directory(path, io.BytesIO())
    disk.unlock()
    assert exported(path) == file_of()


# Files


def test_a_file_is_new_and_for_its_owner(tmp_path: Path) -> None:
    path, file, again = tmp_path / "data", tmp_path / "file", tmp_path / "again"
    file.write_bytes(file_of())
    import_from(file, path)
    export_to(again, path)
    assert again.read_bytes() == file_of()
    assert stat.S_IMODE(again.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        export_to(again, path)
    assert again.read_bytes() == file_of()


def test_an_export_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TransferError):
        export_to(tmp_path / "file", tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_what_is_damaged_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "data"
    import_directory(io.BytesIO(file_of()), path)
    segment = path / name_of(1)
    data = bytearray(segment.read_bytes())
    data[data.index(b"first")] ^= 1
    segment.write_bytes(data)
    done = export_directory(path, io.BytesIO())
    assert done.damage != ()
    assert done.messages == 0

"""Streams that are exported, imported and repaired."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import cbor2
import pytest

from tests.server.test_streams import Bench
from tests.simulated_disk import SimulatedDisk
from warren_broker.server.transfer import export_directory, import_directory
from warren_broker.server.transfer_file import TransferError
from warren_broker.storage.disk import FileDisk
from warren_broker.storage.repair import repair
from warren_broker.storage.stream.segment import SEGMENT

if TYPE_CHECKING:
    from pathlib import Path

    from warren_broker.core.message import Message

NAME = "streams/1-00000000000000000000.segment"
VALUE = {"number": 1, "auto_delete": False, "arguments": {}}


def directory(path: Path, bench: Bench) -> Path:
    """Write what is on a simulated disk to a real one."""
    path.mkdir()
    for name, data in bench.disk.contents().items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(data)
    return path


def reopened(path: Path) -> Bench:
    disk = SimulatedDisk()
    for name in FileDisk(path).names():
        disk.plant(name, (path / name).read_bytes())
    return Bench(disk)


def filled() -> Bench:
    bench = Bench()
    bench.store.define(("queue", "/", "s"), VALUE)
    for count in range(9):
        bench.append(bytes([count]) * 1500, key=f"k{count % 4}")
        bench.commit()
    return bench


def bodies(found: dict[int, Message]) -> dict[int, bytes]:
    return {at: message.body for at, message in found.items()}


def test_what_is_imported_is_what_was_exported(tmp_path: Path) -> None:
    bench = filled()
    bench.log.compact(0)
    bench.worker.run_all()
    bench.commit()
    expected = bodies(bench.read())
    assert len(expected) < 9
    path = directory(tmp_path / "old", bench)
    before = {name: (path / name).read_bytes() for name in FileDisk(path).names()}
    target = io.BytesIO()
    assert export_directory(path, target).messages == len(expected)
    after = {name: (path / name).read_bytes() for name in FileDisk(path).names()}
    assert {**after, "lock": b""} == {**before, "lock": b""}
    target.seek(0)
    import_directory(target, tmp_path / "new")
    again = reopened(tmp_path / "new")
    assert bodies(again.read()) == expected
    assert (again.log.first, again.log.end) == (0, 9)


@pytest.mark.parametrize(
    "item",
    [
        [3, 1, 0, 2, 0, 0, 1, b"", b""],
        [3, 1, 0, 1, 0, 0, 1, b"short", b""],
        [3, 1, 0, 1, 0, 0, 1, b"\0\0\0\x08\7\0\0\0\0\0\0\0", b""],
        [3, 1, 0, 0, 2, 0, 0, b"\x81\1", b""],
        [3, 1, 0, 0, 2, 0, 0, b"\xff", b""],
        [3, 1, 0, 0, 9, 0, 0, b"", b""],
        [3, 0, 0, 0, 0, 0, 0, b"", b""],
    ],
)
def test_records_that_cannot_be_are_not_imported(
    tmp_path: Path, item: list[object]
) -> None:
    source = io.BytesIO(b"".join(map(cbor2.dumps, [["warren export", 2, True], item])))
    with pytest.raises(TransferError, match="the file is damaged"):
        import_directory(source, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_repair_keeps_what_can_be_read_and_tells_what_cannot(tmp_path: Path) -> None:
    bench = filled()
    at = bench.disk.size(NAME) // 2 + 100
    bench.disk.damage(NAME, at, b"\xff\xff\xff")
    path = directory(tmp_path / "data", bench)
    target = io.BytesIO()
    damage = export_directory(path, target).damage
    assert [each.records_lost for each in damage] == [1]
    report = repair(FileDisk(path))
    assert (report.stream_records_kept, report.stream_records_lost) == (8, 1)
    assert [each.name for each in report.repaired] == [NAME]
    assert report.set_aside
    assert all(name.endswith(SEGMENT) for name in report.set_aside)
    again = reopened(path)
    found = again.read()
    assert len(found) == 8
    assert (again.log.first, again.log.end, again.log.count) == (0, 9, 8)
    assert repair(FileDisk(path)).stream_records_lost == 0

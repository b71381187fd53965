"""The real disk, and the simulated one beside it."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated_disk import SimulatedDisk
from tests.storage.support import SMALL, contents_of
from warren_broker.storage.disk import FileDisk, StoreInUseError, is_full
from warren_broker.storage.journal import Journal
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.recovery import recover

if TYPE_CHECKING:
    from pathlib import Path

A, B = "journal/00000001.log", "superblock.a"
small = st.binary(max_size=30)
names = st.sampled_from((A, B))
calls = st.lists(
    st.tuples(st.just("append"), names, st.lists(small, max_size=3))
    | st.tuples(st.just("write"), names, st.just(0), st.lists(small, max_size=3))
    | st.tuples(st.just("truncate"), names, st.integers(0, 40))
    | st.tuples(st.just("rename"), names, names)
    | st.tuples(st.sampled_from(("remove", "sync", "size")), names)
    | st.tuples(st.just("read"), names, st.integers(0, 40), st.integers(0, 40)),
    max_size=12,
)


@pytest.fixture
def disk(tmp_path: Path) -> FileDisk:
    return FileDisk(tmp_path / "data")


def answer(disk: FileDisk | SimulatedDisk, call: tuple[object, ...]) -> object:
    """What a call returns, or that there is no such file."""
    method, name, *rest = call
    needs_file = method not in ("append", "write", "remove")
    if needs_file and name not in disk.names():
        return "no such file"
    return getattr(disk, str(method))(name, *rest)


@given(calls=calls)
def test_both_disks_do_the_same(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[object, ...]]
) -> None:
    real, simulated = FileDisk(tmp_path_factory.mktemp("disk")), SimulatedDisk()
    real.lock()
    for call in calls:
        assert answer(real, call) == answer(simulated, call)
    found = real.names()
    assert found == simulated.names()
    for name in set(found) & {A, B}:
        assert real.read(name, 0, 10_000) == simulated.contents()[name]
    real.unlock()


def test_modes(disk: FileDisk, tmp_path: Path) -> None:
    disk.append(A, [b"x"])
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data/journal").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / A).stat().st_mode) == 0o600
    disk.unlock()


def test_more_chunks_than_one_call_takes(disk: FileDisk) -> None:
    chunks = [b"%d," % number for number in range(5000)]
    disk.append(A, chunks)
    assert disk.read(A, 0, 1 << 20) == b"".join(chunks)
    disk.unlock()


def test_many_files(disk: FileDisk) -> None:
    for number in range(20):
        disk.append(f"journal/{number:08}.log", [b"x"])
        disk.sync(f"journal/{number:08}.log")
    disk.sync_directory("journal")
    assert len(disk.names()) == 20
    assert len(os.listdir("/proc/self/fd")) < 200
    disk.unlock()


def test_a_link_is_not_followed(disk: FileDisk, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"precious")
    (tmp_path / "data" / A).symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic") as caught:
        disk.append(A, [b"x"])
    assert caught.value.errno == errno.ELOOP
    assert (tmp_path / "other").read_bytes() == b"precious"


CHILD = """
import sys
from pathlib import Path
from warren_broker.storage.disk import FileDisk, StoreInUseError
from warren_broker.storage.recovery import recover
try:
    recover(FileDisk(Path(sys.argv[1])), reserve_size=0)
except StoreInUseError as error:
    sys.exit(str(error))
"""


def test_what_is_wanted_need_not_be_there(disk: FileDisk) -> None:
    disk.append(A, [bytes(100)])
    disk.want(A, 0, 1000)
    disk.want(B, 0, 1000)


def test_without_descriptors_can_still_be_read(tmp_path: Path) -> None:
    """Clients may have taken all others: what is asked for is not damaged for that."""
    script = (
        "import os, resource, sys\n"
        "from pathlib import Path\n"
        "from warren_broker.storage.disk import FileDisk\n"
        "disk = FileDisk(Path(sys.argv[1]))\n"
        "disk.lock()\n"
        "disk.append('journal/a', [b'what was written'])\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))\n"
        "taken = []\n"
        "def take():\n"
        "    try:\n"
        "        while True:\n"
        "            taken.append(os.open(os.devnull, os.O_RDONLY))\n"
        "    except OSError:\n"
        "        pass\n"
        "take()\n"
        "for _ in range(3):\n"
        "    assert disk.read('journal/a', 5, 3) == b'was'\n"
        "    disk.want('journal/a', 0, 5)\n"
        "assert len(taken) > 10\n"
        "disk.unlock()\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True)


def test_a_second_process_is_refused(disk: FileDisk, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path / "data")]
    journal = Journal(recover(disk, reserve_size=0).start, SMALL)
    journal.add_message(1, 1, 0, b"r", b"h", b"b")
    batch = journal.take_batch()
    assert batch is not None
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "is in use by another process" in second.stderr
    batch.run(disk)
    disk.unlock()
    third = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (third.returncode, third.stderr) == (0, "")
    assert contents_of(recover(disk, reserve_size=0)) == {(1, 1): (0, b"r", b"h", b"b")}
    disk.unlock()


def test_in_one_process_too(disk: FileDisk, tmp_path: Path) -> None:
    disk.lock()
    with pytest.raises(StoreInUseError):
        FileDisk(tmp_path / "data").lock()
    disk.unlock()


LIMITED = """
import resource, signal, sys
from pathlib import Path
from warren_broker.storage.disk import FileDisk
from warren_broker.storage.journal import Journal
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.settings import JournalSettings
from warren_broker.storage.recovery import recover

disk = FileDisk(Path(sys.argv[1]))
options = JournalSettings(segment_size=1 << 20, reserve_size=0, runway_size=0)
journal = Journal(recover(disk, reserve_size=0).start, options)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

def commit(sequence, body, limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    journal.add_message(1, sequence, 0, b"r", b"h", body)
    batch = journal.take_batch()
    try:
        batch.run(disk)
    except OSError as error:
        return journal.on_written(batch, error).outcome
    return journal.on_written(batch, None).outcome

assert commit(1, bytes(100), 8000) is Outcome.WRITTEN
before = disk.size("journal/00000001.log")
assert commit(2, bytes(9000), 8000) is Outcome.FULL
assert disk.size("journal/00000001.log") == before
assert commit(3, bytes(100), 8000) is Outcome.WRITTEN
"""


def test_a_write_that_is_cut_short_by_the_system(tmp_path: Path) -> None:
    """A limit on the size of files: some bytes are written, then EFBIG."""
    path = tmp_path / "data"
    code = [sys.executable, "-c", LIMITED, str(path)]
    ended = subprocess.run(code, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    disk = FileDisk(path)
    found = contents_of(recover(disk, reserve_size=0))
    assert sorted(found) == [(1, 1), (1, 3)]
    disk.unlock()


def test_which_errors_say_full() -> None:
    assert is_full(OSError(errno.ENOSPC, "full"))
    assert not is_full(OSError(errno.EIO, "broken"))


def test_many_starts_on_a_real_disk(tmp_path: Path) -> None:
    """Each adds, settles, and stops in one of three ways."""
    live: dict[int, int] = {}
    for start in range(12):
        disk = FileDisk(tmp_path / "data")
        recovered = recover(disk, reserve_size=1000)
        assert recovered.damage == ()
        found = recovered.messages.get(1, [])
        assert [each.sequence for each in found] == sorted(live)
        live = {each.sequence: each.position for each in found}
        journal = Journal(recovered.start, SMALL)
        for sequence in range(start * 10, start * 10 + 10):
            live[sequence] = journal.add_message(1, sequence, 0, b"r", b"h", b"b" * 50)
            if sequence % 3:
                journal.add_settled(1, sequence, live.pop(sequence))
            batch = journal.take_batch()
            assert batch is not None
            batch.run(disk)
            assert journal.on_written(batch, None).outcome is Outcome.WRITTEN
        if start % 3 == 0:
            last = journal.take_last_batch()
            assert last is not None
            last.run(disk)
        disk.unlock()

"""SpillFile: packed messages for which there is no room in memory.

They are in files without names: when the process ends, however it does, they are gone.
Writing is done by a thread. Reading is not: what is wanted soon is announced to the
system, which has it ready by then, and a broker that waits for it has nothing to give.
"""

from __future__ import annotations

import os
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final, NamedTuple, final

import trio

from warren_broker.core.parking import Spill

if TYPE_CHECKING:
    from pathlib import Path

    from warren_broker.core.queue.packing import Run

FILE_BYTES: Final = 64 << 20
"""When a file is so large the next one is begun; one that is no longer used goes."""


class _Place(NamedTuple):
    file: int
    offset: int
    size: int


class _Job(NamedTuple):
    run: Run
    place: _Place
    data: bytes


@final
class SpillFile(Spill):
    """Files in one directory. Make it inside `trio.run`; `close` it.

    Attributes:
        pending_count: how much is not written yet.
    """

    __slots__ = (
        "_counts",
        "_directory",
        "_end",
        "_file",
        "_jobs",
        "_last",
        "_places",
        "_token",
        "pending_count",
    )

    def __init__(self, directory: Path) -> None:
        """Raises OSError if no file can be made there."""
        self._directory = directory
        self._places: dict[int, _Place] = {}
        self._counts: dict[int, int] = {}  # places in use, by file
        self.pending_count = 0
        self._last = 0
        self._end = 0
        self._file = self._new_file()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._token = trio.lowlevel.current_trio_token()
        Thread(target=self._write_all, name="spill", daemon=True).start()

    def write(self, run: Run, data: bytes) -> int:
        """Put `data` at the end; the thread writes it."""
        if self._end >= FILE_BYTES:
            self._begin_file()
        place = _Place(self._file, self._end, len(data))
        self._end += len(data)
        self._last += 1
        self._places[self._last] = place
        self._counts[self._file] += 2  # the place, and who writes it
        self.pending_count += 1
        self._jobs.put(_Job(run, place, data))
        return self._last

    def read(self, place: int) -> bytes:
        """Return what was written. Raises OSError."""
        file, offset, size = self._places[place]
        pieces = []
        while size:
            piece = os.pread(file, size, offset)
            if not piece:
                raise OSError(f"spilled messages are short of {size} bytes")
            pieces.append(piece)
            offset += len(piece)
            size -= len(piece)
        return b"".join(pieces)

    def want(self, place: int) -> None:
        """Let the system read it ahead."""
        os.posix_fadvise(*self._places[place], os.POSIX_FADV_WILLNEED)

    def free(self, place: int) -> None:
        """Forget it, and its file with the last one."""
        self._release(self._places.pop(place).file)

    def close(self) -> None:
        """Let the thread end. The files go with the last queue that uses them."""
        self._jobs.put(None)

    def _begin_file(self) -> None:
        """Leave the file that is full; where no other can be had, it grows on."""
        try:
            fresh = self._new_file()
        except OSError:
            return
        full, self._file, self._end = self._file, fresh, 0
        self._release(full)  # it counted for itself

    def _new_file(self) -> int:
        file = os.open(self._directory, os.O_TMPFILE | os.O_RDWR, 0o600)
        self._counts[file] = 1
        return file

    def _release(self, file: int) -> None:
        self._counts[file] -= 1
        if not self._counts[file]:
            del self._counts[file]
            os.close(file)

    def _on_done(self, job: _Job, *, is_written: bool) -> None:
        """A job is done. Without room on the disk its bytes stay in memory."""
        self.pending_count -= 1
        if is_written:
            job.run.on_written()
        self._release(job.place.file)

    def _write_all(self) -> None:
        """Do the jobs. Runs in the thread, and touches nothing but their files."""
        while (job := self._jobs.get()) is not None:
            done = partial(self._on_done, job, is_written=_write(job.place, job.data))
            try:
                self._token.run_sync_soon(done)
            except trio.RunFinishedError:
                return


def _write(place: _Place, data: bytes) -> bool:
    """Return whether all of it could be written."""
    rest, offset = memoryview(data), place.offset
    try:
        while rest:
            written = os.pwrite(place.file, rest, offset)
            rest, offset = rest[written:], offset + written
    except OSError:
        return False
    return True

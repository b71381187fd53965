"""The disk: the only door to the file system.

Blocking, bytes only. Names are given by this package and never by a client; they
are relative to the data directory and have at most one folder in front.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol, final

from warren.errors import WarrenError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOURNAL: Final = "journal"
STREAMS: Final = "streams"
QUARANTINE: Final = "quarantine"
FOLDERS: Final = (JOURNAL, STREAMS, QUARANTINE)
LOCK: Final = "lock"

# What a write says when there is no room; everything else is a broken disk.
FULL_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

# Nobody has a descriptor left to open a file with; that does not say anything of it.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE})

_CHUNKS_MAX: Final = 1024  # IOV_MAX of Linux
_OPEN_MAX: Final = 64


class StoreInUseError(WarrenError):
    """Another process has the data directory."""


class OpenFile(Protocol):
    """A file that can be read, whatever becomes of its name. May raise `OSError`."""

    def read(self, offset: int, size: int) -> bytes:
        """Read `size` bytes, fewer at the end of the file."""

    def size(self) -> int:
        """Size of the file in bytes."""

    def close(self) -> None:
        """Let go of it."""


class Disk(Protocol):
    """What storage asks of a file system. Every call may raise `OSError`."""

    def append(self, name: str, chunks: list[bytes]) -> None:
        """Write all of `chunks` at the end of a file, which is made if there is none.

        After an error any part of them may be there.
        """

    def write(self, name: str, offset: int, chunks: list[bytes]) -> None:
        """Write all of `chunks` at `offset`, over what is there and beyond the end.

        A file is made if there is none; there is no hole before `offset`. After an
        error any part of them may be there.
        """

    def sync(self, name: str) -> None:
        """Return when everything written to a file would survive a power cut."""

    def let_go(self, name: str) -> None:
        """Nobody depends on what was written to a file and is not synced.

        Until it is synced a file is kept open otherwise, and so takes a descriptor.
        """

    def sync_directory(self, folder: str) -> None:
        """Return when the names in a folder ("" is the top) would survive one."""

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Read `size` bytes, fewer at the end of the file. Any thread may call this."""

    def want(self, name: str, offset: int, size: int) -> None:
        """This will be read soon; it is no error if it cannot."""

    def open(self, name: str) -> OpenFile:
        """Open a file to read it again and again; `close` it."""

    def size(self, name: str) -> int:
        """Size of a file in bytes."""

    def truncate(self, name: str, size: int) -> None:
        """Cut a file to `size` bytes."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name; a file that has this name already is gone."""

    def remove(self, name: str) -> None:
        """Remove a file. One that is not there is no error."""

    def names(self) -> list[str]:
        """All files of the data directory, `folder/name` for those in folders."""

    def free_bytes(self) -> int:
        """Bytes that can still be written."""

    def lock(self) -> None:
        """Keep other processes out until `unlock`. Raises `StoreInUseError`."""

    def unlock(self) -> None:
        """Let others in, and close what is open."""


class _ReadFile:
    """A descriptor that reads anywhere."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, offset: int, size: int) -> bytes:
        return _read_whole(self._descriptor, offset, size)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        os.close(self._descriptor)


class _WriteFile:
    """A descriptor that writes anywhere."""

    __slots__ = ("descriptor", "is_clean", "is_new")

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        self.is_new = False
        try:
            self.descriptor = os.open(path, flags)
        except FileNotFoundError:
            self.descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            self.is_new = True
        self.is_clean = True  # nothing was written since the last sync

    def sync(self) -> None:
        # A new file has more to be remembered than its data and size.
        (os.fsync if self.is_new else os.fdatasync)(self.descriptor)
        self.is_new, self.is_clean = False, True


@final
class FileDisk:
    """The files in one directory (0700) of the real file system, each 0600.

    A file is written and synced through one descriptor, that stays open: a failed
    write-back is reported to those that had the file open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[str, _WriteFile] = {}
        self._lock: int | None = None
        self._spares: list[int] = []  # one to read with when there is no other
        for folder in (path, *(path / name for name in FOLDERS)):
            folder.mkdir(mode=0o700, parents=folder is path, exist_ok=True)

    def append(self, name: str, chunks: list[bytes]) -> None:
        file = self._file(name)
        _write_whole(file, name, os.fstat(file.descriptor).st_size, chunks)

    def write(self, name: str, offset: int, chunks: list[bytes]) -> None:
        _write_whole(self._file(name), name, offset, chunks)

    def sync(self, name: str) -> None:
        self._file(name).sync()

    def let_go(self, name: str) -> None:
        self._close(name)

    def sync_directory(self, folder: str) -> None:
        descriptor = os.open(self._path / folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, name: str, offset: int, size: int) -> bytes:
        with self._reading(name) as descriptor:
            return _read_whole(descriptor, offset, size)

    def want(self, name: str, offset: int, size: int) -> None:
        with suppress(OSError), self._reading(name) as descriptor:
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_WILLNEED)

    def open(self, name: str) -> OpenFile:
        return _ReadFile(self._open_to_read(name))

    def size(self, name: str) -> int:
        return (self._path / name).stat().st_size

    def truncate(self, name: str, size: int) -> None:
        file = self._file(name)
        file.is_clean = False
        os.ftruncate(file.descriptor, size)

    def rename(self, old: str, new: str) -> None:
        self._close(old)
        self._close(new)
        (self._path / old).rename(self._path / new)

    def remove(self, name: str) -> None:
        self._close(name)
        (self._path / name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        found = []
        for folder in ("", *FOLDERS):
            for entry in os.scandir(self._path / folder):
                name = f"{folder}/{entry.name}" if folder else entry.name
                if name not in FOLDERS:
                    found.append(name)
        return sorted(found)

    def free_bytes(self) -> int:
        facts = os.statvfs(self._path)
        return facts.f_bavail * facts.f_frsize

    def lock(self) -> None:
        descriptor = os.open(self._path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            text = f"{self._path} is in use by another process"
            raise StoreInUseError(text) from error
        self._lock = descriptor
        self._keep_spare()

    def unlock(self) -> None:
        for name in list(self._open):
            self._close(name)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        while self._give_up_spare():
            pass

    @contextmanager
    def _reading(self, name: str) -> Iterator[int]:
        try:
            descriptor = self._open_to_read(name)
        except OSError as error:
            if error.errno not in _EXHAUSTED or not self._give_up_spare():
                raise
            descriptor = self._open_to_read(name)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
            if self._lock is not None:
                self._keep_spare()

    def _open_to_read(self, name: str) -> int:
        return os.open(self._path / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def _keep_spare(self) -> None:
        if not self._spares:
            with suppress(OSError):
                self._spares.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def _give_up_spare(self) -> bool:
        """Whether there was one. Two threads may want it at the same moment."""
        try:
            os.close(self._spares.pop())
        except IndexError:
            return False
        return True

    def _file(self, name: str) -> _WriteFile:
        file = self._open.get(name)
        if file is None:
            for other in [n for n, each in self._open.items() if each.is_clean]:
                if len(self._open) >= _OPEN_MAX:
                    self._close(other)
            file = self._open[name] = _WriteFile(self._path / name)
        return file

    def _close(self, name: str) -> None:
        file = self._open.pop(name, None)
        if file is not None:
            os.close(file.descriptor)


def _write_whole(file: _WriteFile, name: str, offset: int, chunks: list[bytes]) -> None:
    """Write all of `chunks` at `offset`."""
    file.is_clean = False
    waiting = [memoryview(chunk) for chunk in reversed(chunks) if chunk]
    while waiting:
        some = waiting[: -_CHUNKS_MAX - 1 : -1]
        written = os.pwritev(file.descriptor, some, offset)
        offset += written
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        while written:
            chunk = waiting.pop()
            if len(chunk) > written:
                waiting.append(chunk[written:])
            written -= min(len(chunk), written)


def _read_whole(descriptor: int, offset: int, size: int) -> bytes:
    """Read until `size` bytes are there or the file ends."""
    data = os.pread(descriptor, size, offset)
    if len(data) == size or not data:
        return data
    parts = [data]
    while size > (done := sum(map(len, parts))):
        data = os.pread(descriptor, size - done, offset + done)
        if not data:
            break
        parts.append(data)
    return b"".join(parts)


def is_full(error: OSError) -> bool:
    """Whether there is no room, so that waiting helps."""
    return error.errno in FULL_ERRORS


def read_carefully(disk: Disk, name: str, offset: int, size: int) -> bytes:
    """Read; once more if the first try fails. Raises `OSError`."""
    try:
        return disk.read(name, offset, size)
    except OSError:
        return disk.read(name, offset, size)


def size_if_there(disk: Disk, name: str) -> int:
    """Size of a file in bytes, 0 if there is none. Raises `OSError`."""
    try:
        return disk.size(name)
    except FileNotFoundError:
        return 0

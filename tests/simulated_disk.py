"""A disk in memory that can lose what was not synced, fail and fill up.

What is written is *pending* until its file is synced; what happens to names until
their folder is synced. `crashed(keep)` is the disk after a power cut that kept only
some of what was pending. Names in one folder and bytes in one file are otherwise
independent of each other, as bad as any real file system may be.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from warren_broker.storage.disk import LOCK, StoreInUseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from warren_broker.storage.disk import OpenFile

SECTOR = 512


@dataclass(frozen=True)
class Pending:
    """Something that was done and may not survive.

    A write (`data` at `offset` of file `inode`), a cut (`size` of `inode`), or a name
    that was given to `inode` or taken away (`inode` 0).
    """

    kind: str  # "write", "cut", "name", "unname"
    inode: int
    name: str = ""
    offset: int = 0
    data: bytes = b""
    size: int = 0

    @property
    def folder(self) -> str:
        return self.name.rpartition("/")[0]


@dataclass
class Image:
    """What is on the platter: names, and what the files hold."""

    names: dict[str, int] = field(default_factory=dict)
    files: dict[int, bytearray] = field(default_factory=dict)

    def copy(self) -> Image:
        files = {inode: bytearray(data) for inode, data in self.files.items()}
        return Image(dict(self.names), files)

    def apply(self, change: Pending) -> None:
        file = self.files.setdefault(change.inode, bytearray())
        if change.kind == "write":
            missing = change.offset - len(file)
            file += bytes(max(0, missing))
            file[change.offset : change.offset + len(change.data)] = change.data
        elif change.kind == "cut":
            del file[change.size :]
            file += bytes(change.size - len(file))
        elif change.kind == "name":
            self.names = {
                name: inode
                for name, inode in self.names.items()
                if inode != change.inode
            }
            self.names[change.name] = change.inode
        else:
            self.names.pop(change.name, None)

    def contents(self) -> dict[str, bytes]:
        return {
            name: bytes(self.files.get(inode, b""))
            for name, inode in sorted(self.names.items())
        }


class SimulatedDisk:
    """All of `Disk`, and the ways in which a disk fails.

    `calls` is the trace: one line for each change. `on_call` may raise, and sees the
    name of the method and of the file before anything is done; `on_read` is given what
    was read and may spoil it. `reading` is how many files are open to be read.
    """

    def __init__(self, image: Image | None = None) -> None:
        self.durable = image or Image()
        self.current = self.durable.copy()
        self.pending: list[Pending] = []
        self.calls: list[tuple[str, str]] = []
        self.on_call: Callable[[str, str], None] = lambda method, name: None
        self.on_change: Callable[[], None] = lambda: None
        self.on_want: Callable[[int, int], None] = lambda offset, size: None
        self.on_read: Callable[[bytes], bytes] = lambda data: data
        self.capacity: int | None = None
        self.locked = False
        self.reading = 0
        self._inodes = max(self.durable.files, default=0)

    # --- the disk

    def append(self, name: str, chunks: list[bytes]) -> None:
        self._call("append", name)
        inode = self._file(name)
        self._write(name, inode, len(self.current.files[inode]), b"".join(chunks))

    def write(self, name: str, offset: int, chunks: list[bytes]) -> None:
        self._call("write", name)
        self._write(name, self._file(name), offset, b"".join(chunks))

    def _write(self, name: str, inode: int, offset: int, data: bytes) -> None:
        size = len(self.current.files[inode])
        assert offset <= size, f"a hole in {name}"
        room = len(data) if self.capacity is None else self.free_bytes() + size - offset
        some = data[: max(0, room)]
        if some:
            self._change(Pending("write", inode, offset=offset, data=some))
        if len(some) < len(data):
            raise no_room(name)
        self.on_change()

    def sync(self, name: str) -> None:
        self._call("sync", name)
        inode = self.current.names[name]
        self._settle(lambda each: not each.name and each.inode == inode)
        self.on_change()

    def let_go(self, name: str) -> None:
        """What is not synced is lost with the power alone."""

    def sync_directory(self, folder: str) -> None:
        self._call("sync_directory", folder)
        self._settle(lambda each: bool(each.name) and each.folder == folder)
        self.on_change()

    def read(self, name: str, offset: int, size: int) -> bytes:
        self.on_call("read", name)
        data = self.current.files[self._known(name)][offset : offset + size]
        return self.on_read(bytes(data))

    def want(self, name: str, offset: int, size: int) -> None:
        self.on_want(offset, size)

    def open(self, name: str) -> OpenFile:
        self.on_call("open", name)
        return SimulatedFile(self, name, self._known(name))

    def size(self, name: str) -> int:
        return len(self.current.files[self._known(name)])

    def truncate(self, name: str, size: int) -> None:
        self._call("truncate", name)
        self._change(Pending("cut", self._known(name), size=size))
        self.on_change()

    def rename(self, old: str, new: str) -> None:
        self._call("rename", f"{old} {new}")
        self._change(Pending("name", self._known(old), new))
        self.on_change()

    def remove(self, name: str) -> None:
        self._call("remove", name)
        if name in self.current.names:
            self._change(Pending("unname", 0, name))
        self.on_change()

    def names(self) -> list[str]:
        return sorted({*self.current.names, LOCK})

    def free_bytes(self) -> int:
        if self.capacity is None:
            return 1 << 40
        return self.capacity - self.used

    def lock(self) -> None:
        if self.locked:
            raise StoreInUseError("the simulated disk is in use")
        self.locked = True

    def unlock(self) -> None:
        self.locked = False

    # --- what tests ask

    def contents(self) -> dict[str, bytes]:
        """Every file as it is seen now."""
        return self.current.contents()

    @property
    def used(self) -> int:
        """Bytes of every file as it is seen now."""
        names, files = self.current.names, self.current.files
        return sum(len(files.get(inode, b"")) for inode in names.values())

    def crashed(
        self, keep: Callable[[list[Pending]], Iterable[Pending]] = lambda pending: ()
    ) -> SimulatedDisk:
        """The disk after a power cut. By default nothing that was pending is kept."""
        image = self.durable.copy()
        for change in keep(self.pending):
            image.apply(change)
        return SimulatedDisk(image)

    def killed(self) -> SimulatedDisk:
        """The disk as another process finds it after this one was killed.

        Everything that was done can be read, and what was pending is pending.
        """
        disk = SimulatedDisk(self.durable.copy())
        disk.current = self.current.copy()
        disk.pending = list(self.pending)
        disk.capacity = self.capacity
        disk._inodes = self._inodes
        return disk

    def lose_pending(self, name: str) -> None:
        """What was written to a file never reaches the disk, though it can be read."""
        inode = self.current.names[name]
        self.pending = [
            each for each in self.pending if each.name or each.inode != inode
        ]

    def damage(self, name: str, offset: int, data: bytes) -> None:
        """Bytes of a file decay."""
        for image in (self.durable, self.current):
            change = Pending("write", image.names[name], offset=offset, data=data)
            image.apply(change)

    def plant(self, name: str, data: bytes) -> None:
        """A file was there all the time."""
        self._inodes += 1
        for image in (self.durable, self.current):
            image.apply(Pending("write", self._inodes, data=data))
            image.apply(Pending("name", self._inodes, name))

    # --- inside

    def _call(self, method: str, name: str) -> None:
        self.on_call(method, name)
        self.calls.append((method, name))

    def _change(self, change: Pending) -> None:
        self.pending.append(change)
        self.current.apply(change)

    def _file(self, name: str) -> int:
        if name not in self.current.names:
            if self.capacity is not None and self.free_bytes() <= 0:
                raise no_room(name)
            self._inodes += 1
            self.current.files[self._inodes] = bytearray()
            self._change(Pending("name", self._inodes, name))
        return self.current.names[name]

    def _known(self, name: str) -> int:
        if name not in self.current.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self.current.names[name]

    def _settle(self, belongs: Callable[[Pending], bool]) -> None:
        waiting = []
        for change in self.pending:
            if belongs(change):
                self.durable.apply(change)
            else:
                waiting.append(change)
        self.pending = waiting


class SimulatedFile:
    """A file that is open: what becomes of its name does not matter."""

    def __init__(self, disk: SimulatedDisk, name: str, inode: int) -> None:
        self._disk = disk
        self._name = name
        self._inode = inode
        disk.reading += 1

    def read(self, offset: int, size: int) -> bytes:
        self._disk.on_call("read", self._name)
        return bytes(self._disk.current.files[self._inode][offset : offset + size])

    def size(self) -> int:
        return len(self._disk.current.files[self._inode])

    def close(self) -> None:
        self._inode = 0
        self._disk.reading -= 1


def no_room(name: str, code: int = errno.ENOSPC) -> OSError:
    """What a write says on a disk that is full."""
    return OSError(code, os.strerror(code), name)


def broken(name: str) -> OSError:
    """What a disk says that is broken."""
    return OSError(errno.EIO, os.strerror(errno.EIO), name)


def torn(change: Pending, size: int) -> Pending:
    """The first bytes of a write."""
    return replace(change, data=change.data[:size])


def pages(change: Pending, size: int = 4096) -> Iterator[Pending]:
    """A write as the pages in which it reaches the disk, in any order."""
    start = 0
    while start < len(change.data):
        boundary = ((change.offset + start) // size + 1) * size - change.offset
        end = min(len(change.data), boundary)
        part = change.data[start:end]
        yield replace(change, offset=change.offset + start, data=part)
        start = end

"""Standard input and output of a command that must not block: heartbeats go on.

Files are given by number and used without buffers, so that nothing is held back or lost
when the command stops. A read or write that may block does it in a thread; a cancelled
one is left behind there, and takes no lock with it.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING, Final, final

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

READ_SIZE: Final = 64 * 1024
"""Bytes."""

ATOMIC_SIZE: Final = 512
"""Bytes: an empty pipe takes so much at once on every system (POSIX, PIPE_BUF)."""

WATCH_SECONDS: Final = 0.1
"""How often to look whether the reader of an idle pipe has gone."""

POLL_SECONDS: Final = (0.0, 0.00005, 0.0002, 0.001, 0.005)
"""How long to wait before looking again whether a line was read; the last repeats."""


async def read_lines(file: int) -> AsyncGenerator[bytes, None]:
    """Yield the lines of a file, without their ends, as they come."""
    rest = b""
    while chunk := await _read(file):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest


async def read_whole(file: int) -> AsyncGenerator[bytes, None]:
    """Yield all there is until the end of a file, in one piece."""
    yield await read_all(file)


async def read_all(file: int) -> bytes:
    """Return all there is until the end of a file."""
    chunks = []
    while chunk := await _read(file):
        chunks.append(chunk)
    return b"".join(chunks)


async def _read(file: int) -> bytes:
    return await trio.to_thread.run_sync(
        os.read, file, READ_SIZE, abandon_on_cancel=True
    )


@final
class Output:
    """A file to write to. If it is a pipe, it can be asked what its reader has read."""

    def __init__(self, file: int) -> None:
        self._file = file
        mode = os.fstat(file).st_mode
        self._is_pipe = stat.S_ISFIFO(mode)
        self._is_regular = stat.S_ISREG(mode)

    async def write(self, data: bytes) -> None:
        """Write all. Raises `BrokenPipeError` if nobody will read it."""
        if self._takes_at_once(len(data)):
            self._write_all(data)
        else:
            await trio.to_thread.run_sync(self._write_all, data, abandon_on_cancel=True)

    async def wait_read(self) -> None:
        """Wait until the reader of a pipe has taken all that was written.

        Raises `BrokenPipeError` if it closes the pipe before. Other files take what is
        written to them at once.
        """
        waits = iter(POLL_SECONDS)
        seconds = 0.0
        while self._is_pipe and self._unread_size():
            if self._is_closed():
                raise BrokenPipeError
            seconds = next(waits, seconds)
            await trio.sleep(seconds)

    async def wait_closed(self) -> None:
        """Wait until the reader of a pipe has closed it; forever on other files."""
        while not (self._is_pipe and self._is_closed()):  # noqa: ASYNC110
            await trio.sleep(WATCH_SECONDS)  # nothing else tells

    def _takes_at_once(self, size: int) -> bool:
        """Whether a write of so many bytes will not block."""
        return self._is_regular or (
            self._is_pipe and size <= ATOMIC_SIZE and not self._unread_size()
        )

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def _unread_size(self) -> int:
        """Return how many bytes are in the pipe."""
        from fcntl import ioctl
        from termios import FIONREAD

        size: int = _INT.unpack(ioctl(self._file, FIONREAD, bytes(_INT.size)))[0]
        return size

    def _is_closed(self) -> bool:
        """Whether no reader is left: the pipe then has an error condition."""
        from select import POLLERR, poll

        poller = poll()
        poller.register(self._file, 0)
        return any(flags & POLLERR for _, flags in poller.poll(0))


_INT: Final = struct.Struct("i")

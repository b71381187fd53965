"""SocketTransport: the fast way, straight to a plain socket.

A `trio.SocketStream` checkpoints on every call, joined bytes in and out. Here a send
that the kernel takes at once costs one system call and no task switch, large bodies go
out uncopied by `sendmsg`, and a read that was filled is followed by another without
asking the kernel whether there is more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, final

import trio
from trio.lowlevel import checkpoint, notify_closing, wait_readable, wait_writable

from warren_broker.server.sockets import reset_on_close
from warren_broker.server.transport import STALL_SECONDS, Transport

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

IOV_MAX: Final = os.sysconf("SC_IOV_MAX")

SHUT_WR: Final = 1


@final
class SocketTransport(Transport):
    """A connected, non-blocking socket; closed with the transport."""

    __slots__ = ("_is_more_likely", "_socket")

    def __init__(self, connected: socket.socket) -> None:
        self._socket: socket.socket = connected
        self._is_more_likely: bool = True  # a client speaks first

    async def receive(self, size: int) -> bytes:
        if self._is_more_likely:
            await checkpoint()
        else:
            await wait_readable(self._socket)
        while True:
            try:
                data = self._socket.recv(size)
            except BlockingIOError:
                await wait_readable(self._socket)
            except OSError as error:
                raise trio.BrokenResourceError(str(error)) from error
            else:
                self._is_more_likely = len(data) == size
                return data

    async def send(self, chunks: list[bytes]) -> None:
        waiting: Sequence[bytes | memoryview] = chunks
        while waiting := unsent(waiting, self._send_some(waiting)):
            with trio.fail_after(STALL_SECONDS):
                await wait_writable(self._socket)

    def _send_some(self, chunks: Sequence[bytes | memoryview]) -> int:
        """Offer the chunks to the kernel; return how many bytes it took."""
        try:
            if len(chunks) == 1:
                return self._socket.send(chunks[0])
            return self._socket.sendmsg(chunks[:IOV_MAX])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def send_eof(self) -> None:
        try:
            self._socket.shutdown(SHUT_WR)
        except OSError as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def aclose(self, *, reset: bool) -> None:
        if reset:
            reset_on_close(self._socket)
        notify_closing(self._socket)
        self._socket.close()
        await checkpoint()


def unsent(
    chunks: Sequence[bytes | memoryview], sent: int
) -> Sequence[bytes | memoryview]:
    """Return what is left of `chunks` when the first `sent` bytes of them are gone."""
    for index, chunk in enumerate(chunks):
        if sent < len(chunk):
            if not sent:
                return chunks[index:]
            return [memoryview(chunk)[sent:], *chunks[index + 1 :]]
        sent -= len(chunk)
    return []

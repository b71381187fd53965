"""Transport: bytes in, chunks out, over whatever carries them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, final

import trio

from warren_broker.server.sockets import reset_on_close

STALL_SECONDS: Final = 30.0
"""A peer that takes nothing for this long is gone. RabbitMQ: `send_timeout`."""

PIECE_SIZE: Final = 64 * 1024
"""Bytes: a stream tells no progress within one `send_all`, so it gets this much."""

GOODBYE_SECONDS: Final = 1.0
"""A stream's own farewell (TLS: close_notify) may wait this long for its peer."""


class Transport(ABC):
    """What a peer needs of its socket: two verbs to move bytes, two to end.

    `receive` and `send` may be used by two tasks at once, each by one only. Both raise
    `trio.BrokenResourceError` when the other side is gone.
    """

    @abstractmethod
    async def receive(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" at the end of the stream. A checkpoint."""

    @abstractmethod
    async def send(self, chunks: list[bytes]) -> None:
        """Send all, in order. Not always a checkpoint: the caller owes one.

        Raises `trio.TooSlowError` when the peer took nothing for `STALL_SECONDS`.
        """

    @abstractmethod
    async def send_eof(self) -> None:
        """Say that nothing more will be sent, where that can be said."""

    @abstractmethod
    async def aclose(self, *, reset: bool) -> None:
        """Close; with `reset`, drop what the kernel still holds and send an RST."""


@final
class StreamTransport(Transport):
    """Any trio stream: TLS, memory. With the socket below it, if there is one."""

    def __init__(
        self, stream: trio.abc.Stream, socket: trio.socket.SocketType | None = None
    ) -> None:
        self._stream = stream
        self._socket = socket

    async def receive(self, size: int) -> bytes:
        return bytes(await self._stream.receive_some(size))

    async def send(self, chunks: list[bytes]) -> None:
        data = b"".join(chunks)
        for start in range(0, len(data), PIECE_SIZE):
            with trio.fail_after(STALL_SECONDS):
                await self._stream.send_all(data[start : start + PIECE_SIZE])

    async def send_eof(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def aclose(self, *, reset: bool) -> None:
        if reset:
            if self._socket is not None:
                reset_on_close(self._socket)
            await trio.aclose_forcefully(self._stream)
        else:
            with trio.move_on_after(GOODBYE_SECONDS):
                await self._stream.aclose()

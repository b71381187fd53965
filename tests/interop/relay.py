"""A TCP relay before the broker, to do what no client would do by itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self, final
from urllib.parse import urlsplit

READ_SIZE = 65_536


@final
class Relay:
    """Listens on loopback and passes bytes both ways, until told otherwise.

    An asynchronous context manager; all its connections are cut at its end.
    """

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._to_broker: asyncio.StreamWriter | None = None
        self.connections = 0

    @property
    def url(self) -> str:
        """The broker's address by way of this relay."""
        host, port = self._server.sockets[0].getsockname()
        user = f"{self._target.username or 'guest'}:{self._target.password or 'guest'}"
        return f"amqp://{user}@{host}:{port}/"

    def inject(self, data: bytes) -> None:
        """Send bytes to the broker on the newest connection."""
        assert self._to_broker is not None
        self._to_broker.write(data)

    def cut(self) -> None:
        """Drop every connection without a word."""
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        self.cut()
        await asyncio.gather(*self._pipes)

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        self._writers.add(writer)  # it may be cut before there is a way on
        from_broker, self._to_broker = await asyncio.open_connection(
            self._target.hostname, self._target.port or 5672
        )
        self._pipe(reader, self._to_broker)
        self._pipe(from_broker, writer)

    def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        pipe = asyncio.create_task(self._copy(reader, writer))
        self._pipes.add(pipe)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(READ_SIZE):
                writer.write(data)
                await writer.drain()
        with suppress(OSError):
            writer.close()
            await writer.wait_closed()
        self._writers.discard(writer)

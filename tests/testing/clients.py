"""What the tests of the fixtures share: pika in a line, and a raw client on trio."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, final

import pika
from pika.exceptions import AMQPError

from warren.wire.constants import HEARTBEAT, PROTOCOL_HEADER
from warren.wire.frames import encode_content, encode_method, parse_frames
from warren.wire.methods import (
    BasicPublish,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    Method,
    decode_method,
)
from warren.wire.properties import Properties, encode_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trio
    from pika.adapters.blocking_connection import BlockingChannel

FRAME_MAX = 131_072


@contextmanager
def connected(url: str, **parameters: object) -> Iterator[pika.BlockingConnection]:
    """A pika connection; keyword arguments are set on its parameters."""
    address = pika.URLParameters(url)
    for name, value in parameters.items():
        setattr(address, name, value)
    connection = pika.BlockingConnection(address)
    try:
        yield connection
    finally:
        if connection.is_open:
            with suppress(AMQPError):  # the test has seen to that
                connection.close()


@contextmanager
def confirming(
    url: str, queue: str = "q", **arguments: object
) -> Iterator[BlockingChannel]:
    """A pika channel with confirms, and a queue."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, arguments=arguments)
        channel.confirm_delivery()
        yield channel


@final
class StreamClient:
    """Says what it is told over a trio stream, and tells what it hears."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.heartbeats = 0
        self._data = b""
        self._heard: list[Method] = []

    async def open(self, heartbeat: int = 0) -> None:
        """Open the connection, and channel 1."""
        await self.stream.send_all(PROTOCOL_HEADER)
        await self.hear(ConnectionStart)
        await self.say(ConnectionStartOk(response=b"\0guest\0guest"), channel=0)
        await self.hear(ConnectionTune)
        tune = ConnectionTuneOk(2047, FRAME_MAX, heartbeat)
        await self.say(tune, ConnectionOpen(), channel=0)
        await self.hear(ConnectionOpenOk)
        await self.say(ChannelOpen())
        await self.hear(ChannelOpenOk)

    async def say(self, *methods: Method, channel: int = 1) -> None:
        """Send methods."""
        data = b"".join(encode_method(channel, method) for method in methods)
        await self.stream.send_all(data)

    async def publish(self, key: str, body: bytes, **properties: object) -> None:
        """Send a message by the default exchange."""
        header = encode_header(Properties(**properties), len(body))  # type: ignore[arg-type]
        method = BasicPublish(0, "", key)
        frames = encode_content(1, method, header, body, FRAME_MAX)
        await self.stream.send_all(b"".join(frames))

    async def beat(self) -> None:
        """Send a heartbeat."""
        await self.stream.send_all(HEARTBEAT)

    async def hear(self, kind: type[Method]) -> Method:
        """Return the next method, which is of this kind."""
        while not self._heard:
            assert await self.receive(), "the broker has hung up"
        method = self._heard.pop(0)
        assert isinstance(method, kind), method
        return method

    async def receive(self) -> bool:
        """Take what comes next; False for the end. Contents are passed over."""
        data = bytes(await self.stream.receive_some())
        frames, self._data = parse_frames(self._data + data, FRAME_MAX)
        for kind, _, payload in frames:
            if kind == 1:
                self._heard.append(decode_method(payload))
            elif kind == 8:
                self.heartbeats += 1
        return bool(data)

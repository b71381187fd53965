"""Talk: one blocking connection, for what the generator in C cannot say."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final, Self

from tests.bench.errors import BenchError
from warren.wire.constants import FRAME_METHOD, PROTOCOL_HEADER
from warren.wire.frames import Frame, encode_method, parse_frames
from warren.wire.methods import (
    BasicAck,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    ConnectionClose,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    Method,
    decode_method,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAME_MAX: Final = 131_072
CHANNEL: Final = 1
READ_BYTES: Final = 262_144
SILENCE_SECONDS_MAX: Final = 30.0


class Talk:
    """A connection with one channel, in confirm mode.

    Attributes:
        published, confirmed: numbers of the last ones.
        read_at: when something came last, in seconds since 1970.
    """

    def __init__(self, port: int) -> None:
        """Open it to 127.0.0.1:`port`. Raises BenchError, or OSError."""
        self.published = 0
        self.confirmed = 0
        self.read_at = 0.0
        self._rest = b""
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.settimeout(SILENCE_SECONDS_MAX)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(PROTOCOL_HEADER)
        self._await(1)
        start = ConnectionStartOk({}, response=b"\0guest\0guest")
        self._socket.sendall(encode_method(0, start))
        self._await(1)
        tune, opening = ConnectionTuneOk(1, FRAME_MAX, 0), ConnectionOpen()
        self._socket.sendall(encode_method(0, tune) + encode_method(0, opening))
        self._await(1)
        self.call(ChannelOpen(), ConfirmSelect())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, *methods: Method) -> None:
        """Send methods that have one answer each, and wait for those."""
        self.send(b"".join(encode_method(CHANNEL, method) for method in methods))
        self._await(len(methods))

    def send(self, data: bytes) -> None:
        """Send whole frames."""
        self._socket.sendall(data)

    def publish(self, data: bytes, count: int, window: int) -> None:
        """Send `count` messages, with at most `window` unconfirmed before them."""
        self.send(data)
        self.published += count
        while self.published - self.confirmed > window:
            for _ in self.frames():
                pass

    def flush(self) -> None:
        """Wait until all is confirmed."""
        self.publish(b"", 0, 0)

    def frames(self) -> Iterator[Frame]:
        """Read once, and yield what came; confirms are counted by the way.

        Raises BenchError when the broker ends the talk, or says nothing for long.
        """
        data = self._socket.recv(READ_BYTES)
        self.read_at = time.time()
        if not data:
            raise BenchError("the broker has closed the connection")
        found, self._rest = parse_frames(self._rest + data, FRAME_MAX)
        for frame in found:
            if frame.kind == FRAME_METHOD:
                self._count(decode_method(frame.payload))
            yield frame

    def _count(self, method: Method) -> None:
        if isinstance(method, BasicAck):
            self.confirmed = method.delivery_tag
        elif isinstance(method, ChannelClose | ConnectionClose):
            raise BenchError(f"the broker said: {method.reply_text}")

    def _await(self, count: int) -> None:
        while count > 0:
            count -= sum(1 for _ in self.frames())

"""What is set on a socket, and why."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import trio

NOTSENT_LOWAT_BYTES: Final = 128 * 1024
"""Unsent bytes the kernel may hold: enough for a busy writer, too few to hide a backlog
that consumers elsewhere could have had."""

USER_TIMEOUT_MS: Final = 60_000
"""Bytes unacknowledged, or keep-alive probes unanswered, for this long: peer gone."""

KEEPALIVE_IDLE_SECONDS: Final = 30
KEEPALIVE_INTERVAL_SECONDS: Final = 10

_TCP_OPTIONS: Final = (
    # A batch leaves in one send: waiting for more to join it only adds latency.
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    # A peer without heartbeats that loses its power would otherwise stay for ever.
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
    (socket.IPPROTO_TCP, "TCP_NOTSENT_LOWAT", NOTSENT_LOWAT_BYTES),
)

_LINGER_NOTHING: Final = struct.pack("ii", 1, 0)


def tune_tcp(connected: socket.socket | trio.socket.SocketType) -> None:
    """Set what every accepted TCP socket gets, where the system knows it."""
    for level, name, value in _TCP_OPTIONS:
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):
                connected.setsockopt(level, option, value)


def reset_on_close(connected: socket.socket | trio.socket.SocketType) -> None:
    """Let `close` drop what is unsent and tell the peer so with an RST."""
    with suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOTHING)

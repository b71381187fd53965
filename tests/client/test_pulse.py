"""Heartbeats that leave although the loop stands still."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import trio

from warren._client.pulse import Pulse
from warren.wire.constants import HEARTBEAT

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERVAL_SECONDS = 0.02


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our side, which does not block, and the broker's."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    with theirs:
        yield ours, theirs


def test_silence_is_broken(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    with Pulse(ours, INTERVAL_SECONDS):
        heard = b"".join(theirs.recv(1) for _ in range(len(HEARTBEAT) * 3))
    assert heard == HEARTBEAT * 3
    assert theirs.recv(999).replace(HEARTBEAT, b"") == b""  # then it is closed


def test_nothing_comes_between_a_send(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    with Pulse(ours, INTERVAL_SECONDS) as pulse:
        while (rest := pulse.begin()) or not pulse._is_sending:
            ours.send(rest)
        sent = b""
        theirs.settimeout(INTERVAL_SECONDS * 5)
        try:
            while data := theirs.recv(999):
                sent += data  # those from before
        except TimeoutError:
            pass
        else:
            pytest.fail("it was closed")
        assert sent.replace(HEARTBEAT, b"") == b""
        pulse.end()
        theirs.settimeout(10)
        assert theirs.recv(len(HEARTBEAT)) == HEARTBEAT


def test_a_heartbeat_that_was_cut_is_completed(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    pulse = Pulse(ours, INTERVAL_SECONDS)
    pulse._rest = HEARTBEAT[3:]  # the system had taken three bytes
    assert pulse.begin() == HEARTBEAT[3:]
    assert pulse.begin() == b""
    pulse.end()
    pulse._rest = HEARTBEAT[5:]
    pulse._beat()
    assert theirs.recv(99) == HEARTBEAT[5:]
    ours.close()


def test_a_full_or_a_closed_socket_is_no_error(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, _ = ends
    pulse = Pulse(ours, INTERVAL_SECONDS)
    with pytest.raises(BlockingIOError):  # noqa: PT012
        while True:
            ours.send(bytes(65_536))
    pulse._beat()
    assert not pulse._rest
    ours.close()
    pulse._beat()


def test_where_there_is_none() -> None:
    async def main() -> None:
        ours, _ = trio.testing.memory_stream_pair()
        assert Pulse.beside(ours, 60) is None
        one, other = trio.socket.socketpair()
        stream = trio.SocketStream(one)
        assert Pulse.beside(stream, 0) is None
        other.close()
        await stream.aclose()

    trio.run(main)

"""Acceptor: takes new connections from listening sockets, and never dies of it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, Never, final

import trio
from trio.lowlevel import wait_readable

from warren_broker.server.sockets import reset_on_close

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

ACCEPT_BATCH: Final = 64
"""Connections taken before anybody else gets a turn."""

EXHAUSTED_PAUSE_SECONDS: Final = 0.1

_EXHAUSTED: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM},
)


@final
class SpareDescriptor:
    """A descriptor kept to have one when there are none.

    Out of descriptors, a waiting client can be neither accepted nor refused: the
    listening socket stays readable and the accept loop spins. With this one given
    up for a moment the client is accepted and told to go.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._open()

    def refuse_one(self, listening: socket) -> None:
        """Accept one client and reset its connection."""
        self.close()
        try:
            client, _ = listening.accept()
        except OSError:
            pass  # it has gone by itself, or another took the descriptor
        else:
            refuse(client)
        self._open()

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> None:
        try:
            self._descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._descriptor = None


def refuse(client: socket) -> None:
    """Close a new connection at once, with an RST."""
    reset_on_close(client)
    client.close()


async def accept_forever(
    listening: socket,
    spare: SpareDescriptor,
    accepted: Callable[[socket], None],
) -> Never:
    """Call `accepted` with every new connection, non-blocking; it owns the socket."""
    while True:
        await wait_readable(listening)
        if _accept_some(listening, accepted):
            spare.refuse_one(listening)
            await trio.sleep(EXHAUSTED_PAUSE_SECONDS)


def _accept_some(listening: socket, accepted: Callable[[socket], None]) -> bool:
    """Accept what is waiting; return True if the system has run out of something."""
    for _ in range(ACCEPT_BATCH):
        try:
            client, _address = listening.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _EXHAUSTED:
                return True
            continue  # this client was gone before it was accepted
        client.setblocking(False)
        accepted(client)
    return False

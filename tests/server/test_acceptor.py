"""Acceptor: goes on when the system is out of descriptors."""

from __future__ import annotations

import errno
import os
import resource
import socket
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, final

import pytest
import trio

from warren_broker.server.acceptor import SpareDescriptor, accept_forever
from warren_broker.server.listening import open_tcp
from warren_broker.server.settings import Address

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """The limit just above the lowest free descriptor, and that one taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno() + 1, hard))
        try:
            with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
                os.open(os.devnull, os.O_RDONLY)
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@final
class Accepted(list[socket.socket]):
    """What was accepted; `enough` is set when there are so many."""

    def __init__(self, enough: int) -> None:
        super().__init__()
        self.enough = trio.Event()
        self._enough = enough

    def append(self, client: socket.socket) -> None:
        super().append(client)
        if len(self) == self._enough:
            self.enough.set()


def test_every_client_is_accepted() -> None:
    async def main() -> None:
        accepted = Accepted(100)
        with open_tcp(Address("127.0.0.1", 0)) as (listening,):
            async with trio.open_nursery() as nursery:
                with closing(SpareDescriptor()) as spare:
                    nursery.start_soon(
                        accept_forever, listening, spare, accepted.append
                    )
                    clients = [
                        await trio.open_tcp_stream(*listening.getsockname())
                        for _ in range(100)
                    ]
                    await accepted.enough.wait()
                    nursery.cancel_scope.cancel()
        assert all(not client.getblocking() for client in accepted)
        for client in (*accepted, *(stream.socket for stream in clients)):
            client.close()

    trio.run(main)


def test_out_of_descriptors_a_client_is_refused_and_the_next_is_served() -> None:
    async def main() -> None:
        accepted = Accepted(1)
        with (
            open_tcp(Address("127.0.0.1", 0)) as (listening,),
            closing(SpareDescriptor()) as spare,
            socket.socket() as unlucky,
            socket.socket() as lucky,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(accept_forever, listening, spare, accepted.append)
                with no_descriptors_left():
                    unlucky.connect(listening.getsockname())
                    unlucky.settimeout(10)
                    with pytest.raises(ConnectionResetError):
                        await trio.to_thread.run_sync(unlucky.recv, 1)
                    assert not accepted
                lucky.connect(listening.getsockname())
                await accepted.enough.wait()
                nursery.cancel_scope.cancel()
        for client in accepted:
            client.close()

    trio.run(main)

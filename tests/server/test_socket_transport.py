"""SocketTransport: everything arrives, once and in order, over a real socket pair."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests.server.harness import run_timeless
from warren_broker.server.socket_transport import (
    IOV_MAX,
    SocketTransport,
    unsent,
)
from warren_broker.server.sockets import reset_on_close
from warren_broker.server.transport import STALL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def transport_pair() -> Iterator[tuple[SocketTransport, trio.SocketStream]]:
    """A transport, and the other side with a small receive buffer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listening.getsockname())
        server, _ = listening.accept()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    server.setblocking(False)
    with server, client:
        trio_client = trio.socket.from_stdlib_socket(client)
        yield SocketTransport(server), trio.SocketStream(trio_client)


@given(st.lists(st.binary(min_size=1)), st.data())
def test_unsent_is_what_was_not_sent(chunks: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(chunks)
    sent = data.draw(st.integers(0, len(whole)))
    left = unsent(chunks, sent)
    assert b"".join(left) == whole[sent:]
    assert all(left), "an empty chunk would be sent for nothing"


@pytest.mark.parametrize(
    "sizes",
    [[1], [300_000], [3, 200_000, 5, 100_000], [7] * (3 * IOV_MAX + 1)],
    ids=["one byte", "one large chunk", "mixed chunks", "more than IOV_MAX"],
)
def test_sends_all_in_order_to_a_slow_reader(sizes: list[int]) -> None:
    chunks = [bytes([index % 251]) * size for index, size in enumerate(sizes)]

    async def main() -> None:
        with transport_pair() as (transport, client):
            received = b""
            async with trio.open_nursery() as nursery:
                nursery.start_soon(transport.send, list(chunks))
                while len(received) < sum(sizes):
                    received += await client.receive_some(1000)
            assert received == b"".join(chunks)

    trio.run(main)


def test_receives_what_was_sent_and_then_the_end() -> None:
    async def main() -> None:
        with transport_pair() as (transport, client):
            await client.send_all(b"abcdef")
            assert await transport.receive(4) == b"abcd"
            assert await transport.receive(4) == b"ef"
            await client.send_eof()
            assert await transport.receive(4) == b""

    trio.run(main)


def test_a_reset_connection_is_broken_both_ways() -> None:
    async def main() -> None:
        with transport_pair() as (transport, client):
            await transport.aclose(reset=True)
            with pytest.raises(trio.BrokenResourceError, match="reset"):
                await client.receive_some(1)
        with transport_pair() as (transport, client):
            reset_on_close(client.socket)
            await client.aclose()
            with pytest.raises(trio.BrokenResourceError):
                await transport.receive(1)
            with pytest.raises(trio.BrokenResourceError):
                await transport.send([b"a"])

    trio.run(main)


def test_a_stalled_reader_is_too_slow() -> None:
    async def main() -> None:
        with transport_pair() as (transport, _):
            start = trio.current_time()
            with pytest.raises(trio.TooSlowError):
                await transport.send([bytes(10_000_000)])
            assert trio.current_time() - start >= STALL_SECONDS

    run_timeless(main)


def test_eof_is_seen_by_the_other_side() -> None:
    async def main() -> None:
        with transport_pair() as (transport, client):
            await transport.send([b"last"])
            await transport.send_eof()
            assert [data async for data in client] == [b"last"]

    trio.run(main)

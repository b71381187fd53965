"""From a URL to a connection: with TLS, without a virtual host, and to nobody."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, cast

import pytest
import trio
import trustme

from tests.client.scripted import ScriptedServer
from warren._client.connect import connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


async def serve(
    listeners: list[trio.SocketListener] | list[trio.SSLListener[trio.SocketStream]],
    client: Callable[[int], Awaitable[None]],
) -> list[ScriptedServer]:
    """Run scripted servers for all who come while the client runs; return them."""
    servers = []

    async def handle(stream: trio.abc.Stream) -> None:
        server = ScriptedServer(stream)
        servers.append(server)
        if isinstance(stream, trio.SSLStream):
            try:
                await stream.do_handshake()
            except trio.BrokenResourceError:
                return  # it does not trust us
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(server.shake_hands)
            await server.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        await client(port_of(listeners[0]))
        nursery.cancel_scope.cancel()
    return servers


def port_of(listener: trio.SocketListener | trio.SSLListener[trio.SocketStream]) -> int:
    """Return where a listener listens."""
    while isinstance(listener, trio.SSLListener):
        listener = cast("trio.SocketListener", listener.transport_listener)
    port: int = listener.socket.getsockname()[1]
    return port


@pytest.mark.parametrize(("path", "vhost"), [("", "/"), ("/", "/"), ("/a%2Fb", "a/b")])
def test_the_virtual_host_of_a_url(path: str, vhost: str) -> None:
    async def client(port: int) -> None:
        async with connect(f"amqp://127.0.0.1:{port}{path}"):
            pass

    async def main() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        [server] = await serve(listeners, client)
        assert server.vhost == vhost

    trio.run(main)


def test_tls_with_a_certificate_of_each_side(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    mine = authority.issue_cert("client@example.org")
    mine.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "mine.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    query = f"cacertfile={tmp_path}/ca.pem&certfile={tmp_path}/mine.pem"

    async def client(port: int) -> None:
        url = f"amqps://localhost:{port}/?auth_mechanism=external&{query}"
        async with connect(url) as connection, connection.channel():
            pass

    async def main() -> None:
        listeners = await trio.open_ssl_over_tcp_listeners(
            0, context, host="127.0.0.1", https_compatible=True
        )
        [server] = await serve(listeners, client)
        assert server.mechanism == "EXTERNAL"

    trio.run(main)


def test_a_certificate_nobody_vouches_for(tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)

    async def client(port: int) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            async with connect(f"amqps://localhost:{port}/"):
                pytest.fail("it was trusted")

    async def main() -> None:
        listeners = await trio.open_ssl_over_tcp_listeners(
            0, context, host="127.0.0.1", https_compatible=True
        )
        await serve(listeners, client)

    trio.run(main)


def test_nobody_listens() -> None:
    async def main() -> None:
        with pytest.raises(OSError, match=r"127\.0\.0\.1:1"):
            async with connect("amqp://127.0.0.1:1/"):
                pytest.fail("somebody was there")

    trio.run(main)

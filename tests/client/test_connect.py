"""From a URL to a connection: with TLS, without a virtual host, and to nobody."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import pytest
import trio
import trustme
from trio.testing import memory_stream_pair

from tests.client.scripted import ScriptedServer, in_trio
from warren._client.connect import connect, connect_through
from warren.protocol.failures import ConnectionLost
from warren.wire.uri import Address, parse_uri

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


def test_tls_without_verifying_and_with_another_name(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("broker.example.org").configure_cert(context)
    names: list[str] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    trusted = f"cacertfile={tmp_path}/ca.pem"

    async def client(port: int) -> None:
        base = f"amqps://localhost:{port}/?"
        async with connect(f"{base}verify=verify_none"):
            pass
        named = "server_name_indication=broker.example.org"
        async with connect(f"{base}{trusted}&{named}"):
            pass
        with pytest.raises(ssl.SSLCertVerificationError):
            async with connect(f"{base}{trusted}"):
                pytest.fail("that is not its name")
        ours = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        ours.check_hostname = False
        async with connect(base, ssl_context=ours):
            pass
        with pytest.raises(ValueError, match="verify_peer"):
            async with connect(f"{base}verify=sometimes"):
                pytest.fail("that cannot be done")

    async def main() -> None:
        listeners = await trio.open_ssl_over_tcp_listeners(
            0, context, host="127.0.0.1", https_compatible=True
        )
        await serve(listeners, client)

    trio.run(main)
    assert names[:2] == ["localhost", "broker.example.org"]


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "Broker.sock"

    async def client(_: int) -> None:
        async with connect(f"amqp://{quote(str(path), safe='')}/v") as connection:
            assert connection.is_connected

    async def main() -> None:
        listening = trio.socket.socket(trio.socket.AF_UNIX)
        await listening.bind(str(path))
        listening.listen()
        servers = await serve([trio.SocketListener(listening)], client)
        assert [server.vhost for server in servers] == ["v"]

    trio.run(main)


@pytest.mark.parametrize("form", ["amqp://127.0.0.1:1,127.0.0.1:{}/", "list"])
def test_several_hosts_are_tried_in_their_order(form: str) -> None:
    async def client(port: int) -> None:
        urls = ["amqp://127.0.0.1:1/", f"amqp://127.0.0.1:{port}/"]
        async with connect(urls if form == "list" else form.format(port)) as connection:
            assert connection.is_connected

    async def main() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        assert len(await serve(listeners, client)) == 1

    trio.run(main)


@pytest.mark.parametrize("argument", [True, False])
def test_a_name_for_operators(argument: bool) -> None:
    async def client(port: int) -> None:
        url = f"amqp://127.0.0.1:{port}/?name=from-url"
        async with connect(url, name="mine" if argument else ""):
            pass

    async def main() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        [server] = await serve(listeners, client)
        name = "mine" if argument else "from-url"
        assert server.client_properties["connection_name"] == name

    trio.run(main)


@in_trio
async def test_a_connection_timeout() -> None:
    ours, _theirs = memory_stream_pair()
    address = parse_uri("amqp://h/?connection_timeout=2500")

    async def open_stream(_: Address) -> trio.abc.Stream:
        return ours

    with pytest.raises(ConnectionLost, match=r"2\.5 s"):
        async with connect_through(open_stream, [address]):
            pytest.fail("nobody is there")
    assert trio.current_time() == 2.5


@pytest.mark.parametrize(
    "url",
    [
        [],
        "amqp://h/?heartbeat=-1",
        "amqp://h/?heartbeat=65536",
        "amqp://h/?heartbeat=1.5",
        "amqp://h/?channel_max=65536",
        "amqp://h/?frame_max=-1",
        "amqp://h/?connection_timeout=nan",
        "amqp://h/?connection_timeout=-1",
        "amqp://h/?name=" + "n" * 5000,
        "amqp://h/" + "v" * 256,
        "amqp://user:\ud800@h/",
        "amqp://h:70000/",
        "amqp://[::1",
    ],
)
def test_urls_that_cannot_be(url: str | list[str]) -> None:
    """They are refused as such and at once, and the password is not told."""

    async def main() -> None:
        with pytest.raises(ValueError, match=r"\w") as caught:
            async with connect(url):
                pytest.fail("there is no such place")
        assert "\\ud800" not in repr(caught.value)

    trio.run(main)


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_no_name_of_a_host(host: str) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="no name of a host"):
            async with connect(f"amqp://{host}/"):
                pytest.fail("there is no such place")

    trio.run(main)


def test_nobody_listens() -> None:
    async def main() -> None:
        with pytest.raises(OSError, match=r"127\.0\.0\.1:1"):
            async with connect("amqp://127.0.0.1:1/"):
                pytest.fail("somebody was there")

    trio.run(main)

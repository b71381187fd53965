"""Server: real sockets on free ports, one broker, and an orderly end."""

from __future__ import annotations

import socket
import ssl
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, final

import pytest
import trio
import trustme
from trio.testing import wait_all_tasks_blocked

from tests.server.echo import (
    ANY_PORT,
    NOWHERE,
    EchoServer,
    ask,
    is_refused,
    is_turned_away,
    serving,
)
from tests.server.harness import PlantedBug, run_timeless
from warren_broker.core.limits import Limits
from warren_broker.server.doorway import COMING_FACTOR
from warren_broker.server.listening import ListenError
from warren_broker.server.memory_alarm import CHECK_EVERY_BYTES
from warren_broker.server.server import DRAIN_SECONDS
from warren_broker.server.settings import (
    Address,
    ListenerSettings,
    MemorySettings,
    ServerSettings,
    TlsSettings,
)

if TYPE_CHECKING:
    from pathlib import Path


# -- listeners


def test_serves_every_listener(tmp_path: Path) -> None:
    path = tmp_path / "warren.sock"
    listeners = ListenerSettings(tcp=(ANY_PORT, ANY_PORT), unix_socket=str(path))

    async def main() -> None:
        async with serving(listeners) as echo:
            *tcp, unix = echo.server.urls
            assert unix == f"unix:{path}"
            for url in tcp:
                host, port = url.removeprefix("amqp://").rstrip("/").split(":")
                async with await trio.open_tcp_stream(host, int(port)) as stream:
                    await ask(stream, b"hello", b"hello")
            async with await trio.open_unix_socket(str(path)) as stream:
                await ask(stream, b"hello", b"hello")
            infos = [connection.info for connection in echo.connections]
            assert all(info.is_loopback and not info.tls for info in infos)
            assert infos[0].address.startswith("127.0.0.1:")
            assert infos[2].address == unix
        assert not path.exists()

    trio.run(main)


def test_what_cannot_be_opened_leaves_nothing_open(tmp_path: Path) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = Address(*taken.getsockname())
            path = tmp_path / "warren.sock"
            first = ListenerSettings(tcp=(address,), unix_socket=str(path))
            echo = EchoServer(ServerSettings(listeners=first))
            with pytest.raises(ListenError):
                await echo.server.run()
            assert not path.exists()

    trio.run(main)


@final
class Certificates:
    """A certificate authority, what it issued to the server, and its files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        server = self.authority.issue_cert("127.0.0.1")
        self._path = folder
        server.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        self.authority.cert_pem.write_to_path(folder / "ca.pem")

    def settings(self, *, ask_clients: bool) -> TlsSettings:
        return TlsSettings(
            certificate=str(self._path / "server.pem"),
            client_ca=str(self._path / "ca.pem") if ask_clients else None,
        )

    def client_context(self, name: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if name is not None:
            self.authority.issue_cert(common_name=name).configure_cert(context)
        return context


async def connect_tls(
    echo: EchoServer, context: ssl.SSLContext
) -> trio.SSLStream[trio.SocketStream]:
    carrier = await echo.connect()
    stream = trio.SSLStream(
        carrier, context, server_hostname="127.0.0.1", https_compatible=True
    )
    await stream.do_handshake()
    return stream


TLS_ONLY = ListenerSettings(tcp=(), tls=(ANY_PORT,))


def test_tls_carries_bytes_and_both_ends(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)

    async def main() -> None:
        tls = certificates.settings(ask_clients=False)
        async with serving(TLS_ONLY, tls=tls) as echo:
            assert echo.server.urls[0].startswith("amqps://127.0.0.1:")
            async with await connect_tls(echo, certificates.client_context()) as stream:
                await ask(stream, b"x" * 100_000, b"x" * 100_000)
                await ask(stream, b"quit", b"bye")
                assert await stream.receive_some(1) == b""
        assert echo.connections[0].info.tls
        assert echo.connections[0].info.certificate_name is None

    trio.run(main)


def test_tls_with_a_client_authority_knows_its_clients(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)

    async def main() -> None:
        tls = certificates.settings(ask_clients=True)
        async with serving(TLS_ONLY, tls=tls) as echo:
            context = certificates.client_context("alice")
            async with await connect_tls(echo, context) as stream:
                await ask(stream, b"hello", b"hello")
            assert echo.connections[0].info.certificate_name == "alice"
            async with await connect_tls(echo, certificates.client_context()) as other:
                assert await is_turned_away(other)
            assert len(echo.connections) == 1

    trio.run(main)


def test_plain_amqp_on_the_tls_port_is_turned_away(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)

    async def main() -> None:
        tls = certificates.settings(ask_clients=False)
        async with serving(TLS_ONLY, tls=tls) as echo:
            async with await echo.connect() as stream:
                await stream.send_all(b"AMQP\0\0\x09\x01")
                with suppress(trio.BrokenResourceError):
                    async for alert in stream:
                        assert not alert.startswith(b"AMQP")
            async with await connect_tls(echo, certificates.client_context()) as good:
                await ask(good, b"hello", b"hello")
            assert len(echo.connections) == 1
            assert echo.log.names == ["connection not made"]

    trio.run(main)


def test_a_tls_handshake_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)

    async def main() -> None:
        tls = certificates.settings(ask_clients=False)
        limits = Limits(tls_handshake_seconds=0)
        async with serving(TLS_ONLY, tls=tls, limits=limits) as echo:
            async with await echo.connect() as stream:
                assert await is_turned_away(stream)
            assert echo.log.names == ["connection not made"]

    trio.run(main)


# -- limits


def test_over_the_limit_a_client_is_reset_and_those_there_are_served_on() -> None:
    async def main() -> None:
        async with serving(limits=Limits(connections_max=1)) as echo:
            async with await echo.connect() as first:
                await ask(first, b"hello", b"hello")
                for _ in range(3):
                    assert await is_refused(echo)
                await ask(first, b"hello", b"hello")
                refused = [fields for _, fields in echo.log.events]
                assert refused == [{"count": 1}, {"count": 2}]
                await ask(first, b"quit", b"bye")
                assert await first.receive_some(1) == b""
            async with await echo.connect() as second:
                await ask(second, b"hello", b"hello")

    trio.run(main)


def test_a_newcomer_waits_until_the_one_before_has_logged_in() -> None:
    async def main() -> None:
        limits = Limits(unauthenticated_per_address_max=1)
        async with (
            serving(limits=limits) as echo,
            await echo.connect() as first,
            await echo.connect() as second,
        ):
            await ask(first, b"hello", b"hello")
            await second.send_all(b"hello")
            assert len(echo.connections) == 1
            await ask(first, b"login", b"welcome")
            await ask(second, b"", b"hello")

    trio.run(main)


def test_one_address_cannot_take_the_place_of_all_others() -> None:
    """Those who wait outside count: a silent crowd is held by its own address."""

    async def main() -> None:
        limits = Limits(unauthenticated_per_address_max=1)
        async with serving(limits=limits) as echo, AsyncExitStack() as stack:
            first = await stack.enter_async_context(await echo.connect())
            await ask(first, b"hello", b"hello")
            for _ in range(COMING_FACTOR - 1):
                await stack.enter_async_context(await echo.connect())
            for _ in range(3):
                assert await is_refused(echo)
            refused = [fields for _, fields in echo.log.events]
            assert refused == [{"count": 1}, {"count": 2}]
            other = await trio.open_tcp_stream(*echo.address, local_address="127.0.0.2")
            async with other:
                await ask(other, b"hello", b"hello")
            await ask(first, b"login", b"welcome")
            late = await stack.enter_async_context(await echo.connect())
            await wait_all_tasks_blocked()
            assert await is_refused(echo)
            with trio.move_on_after(0) as scope:
                await is_turned_away(late)
            assert scope.cancelled_caught

    trio.run(main)


# -- faults


def test_a_bug_ends_one_connection_only() -> None:
    async def main() -> None:
        async with serving() as echo:
            async with await echo.connect() as good, await echo.connect() as bad:
                await ask(good, b"hello", b"hello")
                await bad.send_all(b"bug")
                assert await is_turned_away(bad)
                await ask(good, b"hello", b"hello")
            ((name, error),) = echo.log.failures
            assert name == "connection failed"
            assert pytest.RaisesGroup(PlantedBug).matches(error)

    trio.run(main)


def test_a_slow_reader_is_reset_and_it_is_told() -> None:
    async def main() -> None:
        async with serving() as echo, await echo.connect() as stream:
            await stream.send_all(b"flood:50000000")
            await trio.sleep(31)  # virtual
            assert echo.log.names == ["connection stalled"]
            with pytest.raises(trio.BrokenResourceError):
                async for _ in stream:
                    pass

    run_timeless(main)


# -- memory


def test_the_memory_alarm_reaches_the_broker_and_the_log() -> None:
    async def main() -> None:
        memory = MemorySettings(limit_bytes=1)
        async with serving(NOWHERE, memory=memory) as echo, trio.open_nursery() as n:
            client = await echo.connect_in_memory(n)
            assert echo.broker.alarms.reason is None
            size = 1000
            for _ in range(CHECK_EVERY_BYTES // size + 1):
                await ask(client, b"x" * size, b"x" * size)
            assert echo.broker.alarms.reason == "low on memory"
            assert echo.log.names == ["memory alarm on"]
            await client.aclose()

    run_timeless(main)


# -- the end


def test_stop_says_goodbye_to_all_and_closes_the_listeners() -> None:
    async def main() -> None:
        async with serving() as echo:
            streams = [await echo.connect() for _ in range(3)]
            for stream in streams:
                await ask(stream, b"hello", b"hello")
            echo.server.stop()
            for stream in streams:
                await ask(stream, b"", b"goodbye")
                assert await stream.receive_some(1) == b""
                await stream.aclose()
        with pytest.raises(OSError, match="connect"):
            await echo.connect()

    trio.run(main)


def test_who_comes_after_stop_is_closed_at_once_and_holds_nobody_up() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            async with serving(NOWHERE) as echo:
                deaf = await echo.connect_in_memory(nursery)
                await ask(deaf, b"deaf", b"what?")
                start = trio.current_time()
                echo.server.stop()
                late = await echo.connect_in_memory(nursery)
                with trio.fail_after(DRAIN_SECONDS / 2):
                    assert await is_turned_away(late)
                await deaf.aclose()
            assert trio.current_time() == start
            assert len(echo.connections) == 1

    run_timeless(main)


def test_stop_waits_for_the_deaf_but_not_for_ever() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            async with serving(NOWHERE) as echo:
                client = await echo.connect_in_memory(nursery)
                await ask(client, b"deaf", b"what?")
                start = trio.current_time()
            assert trio.current_time() - start == DRAIN_SECONDS
            nursery.cancel_scope.cancel()

    run_timeless(main)

"""The server with its AMQP front end: what needs both, and the clock."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pika
import pytest
import trio
from pika.exceptions import ConnectionClosedByBroker
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from tests.server.harness import RememberingLog, run_timeless
from warren.wire.constants import HEARTBEAT, PROTOCOL_HEADER
from warren.wire.frames import encode_method, parse_frames
from warren.wire.methods import (
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    decode_method,
)
from warren_broker.amqp.peer_info import PeerInfo
from warren_broker.server.serve import make_server
from warren_broker.server.settings import Address, ListenerSettings, ServerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from warren.wire.methods import Method
    from warren.wire.table import FieldValue, Table
    from warren_broker.server.server import Server

FRAME_SIZE_MAX = 131_072


@asynccontextmanager
async def serving(
    *addresses: Address, log: RememberingLog | None = None
) -> AsyncIterator[Server]:
    """A running broker; with no address, for clients in memory only."""
    settings = ServerSettings(listeners=ListenerSettings(tcp=addresses))
    server = make_server(settings, log or RememberingLog())
    server.broker.raises_bugs = True
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield server
        server.stop()


async def in_thread(server: Server, work: Callable[[str], None]) -> None:
    """Let a blocking client work with the server's URL."""
    await trio.to_thread.run_sync(work, server.urls[0])


class MemoryClient:
    """A client of a few methods, over a memory stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._rest = b""

    async def open(self, heartbeat: int = 0, properties: Table | None = None) -> None:
        await self.stream.send_all(PROTOCOL_HEADER)
        assert isinstance(await self.expect(), ConnectionStart)
        await self.send(
            ConnectionStartOk(
                client_properties=properties or {},
                mechanism="PLAIN",
                response=b"\0guest\0guest",
            )
        )
        assert isinstance(await self.expect(), ConnectionTune)
        await self.send(ConnectionTuneOk(2047, FRAME_SIZE_MAX, heartbeat))
        await self.send(ConnectionOpen("/"))
        assert isinstance(await self.expect(), ConnectionOpenOk)

    async def send(self, method: Method) -> None:
        await self.stream.send_all(encode_method(0, method))

    async def expect(self) -> Method:
        data = self._rest + await self.stream.receive_some(FRAME_SIZE_MAX)
        (frame, *_), self._rest = parse_frames(data, FRAME_SIZE_MAX)
        return decode_method(frame.payload)


async def connect(server: Server, nursery: trio.Nursery) -> MemoryClient:
    client, server_side = memory_stream_pair()
    info = PeerInfo(address="memory:0", is_loopback=True)
    nursery.start_soon(server.serve_stream, server_side, info)
    return MemoryClient(client)


# -- time


def test_a_client_that_says_nothing_is_gone_after_the_handshake_timeout() -> None:
    async def main() -> None:
        async with serving() as server, trio.open_nursery() as nursery:
            await trio.sleep(100)  # the broker must not think that this counts
            client = await connect(server, nursery)
            start = trio.current_time()
            assert await client.stream.receive_some() == b""
            limit = server.broker.limits.handshake_seconds
            assert trio.current_time() - start == pytest.approx(limit)
            await client.stream.aclose()

    run_timeless(main)


def test_heartbeats_come_and_without_any_the_client_is_gone() -> None:
    async def main() -> None:
        async with serving() as server, trio.open_nursery() as nursery:
            client = await connect(server, nursery)
            await client.open(heartbeat=10)
            start = trio.current_time()
            heard = b"".join([data async for data in client.stream])
            assert heard
            assert heard == HEARTBEAT * (len(heard) // len(HEARTBEAT))
            assert 20 <= trio.current_time() - start <= 30
            await client.stream.aclose()

    run_timeless(main)


def test_nothing_happens_while_idle() -> None:
    async def main() -> None:
        steps = StepCounter()
        trio.lowlevel.add_instrument(steps)
        async with serving() as server, trio.open_nursery() as nursery:
            client = await connect(server, nursery)
            await client.open(heartbeat=0)
            await wait_all_tasks_blocked()
            before = steps.count
            await trio.sleep(10_000)
            assert steps.count - before <= 2  # our own going to sleep and waking
            await client.stream.aclose()

    run_timeless(main)


class StepCounter(trio.abc.Instrument):
    """Counts how often any task runs."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


# -- the log


@pytest.mark.parametrize(
    ("given", "logged"),
    [
        ("orders", "orders"),
        ("x" * 3000, "x" * 255),
        ({"deep": {"er": "x"}}, None),
        (b"\xff", None),
        (None, None),
    ],
)
def test_a_connection_is_logged_with_its_name_if_that_is_a_short_text(
    given: FieldValue, logged: str | None
) -> None:
    async def main() -> None:
        log = RememberingLog()
        async with serving(log=log) as server, trio.open_nursery() as nursery:
            client = await connect(server, nursery)
            await client.open(properties={"connection_name": given})
            ((name, fields),) = log.events
            assert (name, fields["name"]) == ("connection opened", logged)
            await client.stream.aclose()

    run_timeless(main)


# -- a client of another project

ANY_PORT = Address("127.0.0.1", 0)


def test_a_message_goes_round() -> None:
    def work(url: str) -> None:
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("q")
            for body in (b"", b"small", b"large" * 200_000):
                channel.basic_publish("", "q", body)
                _, _, received = channel.basic_get("q", auto_ack=True)
                assert received == body

    async def main() -> None:
        async with serving(ANY_PORT) as server:
            await in_thread(server, work)

    trio.run(main)


def test_shutdown_is_told_in_the_words_that_clients_know() -> None:
    def work(url: str) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        trio.from_thread.run_sync(stop)
        with pytest.raises(
            ConnectionClosedByBroker, match=r"forced .* 'shutdown'"
        ) as told:
            connection.process_data_events(10)
        assert told.value.reply_code == 320

    def stop() -> None:
        stops[0]()

    stops: list[Callable[[], None]] = []

    async def main() -> None:
        async with serving(ANY_PORT) as server:
            stops.append(server.stop)
            await in_thread(server, work)

    trio.run(main)


def test_a_blocked_publisher_waits_and_goes_on() -> None:
    seen: list[str] = []

    def work(url: str) -> None:
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            connection.add_on_connection_blocked_callback(lambda *_: note("blocked"))
            connection.add_on_connection_unblocked_callback(lambda *_: note("free"))
            channel = connection.channel()
            channel.queue_declare("q")
            channel.basic_publish("", "q", b"first")
            while "blocked" not in seen:
                connection.process_data_events(1)
            channel.basic_publish("", "q", b"second")
            trio.from_thread.run_sync(alarm[0], False)
            assert channel.queue_declare("q", passive=True).method.message_count == 2
            connection.process_data_events(0)

    def note(what: str) -> None:
        seen.append(what)

    alarm: list[Callable[[bool], None]] = []

    async def main() -> None:
        async with serving(ANY_PORT) as server:
            alarm.append(server._set_memory_alarm)
            server._set_memory_alarm(True)
            await in_thread(server, work)
            assert seen == ["blocked", "free"]

    trio.run(main)


def test_the_server_leaves_nothing_of_a_client_to_the_collector() -> None:
    async def main() -> None:
        async with serving() as server:
            await one_client(server)
            gc.collect()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                await one_client(server)
                gc.collect()
                left = {type(each) for each in gc.garbage}
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
            assert not {each for each in left if "_broker.server" in each.__module__}

    async def one_client(server: Server) -> None:
        async with trio.open_nursery() as nursery:
            client = await connect(server, nursery)
            await client.open()
            await client.stream.aclose()

    run_timeless(main)

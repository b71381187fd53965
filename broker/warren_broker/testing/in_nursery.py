"""Broker in a nursery: for trio's own tests, in the loop and the time of the test."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, final

import trio

from warren._client.connect import connect_through
from warren.wire.uri import parse_uri
from warren_broker.amqp.peer_info import PeerInfo
from warren_broker.server.settings import ListenerSettings
from warren_broker.testing.control import (
    POLL_SECONDS,
    WAIT_SECONDS,
    Control,
    still_there,
)
from warren_broker.testing.stage import FREE_PORT, NotServing, Stage, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from os import PathLike

    from warren._client.connection import Connection
    from warren._client.reconnect import Reconnect
    from warren.bodies.codecs import Codecs
    from warren.wire.uri import Address
    from warren_broker.server.settings import ServerSettings
    from warren_broker.testing.faults import T

POLL_SHARE: Final = 0.01
"""Of the time waited already: a clock that jumps makes hours of it, in no time."""

_STREAM: Final = PeerInfo(address="memory:0", is_loopback=True)


@final
class NurseryBroker(Control):
    """A broker in the test's own loop. Get one by `broker_in_nursery`."""

    def __init__(self, stage: Stage, nursery: trio.Nursery) -> None:
        super().__init__(stage, _at_once)
        self._nursery = nursery

    def connect(
        self,
        url: str = "amqp://guest:guest@memory/",
        *,
        reconnect: Reconnect | None = None,
        codecs: Codecs | None = None,
        name: str = "",
    ) -> AbstractAsyncContextManager[Connection]:
        """Connect as `warren.connect` does, by streams in memory: there is no socket.

        Of the `url` host and port mean nothing; the user, the virtual host and the
        query do. While the broker is stopped nobody is there, as far as the client can
        tell (`OSError`), so `reconnect` tries again.

        ::

            async with broker.connect() as connection:
                await connection.publish("hello", routing_key="greetings")
        """
        return connect_through(
            self._stream_for,
            [parse_uri(url)],
            reconnect=reconnect,
            codecs=codecs,
            name=name,
        )

    async def _stream_for(self, _: Address) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        try:
            return self.open_stream()
        except NotServing as error:
            raise ConnectionRefusedError(str(error)) from None

    def open_stream(self) -> trio.abc.HalfCloseableStream:
        """Return a client's end of a connection in memory; the broker serves the other.

        Raises NotServing.
        """
        from trio.testing import memory_stream_pair  # the tests' own, and not small

        ours, theirs = memory_stream_pair()
        self._nursery.start_soon(self._stage.server.serve_stream, theirs, _STREAM)
        return ours

    async def wait_idle(
        self, timeout_seconds: float = WAIT_SECONDS, *, scheduled: bool = False
    ) -> None:
        """Wait until the broker has nothing to do.

        That is: nothing is ready in a queue that has consumers, nothing is unacked,
        nothing waits to be sent. What no consumer is there for does not count, and what
        waits for its time (delays, schedules) only if `scheduled`.

        Raises TimeoutError, which says what is still there, after
        `timeout_seconds` of trio's clock.
        """
        start = trio.current_time()
        while lines := self.remaining(scheduled=scheduled):
            waited = trio.current_time() - start
            if waited > timeout_seconds:
                raise still_there(lines, timeout_seconds)
            await trio.sleep(max(POLL_SECONDS, waited * POLL_SHARE))
        await trio.lowlevel.checkpoint()

    async def restart(self) -> None:
        """Stop the broker and start it again, on the same port if it has one.

        Clients are told (320), and what the broker keeps in memory is gone.
        """
        async with self.stopped():
            pass

    @asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """Stop the broker, and start it again when the block ends; as `restart`."""
        await self._stage.stop()
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                await self._stage.start()


@asynccontextmanager
async def broker_in_nursery(
    *,
    tcp: bool = False,
    data_dir: str | PathLike[str] | None = None,
    settings: ServerSettings | None = None,
) -> AsyncIterator[NurseryBroker]:
    """Run a broker while the block runs, in a nursery around it.

    It has no sockets: Warren's client connects by `NurseryBroker.connect`, others by
    `NurseryBroker.open_stream`. With `tcp` it listens on a free port of this machine as
    well. Its time is that of the loop: under `trio.testing.MockClock` everything that
    takes time (times to live, leases, delays, heartbeats) takes what the test gives it.

    With a `data_dir` it keeps what is durable there. The disk takes real time, which a
    MockClock that jumps by itself does not see.

    Raises SettingsError, ListenError.

    ::

        async with broker_in_nursery() as broker, broker.connect() as connection:
            await connection.declare_queue("greetings")
    """
    listeners = ListenerSettings(tcp=(FREE_PORT,) if tcp else ())
    settings = settings_for(settings, listeners=listeners, data_dir=data_dir)
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        stage = Stage(settings, nursery)
        try:
            await stage.start()
            yield NurseryBroker(stage, nursery)
        except BaseException as error:  # noqa: BLE001 - raised below
            failure = error  # there, it is not wrapped into the nursery's group
        with trio.CancelScope(shield=True):
            await stage.end()
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _at_once(act: Callable[[], T], /) -> T:
    return act()

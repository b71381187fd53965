"""Connection: carries a `ClientConnection` over a trio stream.

Three tasks, started by `connect_over` and ended with its block: one reads, one writes,
one watches the deadlines (so that heartbeats leave although the others wait). Ctrl-C is
for the program's own tasks: these must go on, to carry the goodbyes.

Deliveries wait in their consumers. When too many do, reading pauses, and with it the
server; not while a task awaits an answer, which would have to wait behind them.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final, final
from uuid import uuid4

import trio

from warren._client.channel import Channel
from warren._client.closing import closing_scope
from warren._client.slot import Slot
from warren.protocol.connection import ClientConnection
from warren.protocol.events import (
    Blocked,
    ConnectionEnded,
    ConnectionOpened,
    Unblocked,
)
from warren.protocol.failures import ChannelClosed, ConnectionLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from warren.protocol.events import Event
    from warren.wire.uri import Address

BUFFERED_MAX: Final = 4096
"""Deliveries: more than this waiting to be taken, and reading pauses."""

HANDSHAKE_TIMEOUT_SECONDS: Final = 10.0
"""As RabbitMQ's."""


@final
class Connection:
    """One connection to a server. Made by `connect` or `connect_over`."""

    def __init__(self, stream: trio.abc.Stream, protocol: ClientConnection) -> None:
        self.blocked_reason: str | None = None
        """Why the server reads no publishes at present, or None."""
        self._stream = stream
        self._protocol = protocol
        self._channels: dict[int, Channel] = {}
        self._opened: Slot[None] = Slot()
        self._handshake_over = trio.Event()
        self._ended = trio.Event()
        self._finished = trio.Event()
        self._has_data = trio.Event()
        self._has_data.set()  # the protocol header
        self._room_to_send = trio.lowlevel.ParkingLot()
        self._room_to_read = trio.lowlevel.ParkingLot()
        self._buffered = 0
        self._answers_awaited = 0
        self._is_paused = False
        self._scope = trio.CancelScope(shield=True)

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[Channel]:
        """Open a channel with confirms on; close it with the block.

        Raises `WarrenError` if the connection has ended. What its consumers had not
        acknowledged goes back to the queues when the channel is closed.
        """
        channel = Channel(self, self._protocol.open_channel())
        self._channels[channel.number] = channel
        try:
            await channel.start()
            yield channel
        finally:
            with closing_scope():
                await channel.aclose()

    # --- for the channels

    def flush(self) -> None:
        """Wake the writer, if there is something to send."""
        if self._protocol.has_data_to_send or self._protocol.is_over:
            self._has_data.set()

    async def wait_room(self) -> None:
        """Wait while too much waits to be sent."""
        while self._protocol.is_congested and not self._protocol.is_over:
            await self._room_to_send.park()

    @contextmanager
    def awaiting_answer(self) -> Iterator[None]:
        """In this block reading goes on, however much is buffered."""
        self._answers_awaited += 1
        self._room_to_read.unpark_all()
        try:
            yield
        finally:
            self._answers_awaited -= 1

    def count_buffered(self, change: int) -> None:
        """Consumers tell how many deliveries they got, or gave away."""
        self._buffered += change
        if self._buffered <= BUFFERED_MAX // 2:
            self._room_to_read.unpark_all()

    # --- the life of it

    async def wait_opened(self) -> None:
        """Wait for the end of the handshake. Raises the server's refusal."""
        await self._opened.wait()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Carry the protocol until the connection has ended, or `abandon` is called.

        Shielded: when the block around is cancelled, goodbyes are still to be carried.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch_deadlines)
                    nursery.start_soon(self._read_loop)
                    await self._write_loop()
                    with closing_scope():  # if writing failed, reading may tell why
                        await self._ended.wait()
                    nursery.cancel_scope.cancel()
        finally:
            self._act(self._protocol.receive(b"", trio.current_time()))
            self._finished.set()  # whoever still waits for something is told

    def abandon(self) -> None:
        """Carry nothing any more."""
        self._scope.cancel()

    async def aclose(self) -> None:
        """Say goodbye, wait for the answer, and until the last word was sent."""
        self._act(self._protocol.close())
        await self._finished.wait()

    @trio.lowlevel.enable_ki_protection
    async def _read_loop(self) -> None:
        while not self._protocol.is_over:
            try:
                data = await self._stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            self._act(self._protocol.receive(bytes(data), trio.current_time()))
            await self._wait_buffers()

    async def _wait_buffers(self) -> None:
        while self._buffered > BUFFERED_MAX and not self._answers_awaited:
            self._is_paused = True
            await self._room_to_read.park()
        self._is_paused = False

    @trio.lowlevel.enable_ki_protection
    async def _write_loop(self) -> None:
        """Send until all is over. What cannot be sent is for the reader to find out."""
        try:
            while not self._is_flushed:
                await self._has_data.wait()
                self._has_data = trio.Event()
                await self._send_all()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    @property
    def _is_flushed(self) -> bool:
        """All is over, and the last word was sent."""
        return self._protocol.is_over and not self._protocol.has_data_to_send

    async def _send_all(self) -> None:
        while chunks := self._protocol.data_to_send(trio.current_time()):
            for chunk in chunks:
                await self._stream.send_all(chunk)
            if not self._protocol.is_congested:
                self._room_to_send.unpark_all()

    @trio.lowlevel.enable_ki_protection
    async def _watch_deadlines(self) -> None:
        await self._handshake_over.wait()
        while True:
            await trio.sleep_until(self._protocol.next_deadline())
            now = trio.current_time()
            if self._is_paused:
                self._protocol.excuse_silence(now)
            self._act(self._protocol.on_deadline(now))

    def _act(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case ConnectionOpened():
                    self._on_opened()
                case Blocked(reason):
                    self.blocked_reason = reason
                case Unblocked():
                    self.blocked_reason = None
                case ConnectionEnded():
                    self._on_ended(event)
                case _:
                    self._channels[event.channel].on_event(event)
        self.flush()

    def _on_opened(self) -> None:
        self._opened.put(None)
        self._handshake_over.set()

    def _on_ended(self, event: ConnectionEnded) -> None:
        self._opened.fail(event.error or ChannelClosed("the connection was closed"))
        self._ended.set()
        self._room_to_send.unpark_all()
        self._room_to_read.unpark_all()


@asynccontextmanager
async def connect_over(
    stream: trio.abc.Stream, address: Address
) -> AsyncIterator[Connection]:
    """Speak AMQP over a stream that is connected; close it with the block.

    Raises `AMQPError` when the server refuses, and `ConnectionLost`.
    """
    protocol = ClientConnection(address, nonce=uuid4().hex, now=trio.current_time())
    connection = Connection(stream, protocol)
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            try:
                await _wait_handshake(connection)
                yield connection
            except BaseException as error:  # noqa: BLE001 - raised below
                failure = error  # there, it is not wrapped into the nursery's group
            with closing_scope():
                await connection.aclose()
            connection.abandon()
    finally:
        await trio.aclose_forcefully(stream)
    if failure is not None:
        raise failure


async def _wait_handshake(connection: Connection) -> None:
    with trio.move_on_after(HANDSHAKE_TIMEOUT_SECONDS) as scope:
        await connection.wait_opened()
    if scope.cancelled_caught:
        seconds = HANDSHAKE_TIMEOUT_SECONDS
        raise ConnectionLost(f"the server did not finish the handshake in {seconds} s")

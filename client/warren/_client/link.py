"""Link: one life of a connection. Carries a `ClientConnection` over a trio stream.

Three tasks, started by `connect_over` and ended with its block: one reads, one writes,
one watches the deadlines (so that heartbeats leave although the others wait; and if no
task can run, see `Pulse`). Ctrl-C is for the program's own tasks: these must go on, to
carry the goodbyes.

Deliveries wait in their consumers. When too many do, reading pauses, and with it the
server; see `ReadGate`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, final
from uuid import uuid4

import trio

from warren._client.channel import Channel
from warren._client.closing import closing_scope
from warren._client.common import Common
from warren._client.pulse import Pulse
from warren._client.slot import Slot
from warren.protocol.connection import ClientConnection
from warren.protocol.events import (
    Blocked,
    ConnectionEnded,
    ConnectionOpened,
    Delivered,
    Unblocked,
)
from warren.protocol.failures import ChannelClosed, ConnectionLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from warren.errors import WarrenError
    from warren.protocol.events import ChannelEvent, Event
    from warren.protocol.handshake import Wishes
    from warren.wire.table import Table
    from warren.wire.uri import Address

HANDSHAKE_TIMEOUT_SECONDS: Final = 10.0
"""As RabbitMQ's."""

STALL_SECONDS: Final = 1.0
"""A deadline seen this late: our own loop stood still, so nobody could be heard."""

LENT_MAX: Final = 64
"""Channels for one request each, at once."""

READ_SIZE: Final = 64 * 1024
"""Bytes."""


@final
class Link:
    """One connection to a server, until it ends. Made by `connect_over`."""

    def __init__(
        self, stream: trio.abc.Stream, protocol: ClientConnection, common: Common
    ) -> None:
        self.blocked_reason: str | None = None
        """Why the server reads no publishes at present, or None."""
        self.server_properties: Table = {}
        self.common = common
        self.gate = common.gate
        self._stream = stream
        self._protocol = protocol
        self._channels: dict[int, Channel] = {}
        self._spare: list[Channel] = []
        self._lending = trio.Semaphore(LENT_MAX)
        self._opened: Slot[None] = Slot()
        self._handshake_over = trio.Event()
        self._ended = trio.Event()
        self._finished = trio.Event()
        self._has_data = trio.Event()
        self._has_data.set()  # the protocol header
        self._room_to_send = trio.lowlevel.ParkingLot()
        self._pulse: Pulse | None = None
        self._scope = trio.CancelScope(shield=True)

    # --- channels

    @asynccontextmanager
    async def channel(self, *, confirms: bool = True) -> AsyncIterator[Channel]:
        """Open a channel; close it with the block.

        Raises `WarrenError` if the connection has ended. What its consumers had not
        acknowledged goes back to the queues when the channel is closed.
        """
        channel = self._new_channel()
        try:
            await channel.start(confirms=confirms)
            yield channel
        finally:
            with closing_scope():
                await channel.aclose()

    async def open_channel(self) -> Channel:
        """Open a channel with confirms on, which lives as long as the link."""
        channel = self._new_channel()
        try:
            await channel.start(confirms=True)
        except BaseException:
            channel.discard()
            raise
        return channel

    @asynccontextmanager
    async def spare_channel(self) -> AsyncIterator[Channel]:
        """A channel for one request: its failure is nobody else's.

        It is kept for the next request, unless the block has failed. Waits while very
        many are lent.
        """
        async with self._lending:
            channel = self._take_spare() or await self.open_channel()
            try:
                yield channel
            except BaseException:
                channel.discard()
                raise
            self._spare.append(channel)

    def _take_spare(self) -> Channel | None:
        """Return one that nobody uses, and that the server has not closed meanwhile."""
        while self._spare:
            channel = self._spare.pop()
            if not channel.has_ended:
                return channel
        return None

    def _new_channel(self) -> Channel:
        channel = Channel(self, self._protocol.open_channel())
        self._channels[channel.number] = channel
        return channel

    # --- for the channels

    @property
    def has_ended(self) -> bool:
        """Nothing can be sent any more."""
        return self._protocol.is_over

    @property
    def error(self) -> WarrenError | None:
        """Why it has ended; None if this side had closed it."""
        return self._protocol.error

    def flush(self) -> None:
        """Wake the writer, if there is something to send."""
        if self._protocol.has_data_to_send or self._protocol.is_over:
            self._has_data.set()

    async def wait_room(self) -> None:
        """Wait while too much waits to be sent.

        Reading goes on: the server may not read what we send before we read its own.
        """
        if self._is_full:
            with self.gate.awaiting_answer():
                while self._is_full:
                    await self._room_to_send.park()

    @property
    def _is_full(self) -> bool:
        return self._protocol.is_congested and not self._protocol.is_over

    # --- the life of it

    async def wait_opened(self) -> None:
        """Wait for the end of the handshake. Raises the server's refusal."""
        await self._opened.wait()

    async def wait_ended(self) -> None:
        """Wait until it is over, for whatever reason."""
        await self._ended.wait()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Carry the protocol until the connection has ended, or `abandon` is called.

        Shielded: when the block around is cancelled, goodbyes are still to be carried.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_alive)
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
                data = await self._stream.receive_some(READ_SIZE)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            self._act(self._protocol.receive(bytes(data), trio.current_time()))
            await self.gate.wait()

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
                await self._send(chunk)
            if not self._protocol.is_congested:
                self._room_to_send.unpark_all()

    async def _send(self, chunk: bytes) -> None:
        if self._pulse is None:
            await self._stream.send_all(chunk)
            return
        try:
            if rest := self._pulse.begin():
                await self._stream.send_all(rest)
            await self._stream.send_all(chunk)
        finally:
            self._pulse.end()

    @trio.lowlevel.enable_ki_protection
    async def _keep_alive(self) -> None:
        """Watch the deadlines, with somebody who sends heartbeats when we cannot."""
        await self._handshake_over.wait()
        interval = self._protocol.heartbeat_seconds
        self._pulse = Pulse.beside(self._stream, interval)
        with self._pulse or nullcontext():
            await self._watch_deadlines()

    async def _watch_deadlines(self) -> None:
        while True:
            deadline = self._protocol.next_deadline()
            await trio.sleep_until(deadline)
            now = trio.current_time()
            if self.gate.is_waiting or now > deadline + STALL_SECONDS:
                self._protocol.excuse_silence(now)
            self._act(self._protocol.on_deadline(now))

    def _act(self, events: list[Event]) -> None:
        for event in events:
            if type(event) is Delivered:
                self._channels[event.channel].on_delivered(event)
                continue
            handler = _HANDLERS.get(type(event))
            if handler is None:
                channel_event: ChannelEvent = event  # type: ignore[assignment]
                self._channels[channel_event.channel].on_event(channel_event)
            else:
                handler(self, event)
        self.flush()

    def _on_opened(self, event: ConnectionOpened) -> None:
        self.server_properties = event.server_properties
        self._opened.put(None)
        self._handshake_over.set()

    def _on_blocked(self, event: Blocked) -> None:
        self.blocked_reason = event.reason

    def _on_unblocked(self, _: Unblocked) -> None:
        self.blocked_reason = None

    def _on_ended(self, event: ConnectionEnded) -> None:
        self._opened.fail(event.error or ChannelClosed("the connection was closed"))
        self._ended.set()
        self._room_to_send.unpark_all()
        self.gate.open()


_HANDLERS: Final[dict[type[Event], Callable[[Link, Any], None]]] = {
    ConnectionOpened: Link._on_opened,
    Blocked: Link._on_blocked,
    Unblocked: Link._on_unblocked,
    ConnectionEnded: Link._on_ended,
}
"""Event -> what to do. All others are a channel's."""


@asynccontextmanager
async def connect_over(
    stream: trio.abc.Stream,
    address: Address,
    *,
    wishes: Wishes | None = None,
    common: Common | None = None,
    timeout_seconds: float = HANDSHAKE_TIMEOUT_SECONDS,
) -> AsyncIterator[Link]:
    """Speak AMQP over a stream that is connected; close it with the block.

    Raises `AMQPError` when the server refuses, and `ConnectionLost`.
    """
    now = trio.current_time()
    protocol = ClientConnection(address, nonce=uuid4().hex, now=now, wishes=wishes)
    link = Link(stream, protocol, common or Common())
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            try:
                await _wait_handshake(link, timeout_seconds)
                yield link
            except BaseException as error:  # noqa: BLE001 - raised below
                failure = error  # there, it is not wrapped into the nursery's group
            with closing_scope():
                await link.aclose()
            link.abandon()
    finally:
        await trio.aclose_forcefully(stream)
    if failure is not None:
        raise failure


async def _wait_handshake(link: Link, timeout_seconds: float) -> None:
    with trio.move_on_after(timeout_seconds) as scope:
        await link.wait_opened()
    if scope.cancelled_caught:
        raise ConnectionLost(
            f"the server did not finish the handshake in {timeout_seconds:g} s"
        )

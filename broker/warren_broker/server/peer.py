"""Peer: moves bytes between one transport and its sans-IO connection.

Two tasks. The reader gives the connection what arrived and pauses while it must not
take more: its turn's budget is spent, an alarm throttles it, or its own replies are not
being read. The writer empties the outbox; it also notices the end, because closing an
outbox makes it dirty. A peer ends

* when its outbox is closed and empty: the usual end. The write side is shut and the
  read side drained for a moment, since closing a socket with unread bytes sends an RST,
  and an RST makes the other side drop the last frames it was sent;
* when the transport breaks or takes nothing for a while: an RST, nothing lingers;
* when the connection raises: a bug. It passes through `run` to the caller.

Whatever the end, the connection is told once, with `receive(b"")`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol, final

import trio
from trio.lowlevel import checkpoint

from warren.wire.outbox import HIGH_WATER, LOW_WATER
from warren_broker.server.read_size import SIZE_RESTING, ReadSize
from warren_broker.server.relay import Sender
from warren_broker.server.wakeup import Wakeup

if TYPE_CHECKING:
    from warren.wire.outbox import Outbox
    from warren_broker.server.doorway import Newcomer
    from warren_broker.server.memory_alarm import MemoryAlarm
    from warren_broker.server.relay import Relay
    from warren_broker.server.transport import Transport

WRITE_SIZE: Final = 256 * 1024
"""Bytes for one send."""

REPLIES_MAX: Final = 4 * HIGH_WATER
"""Bytes: deliveries stop at the high mark, replies do not. Over this, nothing more is
read until the peer reads."""

LINGER_SECONDS: Final = 1.0


class Connection(Protocol):
    """What a peer knows of its connection; any protocol can stand behind it.

    `now` is in seconds of trio's clock. The connection was given the outbox when it was
    made, writes to it, and closes it when nothing more is to be sent.

    Attributes:
        is_kept_waiting: the peer does not read now, whatever `throttled` says.
    """

    is_kept_waiting: bool

    @property
    def closed(self) -> bool:
        """Nothing the peer sends matters any more."""

    @property
    def is_known(self) -> bool:
        """The peer has logged in."""

    @property
    def is_publisher(self) -> bool:
        """It has published something."""

    @property
    def throttled(self) -> bool:
        """Do not read now. Its outbox is put on the dirty list when that changes."""

    def receive(self, data: bytes, now: float) -> bool:
        """Take bytes, b"" for the end; True if work is left for `resume`."""

    def resume(self, now: float) -> bool:
        """Go on with what is left; True if there is still more."""

    def on_drained(self, now: float) -> None:
        """The outbox has come down to its low mark."""

    def shutdown(self, now: float) -> None:
        """Tell the peer that the server stops."""


class End(Enum):
    """How a peer ended."""

    FLUSHED = auto()
    """All was sent and the outbox closed."""
    BROKEN = auto()
    """The transport broke."""
    STALLED = auto()
    """The other side took nothing for too long."""


@final
class Peer(Sender):
    """One connected client. Call `run` once; it returns when the client is gone."""

    __slots__ = (
        "_alarm",
        "_connection",
        "_is_ended",
        "_newcomer",
        "_outbox",
        "_read_size",
        "_reader",
        "_relay",
        "_transport",
        "_writer",
    )

    def __init__(
        self,
        connection: Connection,
        outbox: Outbox,
        transport: Transport,
        relay: Relay,
        alarm: MemoryAlarm,
        newcomer: Newcomer | None = None,
    ) -> None:
        """`newcomer` leaves the doorway in the turn that makes its peer known."""
        self._connection: Connection = connection
        self._outbox: Outbox = outbox
        self._transport: Transport = transport
        self._relay: Relay = relay
        self._alarm: MemoryAlarm = alarm
        self._newcomer: Newcomer | None = newcomer
        self._read_size: ReadSize = ReadSize()
        self._reader: Wakeup = Wakeup()
        self._writer: Wakeup = Wakeup()
        self._is_ended: bool = False

    def wake(self) -> None:
        self._writer.set()
        self._reader.set()

    def shutdown(self) -> None:
        """Take the turn in which the connection says goodbye."""
        self._connection.shutdown(trio.current_time())
        self._relay.run()

    async def run(self) -> End:
        """Serve until the end, then close the transport.

        Raises what the connection raises, in an exception group.
        """
        end = End.BROKEN
        self._relay.add(self._outbox, self)
        self.wake()  # the connection may have spoken before it had a peer
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_loop)
                end = await self._write_loop()
                nursery.cancel_scope.cancel()
            if end is End.FLUSHED:
                await self._linger()
        except BaseException:
            end = End.BROKEN
            raise
        finally:
            await self._close(reset=end is not End.FLUSHED)
        return end

    # -- reading

    async def _read_loop(self) -> None:
        connection = self._connection
        while not (connection.closed or self._is_ended):
            data = await self._receive()
            self._read_size.observe(len(data))
            self._alarm.received(len(data))
            self._is_ended = not data
            is_busy = connection.receive(data, trio.current_time())
            self._relay.run()
            if self._newcomer is not None and connection.is_known:
                self._newcomer.leave()
                self._newcomer = None
            while is_busy:
                await checkpoint()
                await self._wait_unthrottled()
                is_busy = connection.resume(trio.current_time())
                self._relay.run()
            await self._wait_unthrottled()
        self._close_outbox()

    async def _receive(self) -> bytes:
        try:
            return await self._transport.receive(self._read_size.bytes)
        except trio.BrokenResourceError:
            return b""

    async def _wait_replies_read(self) -> None:
        if self._outbox.size > REPLIES_MAX:
            while self._outbox.size > HIGH_WATER:
                await self._reader.wait()

    async def _wait_unthrottled(self) -> None:
        await self._wait_replies_read()
        if self._connection.is_publisher and self._relay.is_far_behind:
            await self._wait_caught_up()
        while self._connection.throttled and not self._connection.closed:
            await self._reader.wait()

    async def _wait_caught_up(self) -> None:
        """Let no publisher add to what the disk is behind with."""
        connection = self._connection
        while connection.is_publisher and self._relay.is_far_behind:
            connection.is_kept_waiting = True
            await self._relay.wait_written()
        connection.is_kept_waiting = False

    # -- writing

    async def _write_loop(self) -> End:
        """Send until the outbox is closed and empty, or cannot be emptied."""
        outbox = self._outbox
        try:
            while outbox.size or not outbox.closed:
                await self._writer.wait()
                while outbox.size:
                    await self._send_some()
        except trio.BrokenResourceError:
            return End.BROKEN
        except trio.TooSlowError:
            return End.STALLED
        return End.FLUSHED

    async def _send_some(self) -> None:
        outbox = self._outbox
        was_above = outbox.size > LOW_WATER
        await self._transport.send(outbox.take(WRITE_SIZE))
        if was_above and outbox.size <= LOW_WATER:
            self._connection.on_drained(trio.current_time())
            self._relay.run()
            # It may have refilled the outbox: a quick peer must not hold the loop.
            await checkpoint()
        if was_above and outbox.size <= HIGH_WATER:
            self._reader.set()

    # -- ending

    async def _close(self, *, reset: bool) -> None:
        try:
            self._tell_end()
        finally:
            self._relay.remove(self._outbox)
            with trio.CancelScope(shield=True):
                await self._transport.aclose(reset=reset)

    def _tell_end(self) -> None:
        """Tell the connection that its peer is gone, if it does not know yet."""
        if not (self._is_ended or self._connection.closed):
            self._is_ended = True
            now = trio.current_time()
            is_busy = self._connection.receive(b"", now)
            while is_busy:
                is_busy = self._connection.resume(now)
        self._close_outbox()

    def _close_outbox(self) -> None:
        self._outbox.close()
        self._relay.run()

    async def _linger(self) -> None:
        """Let the peer read its last frames before the socket is closed."""
        if self._is_ended:
            return
        with trio.move_on_after(LINGER_SECONDS):
            try:
                await self._transport.send_eof()
                while await self._transport.receive(SIZE_RESTING):
                    pass
            except trio.BrokenResourceError:
                return

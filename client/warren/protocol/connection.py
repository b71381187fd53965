"""ClientConnection: one connection to an AMQP 0-9-1 server, without the socket.

Whoever carries it::

    connection = ClientConnection(address, nonce=..., now=...)
    send        connection.data_to_send(now)        after each call below
    receive     connection.receive(data, now)       b"" is the end of the stream
    wait until  connection.next_deadline(), then connection.on_deadline(now)
    stop when   connection.is_over and nothing is left to send

The handshake runs by itself; `ConnectionOpened` tells its end. Errors of the server's
making do not raise here: they close the connection and are told by `ConnectionEnded`.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final, final

from warren.errors import (
    AMQPError,
    ChannelNotOpen,
    CommandInvalid,
    FrameError,
    NotAllowed,
    ReplyCode,
    WarrenError,
    error_for,
)
from warren.protocol.channel import ClientChannel
from warren.protocol.deliveries import DELIVER_PREFIX, DeliverReader
from warren.protocol.events import (
    Blocked,
    ConnectionEnded,
    ConnectionOpened,
    Unblocked,
)
from warren.protocol.failures import ChannelClosed, ConnectionLost, again
from warren.protocol.handshake import (
    CHANNEL_MAX_DEFAULT,
    Limits,
    Wishes,
    agree,
    answer_start,
    answer_tune,
)
from warren.protocol.heartbeat import Heartbeat
from warren.protocol.states import (
    CONNECTION_RECEIVED,
    CONNECTION_WHEN_CLOSING,
    ChannelState,
    ConnectionState,
    following,
)
from warren.protocol.writer import FrameWriter
from warren.wire.constants import (
    FRAME_BODY,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    HEARTBEAT,
    PROTOCOL_HEADER,
)
from warren.wire.frames import read_frame
from warren.wire.methods import (
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionTune,
    ConnectionUnblocked,
    decode_method,
)
from warren.wire.outbox import Outbox
from warren.wire.splitter import Splitter

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren.protocol.events import Event
    from warren.wire.methods import Method
    from warren.wire.table import Table
    from warren.wire.uri import Address

HANDSHAKE_FRAME_SIZE_MAX: Final = 131_072
"""Bytes: a server's first frame is not agreed on yet, and may list much of itself."""

SEND_SIZE: Final = 256 * 1024
"""Bytes: about what one `data_to_send` gives."""


@final
class ClientConnection:
    """The client's side of one connection, from its first byte to its last.

    `nonce` is what no other connection has: message ids are made of it. `now` is the
    present of the monotonic clock that all other calls use too, in seconds.
    """

    def __init__(
        self,
        address: Address,
        *,
        nonce: str,
        now: float,
        wishes: Wishes | None = None,
    ) -> None:
        self.state: ConnectionState = ConnectionState.GREETING
        self.error: WarrenError | None = None
        self._address: Address = address
        self._wishes: Wishes = Wishes.of(address) if wishes is None else wishes
        self._channels: dict[int, ClientChannel] = {}
        self._events: list[Event] = []
        self._heartbeat: Heartbeat = Heartbeat()
        self._limits: Limits = Limits(CHANNEL_MAX_DEFAULT, HANDSHAKE_FRAME_SIZE_MAX, 0)
        self._message_ids = (f"{nonce}-{number}" for number in count(1))
        self._now: float = now
        self._server_properties: Table = {}
        self._splitter: Splitter = Splitter()
        self._dirty: list[Outbox] = []
        self._acking: list[ClientChannel] = []  # those that have acks to send
        self._deliveries: DeliverReader = DeliverReader()
        self._outbox: Outbox = Outbox(self._dirty)
        self._writer: FrameWriter = FrameWriter(self._outbox)
        self._outbox.write(PROTOCOL_HEADER)

    # --- for the carrier

    @property
    def is_over(self) -> bool:
        """No more events come. What is left to send should still be sent."""
        return self.state is ConnectionState.CLOSED

    @property
    def heartbeat_seconds(self) -> int:
        """The interval that was agreed on; 0 is none."""
        return self._limits.heartbeat_seconds

    @property
    def is_congested(self) -> bool:
        """So much waits to be sent that publishing should pause."""
        return self._outbox.is_congested

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would give something."""
        return self._outbox.size > 0 or bool(self._acking)

    def data_to_send(self, now: float) -> list[bytes]:
        """Take chunks to send, in order; call again until there are none."""
        self._dirty.clear()  # there is one outbox, and its owner is here already
        for channel in self._acking:
            channel.write_acks()
        self._acking.clear()
        chunks = self._outbox.take(SEND_SIZE)
        if chunks:
            self._heartbeat.sent_at = now
        return chunks

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take what the server sent, in any cuts; return what happened."""
        self._now = now
        self._heartbeat.heard_at = now
        if not data:
            self._on_end_of_stream()
        elif not self.is_over:
            try:
                self._read_frames(self._splitter.join(data))
            except AMQPError as error:
                self._fail(error)
        return self._take_events()

    def next_deadline(self) -> float:
        """Return when to call `on_deadline`: infinite when there is no need to."""
        return self._heartbeat.next_deadline()

    def on_deadline(self, now: float) -> list[Event]:
        """Send a heartbeat if one is due; give up a server that has fallen silent."""
        if self._heartbeat.is_lost(now):
            silence = now - self._heartbeat.heard_at
            self._end(ConnectionLost(f"server silent for {silence:.0f} s"))
        elif self._heartbeat.is_due(now):
            self._outbox.write(HEARTBEAT)
            self._heartbeat.sent_at = now
        return self._take_events()

    def excuse_silence(self, now: float) -> None:
        """Tell that this side has not been reading: it cannot know who is silent."""
        self._heartbeat.heard_at = now

    # --- for the user

    def open_channel(self) -> ClientChannel:
        """Open a channel on the lowest free number.

        Raises the error that ended the connection, or `ChannelClosed` if this side
        closed it; `NotAllowed` when all numbers are taken.
        """
        if self.state is not ConnectionState.OPEN:
            raise again(self.error or ChannelClosed("the connection is not open"))
        number = self._free_number()
        channel = ClientChannel(
            number, self._writer, self._events, self._message_ids, self._acking
        )
        self._channels[number] = channel
        return channel

    def close(self) -> list[Event]:
        """Say goodbye, or hang up if the handshake is not over.

        `ConnectionEnded` is among the events, or follows when the server has answered.
        """
        before = self.state
        self.state = CONNECTION_WHEN_CLOSING[before]
        if before is ConnectionState.OPEN:
            self._write_close(ReplyCode.REPLY_SUCCESS, "")
        elif before is not self.state:
            self._end(None)
        return self._take_events()

    def _free_number(self) -> int:
        highest = self._limits.channel_max
        if len(self._channels) >= highest:
            raise NotAllowed(f"all {highest} channels are open")
        return next(n for n in count(1) if n not in self._channels)

    # --- reading

    def _read_frames(self, data: bytes) -> None:
        if self.state is ConnectionState.GREETING and data.startswith(b"A"):
            raise FrameError(f"server answered {data[:8]!r}: it speaks no AMQP 0-9-1")
        position = 0
        frame_size_max = self._limits.frame_size_max
        while not self.is_over:
            found = read_frame(data, position, frame_size_max)
            if found is None:
                break
            (kind, channel, payload), position = found
            if channel:
                self._on_channel_frame(kind, channel, payload)
            else:
                self._on_frame(kind, payload)
                frame_size_max = self._limits.frame_size_max
        self._splitter.keep(data, position)

    def _on_frame(self, kind: int, payload: bytes) -> None:
        if kind == FRAME_METHOD:
            self._on_method(decode_method(payload))
        elif kind == FRAME_HEARTBEAT:
            return
        elif self.state is not ConnectionState.CLOSING:
            raise CommandInvalid("content on channel 0")

    def _on_channel_frame(self, kind: int, number: int, payload: bytes) -> None:
        if self.state is ConnectionState.CLOSING:
            return  # sent before the server had read our close
        channel = self._channels.get(number)
        if channel is None:
            raise ChannelNotOpen(f"frame on channel {number}, which is not open")
        if kind == FRAME_BODY:
            channel.on_body(payload)
        elif kind == FRAME_HEADER:
            channel.on_header(payload)
        elif payload.startswith(DELIVER_PREFIX):
            channel.on_deliver(self._deliveries.decode(payload))
        else:
            channel.on_method(decode_method(payload))
            if channel.state is ChannelState.CLOSED:
                del self._channels[number]

    def _on_method(self, method: Method) -> None:
        """Act on a method of channel 0."""
        before = self.state
        self.state = following(CONNECTION_RECEIVED, before, method)
        handler = _HANDLERS.get((before, type(method)))
        if handler is not None:
            handler(self, method)
        elif before is not ConnectionState.CLOSING:
            raise CommandInvalid(f"{method.name} while {before.name.lower()}")

    # --- handlers of channel 0

    def _on_start(self, start: ConnectionStart) -> None:
        self._server_properties = start.server_properties
        answer = answer_start(start, self._address, self._wishes)
        self._writer.write_method(0, answer)

    def _on_tune(self, tune: ConnectionTune) -> None:
        """The answer and the next request leave together."""
        self._limits = agree(tune, self._wishes)
        self._writer.frame_size_max = self._limits.frame_size_max
        self._heartbeat.start(self._limits.heartbeat_seconds, self._now)
        self._writer.write_method(0, answer_tune(self._limits))
        self._writer.write_method(0, ConnectionOpen(virtual_host=self._address.vhost))

    def _on_open_ok(self, _: ConnectionOpenOk) -> None:
        self._events.append(ConnectionOpened(self._server_properties))

    def _on_close(self, close: ConnectionClose) -> None:
        self._writer.write_method(0, ConnectionCloseOk())
        self._end(error_for(close.reply_code, close.reply_text))

    def _on_close_ok(self, _: ConnectionCloseOk) -> None:
        self._end(None)

    def _on_crossed_close(self, _: ConnectionClose) -> None:
        """Both said goodbye at once: ours came first, as far as we are concerned."""
        self._writer.write_method(0, ConnectionCloseOk())
        self._end(None)

    def _on_blocked(self, blocked: ConnectionBlocked) -> None:
        self._events.append(Blocked(blocked.reason))

    def _on_unblocked(self, _: ConnectionUnblocked) -> None:
        self._events.append(Unblocked())

    # --- endings

    def _fail(self, error: AMQPError) -> None:
        """The server broke the protocol: tell it, and take nothing more from it."""
        if self.state is ConnectionState.OPEN:
            self._write_close(error.code, error.reply_text)
        self._end(error)

    def _on_end_of_stream(self) -> None:
        if self.state is ConnectionState.CLOSING:
            self._end(None)
        else:
            self._end(ConnectionLost(_LOST_TEXTS[self.state]))

    def _write_close(self, code: int, text: str) -> None:
        self._writer.write_method(0, ConnectionClose(reply_code=code, reply_text=text))

    def _end(self, error: WarrenError | None) -> None:
        """All is over: tell it once, the channels first."""
        if self._outbox.closed:
            return
        self.state = ConnectionState.CLOSED
        self.error = error
        for channel in self._channels.values():
            channel.end(error)
        self._channels.clear()
        self._events.append(ConnectionEnded(error))
        self._heartbeat.start(0, self._now)
        self._outbox.close()

    def _take_events(self) -> list[Event]:
        events = self._events.copy()
        self._events.clear()  # the channels hold the same list
        return events


_LOST_TEXTS: Final = {
    ConnectionState.GREETING: "the server closed the connection without a greeting",
    ConnectionState.AUTHENTICATING: (
        "the server closed the connection during login: probably it was refused"
    ),
    ConnectionState.OPENING: (
        "the server closed the connection while opening the virtual host:"
        " probably access to it was refused"
    ),
    ConnectionState.OPEN: "the server closed the connection without a word",
    ConnectionState.CLOSED: "",  # told already
}

_HANDLERS: Final[
    dict[tuple[ConnectionState, type[Method]], Callable[[ClientConnection, Any], None]]
] = {
    (ConnectionState.GREETING, ConnectionStart): ClientConnection._on_start,
    (ConnectionState.AUTHENTICATING, ConnectionTune): ClientConnection._on_tune,
    (ConnectionState.OPENING, ConnectionOpenOk): ClientConnection._on_open_ok,
    (ConnectionState.GREETING, ConnectionClose): ClientConnection._on_close,
    (ConnectionState.AUTHENTICATING, ConnectionClose): ClientConnection._on_close,
    (ConnectionState.OPENING, ConnectionClose): ClientConnection._on_close,
    (ConnectionState.OPEN, ConnectionClose): ClientConnection._on_close,
    (ConnectionState.OPEN, ConnectionBlocked): ClientConnection._on_blocked,
    (ConnectionState.OPEN, ConnectionUnblocked): ClientConnection._on_unblocked,
    (ConnectionState.CLOSING, ConnectionClose): ClientConnection._on_crossed_close,
    (ConnectionState.CLOSING, ConnectionCloseOk): ClientConnection._on_close_ok,
}
"""State and method of channel 0 -> what to do. Each state change has a line here."""

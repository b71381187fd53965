"""FrameReader: bytes in any cuts become frames for what stands behind their channel.

The hot loop is `read`: one call a batch of input, one pass a frame, no object a frame.
Its plain twin is `warren.wire.frames.parse_frames`: both must find the same frames and
raise the same errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren.errors import AMQPError, ChannelNotOpen, NotAllowed, UnexpectedFrame
from warren.wire.constants import (
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEADER_SIZE,
    FRAME_METHOD,
    PROTOCOL_HEADER,
    PROTOCOL_HEADER_ALTERNATE,
)
from warren.wire.faults import frame_too_large, wrong_frame_end
from warren.wire.frames import FRAME_PREFIX, check_frame
from warren.wire.large_frame import LargeFrame, is_large
from warren.wire.methods import (
    BasicAck,
    BasicNack,
    BasicReject,
    ChannelOpen,
    ChannelOpenOk,
)
from warren.wire.splitter import Splitter
from warren_broker.amqp.ack_run import take_acks
from warren_broker.amqp.channel import ServerChannel
from warren_broker.amqp.handshake import PROTOCOL_HEADER_SEEN, TRANSITIONS, State, start

if TYPE_CHECKING:
    from warren_broker.amqp.connection import ServerConnection

WORK_PER_TURN: Final = 2000
"""Deliveries that one turn's publishes may cause before others have theirs."""

_NO_CHANNEL: Final = -1  # whose frame it was means nothing: the frame is wrong
_SETTLING: Final = frozenset({BasicAck.index, BasicNack.index, BasicReject.index})


@final
class FrameReader:
    """Reads for one connection.

    Attributes:
        payload_max: bytes that a frame's payload may have.
        is_deaf: nothing more is read; what comes is thrown away.
    """

    __slots__ = (
        "_large",
        "_rest",
        "_splitter",
        "_used_numbers",
        "is_deaf",
        "payload_max",
    )

    def __init__(self, payload_max: int) -> None:
        self._splitter = Splitter()
        self._large: LargeFrame | None = None
        self._rest = b""
        self._used_numbers: set[int] = set()
        self.payload_max = payload_max
        self.is_deaf = False

    def receive(self, connection: ServerConnection, data: bytes) -> bool:
        """Act on what arrived; True if the turn's share of work was spent before."""
        if self.is_deaf:
            return False
        if connection.state is State.WAITING_HEADER:
            data = self._take_protocol_header(connection, data)
        if self._large is not None:
            position = self._large.add(data)
            if not position:
                return False
            large, self._large = self._large, None
            self._take_large(connection, large)
            return self._read(connection, data, position)
        data = self._splitter.join(data)
        return self._read(connection, data) if data else False

    def resume(self, connection: ServerConnection) -> bool:
        """Go on with what an earlier call left; True if there is still more."""
        rest, self._rest = self._rest, b""
        return self._read(connection, rest)

    # hot loop: may be up to 80 lines
    def _read(  # noqa: C901 - one branch a kind of frame
        self, connection: ServerConnection, data: bytes, position: int = 0
    ) -> bool:
        """Act on every whole frame; keep the rest. True if the turn's share is spent.

        An error ends one channel or the connection, never the loop's caller.
        """
        channels, broker = connection.channels, connection.broker
        cache = connection.cache
        work_until = broker.work + WORK_PER_TURN
        stop = number = 0
        end = len(data)
        try:
            position = take_acks(connection, data, position, work_until)
        except Exception as bug:  # noqa: BLE001 - it must stay with this client
            connection.on_bug(bug)
        while end - position >= FRAME_HEADER_SIZE and not self.is_deaf:
            try:
                lane = cache.lane
                if lane is not None and data.startswith(lane.prefix, position):
                    number, stop = lane.number, position + lane.size - 1
                    if stop < end and data[stop] == FRAME_END and lane.is_free:
                        body = data[position + lane.body_at : stop]
                        lane.channel.publish(lane.publication, lane.header, body)
                        position = stop + 1
                        if broker.work > work_until:
                            break
                        continue
                kind, number, size = FRAME_PREFIX.unpack_from(data, position)
                start = position + FRAME_HEADER_SIZE
                stop = start + size
                if size > self.payload_max:
                    number = _NO_CHANNEL
                    raise frame_too_large(kind, size, self.payload_max)
                if stop >= end:
                    break  # not whole yet
                payload = data[start:stop]
                if data[stop] != FRAME_END:
                    number = _NO_CHANNEL
                    raise wrong_frame_end(kind, payload, data[stop])
                channel = channels.get(number)
                if channel is None:
                    self._on_unopened(connection, kind, number, payload)
                elif kind == FRAME_METHOD:
                    channel.on_method(payload)
                elif kind == FRAME_BODY:
                    channel.on_body(payload)
                elif kind == FRAME_HEADER:
                    channel.on_header(payload)
                else:
                    sender, number = number, _NO_CHANNEL
                    check_frame(kind, sender, payload)
            except AMQPError as error:
                connection.fail(number, error)
            except Exception as bug:  # noqa: BLE001 - it must stay with this client
                connection.on_bug(bug)
            position = stop + 1
            if broker.work > work_until:
                break
        connection.promises.flush_confirms()
        if self.is_deaf:
            return False
        if broker.work > work_until and position < end:
            self._rest = data[position:]
            return True
        if is_large(data, position):
            self._large = LargeFrame(data, position)
        else:
            self._splitter.keep(data, position)
        return False

    def _take_large(self, connection: ServerConnection, large: LargeFrame) -> None:
        """Act on a large frame, as `_read` does on a frame."""
        kind, number, payload = large.kind, large.channel, large.payload
        try:
            if large.end != FRAME_END:
                number = _NO_CHANNEL
                raise wrong_frame_end(kind, payload, large.end)
            channel = connection.channels.get(number)
            if channel is None:
                self._on_unopened(connection, kind, number, payload)
            elif kind == FRAME_BODY:
                channel.on_body(payload)
            elif kind == FRAME_METHOD:
                channel.on_method(payload)
            elif kind == FRAME_HEADER:
                channel.on_header(payload)
            else:
                sender, number = number, _NO_CHANNEL
                check_frame(kind, sender, payload)
        except AMQPError as error:
            connection.fail(number, error)
        except Exception as bug:  # noqa: BLE001 - it must stay with this client
            connection.on_bug(bug)

    def _take_protocol_header(self, connection: ServerConnection, data: bytes) -> bytes:
        """Take the first eight bytes; return what follows, b"" if they are not all."""
        data, self._rest = self._rest + data, b""
        size = len(PROTOCOL_HEADER)
        head = data[:size]
        if head in (PROTOCOL_HEADER, PROTOCOL_HEADER_ALTERNATE):
            connection.state = TRANSITIONS[connection.state, PROTOCOL_HEADER_SEEN]
            start(connection)
            return data[size:]
        if len(head) == size or not PROTOCOL_HEADER.startswith(head[:4]):
            connection.broker.notice(
                "not AMQP", peer=connection.peer.address, bytes=head
            )
            connection.outbox.write(PROTOCOL_HEADER)  # specification, section 4.2.2
            connection.end()
        else:
            self._rest = data
        return b""

    def _on_unopened(
        self, connection: ServerConnection, kind: int, number: int, payload: bytes
    ) -> None:
        """Act on a frame of a channel that is not open: only to open it is right."""
        check_frame(kind, number, payload)
        state = connection.state
        if state is State.CLOSING:
            return
        if state is not State.OPEN:
            raise UnexpectedFrame("expected a method of class connection")
        index = int.from_bytes(payload[:4], "big")
        if kind == FRAME_METHOD and index == ChannelOpen.index:
            ChannelOpen.decode(payload)
            self._open_channel(connection, number)
        elif (
            kind != FRAME_METHOD
            or index not in _SETTLING
            or number not in self._used_numbers
        ):
            raise ChannelNotOpen("expected 'channel.open'")

    def _open_channel(self, connection: ServerConnection, number: int) -> None:
        limit, count = connection.channel_max, len(connection.channels) - 1
        if count >= limit:
            raise NotAllowed(
                f"number of channels opened ({count}) has reached"
                f" the negotiated channel_max ({limit})"
            )
        self._used_numbers.add(number)
        connection.channels[number] = ServerChannel(connection, number)
        connection.send(number, ChannelOpenOk())

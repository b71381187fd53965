"""ServerConnection: one client, sans-IO. Bytes in by `receive`, out by the outbox.

It holds what belongs to the connection as a whole; frames come from `reader`, methods
go to `channel` and `control`. Errors become close methods in `fail`, and nowhere else.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final, final

from warren.errors import (
    AccessRefused,
    AMQPError,
    ChannelError,
    ConnectionForced,
    FrameError,
    InternalError,
    NotAllowed,
)
from warren.wire.constants import HEARTBEAT
from warren.wire.frames import encode_method
from warren.wire.methods import ConnectionOpen
from warren_broker.amqp.blocking import admits, end_block, set_block
from warren_broker.amqp.channel import ClosingChannel, FrameTaker, ServerChannel
from warren_broker.amqp.client_info import ClientInfo
from warren_broker.amqp.control import Control
from warren_broker.amqp.farewell import shut_down
from warren_broker.amqp.faults import channel_close, connection_close
from warren_broker.amqp.handshake import State
from warren_broker.amqp.promises import SafeOutput
from warren_broker.amqp.publish import PublishCache
from warren_broker.amqp.reader import FrameReader
from warren_broker.core.alarms import AlarmListener
from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.queue import resume_all
from warren_broker.core.session import Session
from warren_broker.core.sessions import SessionHolder

if TYPE_CHECKING:
    from warren.wire.methods import Method
    from warren.wire.outbox import Outbox
    from warren_broker.amqp.blocking import PublishBlock
    from warren_broker.amqp.peer_info import PeerInfo
    from warren_broker.core.access import User
    from warren_broker.core.broker import Broker
    from warren_broker.core.queue import Consumer
    from warren_broker.core.vhost import VHost

CLOSE_WAIT_SECONDS: Final = 5.0
"""How long a client has for close-ok, and how long what it still sends is read."""

HANDSHAKE_STATES: Final = frozenset(
    {State.WAITING_HEADER, State.STARTING, State.TUNING, State.OPENING}
)


@final
class ServerConnection(DeadlineOwner, AlarmListener, SessionHolder):
    """A connection as the server sees it.

    Attributes:
        state: changed by the table in `handshake` and, for errors, here.
        method_index: the method of channel 0 in hand, for the close method.
        heard_at: when the peer last sent anything, in monotonic seconds.
        inflight_bytes: bytes of bodies that are not whole yet.
        is_congested: the client reads too slowly; its consumers get nothing.
        is_publisher: it has published, so alarms concern it; not while `block` refuses.
        is_kept_waiting: it is not read since the disk is behind.
        block: set while an alarm holds it up.
        promises: what it may send once the store has made it safe.
    """

    __slots__ = (
        "_ends_at",
        "_failing",
        "_first",
        "_heartbeat_seconds",
        "_is_entered",
        "_reader",
        "block",
        "broker",
        "cache",
        "channel_max",
        "channels",
        "client",
        "consumer_count",
        "frame_size_max",
        "heard_at",
        "inflight_bytes",
        "is_congested",
        "is_kept_waiting",
        "is_publisher",
        "method_index",
        "outbox",
        "peer",
        "promises",
        "session",
        "state",
        "user",
    )

    session: Session
    user: User

    def __init__(self, broker: Broker, outbox: Outbox, peer: PeerInfo) -> None:
        limits = broker.limits
        self.broker = broker
        self.outbox = outbox
        self.peer = peer
        self.state = State.WAITING_HEADER
        self.cache = PublishCache(limits.message_size_max_bytes)
        self.channels: dict[int, FrameTaker] = {0: Control(self)}
        self.client = ClientInfo()
        self.channel_max = limits.channel_max
        self.frame_size_max = limits.frame_size_max
        self.consumer_count = 0
        self.inflight_bytes = 0
        self.is_congested = False
        self.is_publisher = False
        self.is_kept_waiting = False
        self.block: PublishBlock | None = None
        self.promises = SafeOutput(broker, outbox)
        self.method_index = 0
        self._reader = FrameReader(limits.frame_size_unauthenticated_max)
        self._is_entered = False
        self._failing: dict[ServerChannel, ChannelError] = {}
        self._first = 0  # of the consumers, when they are resumed
        self._heartbeat_seconds = 0
        self.heard_at = broker.now
        self._ends_at: float | None = broker.now + limits.handshake_seconds
        broker.deadlines.set(self, self._ends_at)

    @property
    def is_known(self) -> bool:
        """Whether the peer has logged in and entered a virtual host."""
        return self.state is State.OPEN

    @property
    def closed(self) -> bool:
        """Whether nothing that the peer sends matters any more."""
        return self.state is State.CLOSED

    @property
    def throttled(self) -> bool:
        """Do not read now: an alarm is on, or an answer waits for the store."""
        is_blocked = self.block is not None and self.block.stops_reading
        return is_blocked or self.promises.is_holding

    # Turns

    def receive(self, data: bytes, now: float) -> bool:
        """Take what the peer sent, b"" for the end of it, and act on it.

        Return True if work is left that `resume` should do, after others had a turn.
        """
        self.broker.begin_turn(now)
        self.heard_at = now
        if not data:
            self.end()
            return False
        return self._reader.receive(self, data)

    def resume(self, now: float) -> bool:
        """Go on with the input of an earlier `receive`; True if more is left."""
        self.broker.begin_turn(now)
        return self._reader.resume(self)

    def on_drained(self, now: float) -> None:
        """The outbox is down to its low mark: let consumers have entries again."""
        self.broker.begin_turn(now)
        if self.is_congested and self.outbox.is_drained:
            self.is_congested = False
            self._set_paused()

    def shutdown(self, now: float) -> None:
        """The server stops: tell the client, or just go if it is no client yet."""
        self.broker.begin_turn(now)
        if self.state is State.OPEN:
            shut_down(self)
        elif self.state in HANDSHAKE_STATES:
            self.end()

    # The handshake's results

    def tune(self, channel_max: int, frame_size_max: int, heartbeat: int) -> None:
        """Take the limits that were negotiated; heartbeat in seconds, 0: none."""
        self.channel_max = channel_max
        self.frame_size_max = frame_size_max
        # RabbitMQ allows for clients that forget to count the frame's own 8 bytes.
        self._reader.payload_max = frame_size_max
        self._heartbeat_seconds = heartbeat

    def enter(self, vhost: VHost) -> None:
        """The connection is open: its time to get there no longer runs."""
        self.session = Session(vhost, self.user)
        self.broker.sessions.add(self.session, self)
        self.broker.alarms.add_listener(self)
        self._is_entered = True
        self._ends_at = None
        self._arm()
        self.broker.notice(
            "connection opened",
            peer=self.peer.address,
            user=self.user.name,
            vhost=vhost.name,
            name=self.client.connection_name,
        )

    # Time

    def on_deadline(self, now: float) -> None:
        """End what has taken too long; send a heartbeat; notice that none came."""
        failing, self._failing = self._failing, {}
        for channel, error in failing.items():
            self.close_channel(channel, error, method_index=0)
        if self._ends_at is not None and now >= self._ends_at:
            self.end()
            return
        if self._heartbeat_seconds and self.state is State.OPEN:
            if self.throttled or self.is_kept_waiting:
                self.heard_at = now  # it is we who do not read
            elif now - self.heard_at > 2 * self._heartbeat_seconds:
                self.broker.notice("missed heartbeats", peer=self.peer.address)
                self.end()
                return
            if not self.outbox.size:  # else it hears enough of us
                self.outbox.write(HEARTBEAT)
        self._arm()

    def _arm(self) -> None:
        deadlines, now = self.broker.deadlines, self.broker.now
        if self._failing:
            deadlines.set(self, now)
        elif self._ends_at is not None:
            deadlines.set(self, self._ends_at)
        elif self._heartbeat_seconds:
            deadlines.set(self, now + self._heartbeat_seconds / 2)
        else:
            deadlines.cancel(self)

    # Flow

    def congest(self) -> None:
        """Too much waits to be sent: deliver nothing until it is drained."""
        if not self.is_congested:
            self.is_congested = True
            self._set_paused()

    def _set_paused(self) -> None:
        consumers: list[Consumer] = []
        for channel in self.channels.values():
            if isinstance(channel, ServerChannel):
                consumers += channel.set_paused()
        if consumers:  # each time another one is the first to fill the outbox
            self._first = (self._first + 1) % len(consumers)
            resume_all(consumers[self._first :] + consumers[: self._first])

    def admits(self, channel: ServerChannel, exchange: str) -> bool:
        """Return whether a publish is taken; asked unless it is a publisher."""
        return admits(channel, exchange)

    def on_alarm(self, reason: str | None) -> None:
        """Stop reading from a publisher while a resource is short, and tell it."""
        set_block(self, reason)

    # Sending

    def send(self, channel: int, method: Method) -> None:
        """Send a method."""
        self.outbox.write(encode_method(channel, method))

    # Errors and ends

    def close_channel(
        self, channel: ServerChannel, error: ChannelError, method_index: int
    ) -> None:
        """Close one channel because of `error`; the client answers with close-ok."""
        if self.channels.get(channel.number) is not channel:
            return
        self.channels[channel.number] = ClosingChannel(self, channel.number)
        channel.close()
        self.promises.drop(channel.number)
        self.send(channel.number, channel_close(error, method_index))
        self.broker.notice(
            "channel closed by error",
            peer=self.peer.address,
            channel=channel.number,
            error=error.reply_text,
        )

    def close_later(self, channel: ServerChannel, error: ChannelError) -> None:
        """Close a channel because of `error` in a turn of its own."""
        self._failing.setdefault(channel, error)
        self._arm()

    def on_evicted(self, reason: str) -> None:
        """An operator has deleted the user, or the virtual host."""
        self.close(ConnectionForced(reason))

    def forget_channel(self, number: int) -> None:
        """The number is free again."""
        self.channels.pop(number, None)

    def release(self) -> None:
        """Let go of channels, consumers, unacked entries and exclusive queues."""
        self.congest()  # no channel gets what another one lets go of
        for channel in list(self.channels.values()):
            if isinstance(channel, ServerChannel):
                channel.close()
        self.channels.clear()
        self.promises.close()
        self._failing.clear()
        if self._is_entered:
            self._is_entered = False
            self.session.close()
            self.broker.sessions.remove(self.session)
            self.broker.alarms.remove_listener(self)
            end_block(self)

    def end(self) -> None:
        """It is over: let go of everything; what is in the outbox is still sent."""
        if self.state is State.CLOSED:
            return
        self.release()
        if self.state is State.OPEN:
            self.broker.notice("connection closed", peer=self.peer.address)
        self.state = State.CLOSED
        self._reader.is_deaf = True
        self.broker.deadlines.cancel(self)
        self.outbox.close()

    def fail(self, number: int, error: AMQPError) -> None:
        """Turn `error` into what the peer gets to see of it."""
        channel = self.channels.get(number)
        if self.state in HANDSHAKE_STATES:
            self._refuse(error)
        elif self.state is not State.OPEN:
            self._reader.is_deaf = True
        elif isinstance(channel, ServerChannel):
            if isinstance(error, ChannelError):
                self.close_channel(channel, error, channel.method_index)
            else:
                self.close(error, channel.method_index)
        else:
            self.close(error, self.method_index if not number else 0)

    def _refuse(self, error: AMQPError) -> None:
        """End a handshake: strangers learn nothing, and not at once."""
        self.broker.notice(
            "handshake failed", peer=self.peer.address, error=error.reply_text
        )
        is_login = isinstance(error, AccessRefused)
        is_opening = self.method_index == ConnectionOpen.index
        is_told = isinstance(error, NotAllowed) or (
            self.client.hears_refusal if is_login else is_opening
        )
        if is_told:
            self.send(0, connection_close(error, 0 if is_login else self.method_index))
        self.state = State.CLOSING
        self._reader.is_deaf = not is_told
        delay = self.broker.limits.login_failure_delay_seconds
        self._ends_at = self.broker.now + (CLOSE_WAIT_SECONDS if is_told else delay)
        self._arm()

    def close(
        self, error: AMQPError, method_index: int = 0, wait: float = CLOSE_WAIT_SECONDS
    ) -> None:
        """Send connection.close and wait for close-ok, so many seconds."""
        self.release()
        self.channels[0] = Control(self)
        self.state = State.CLOSING
        self._reader.is_deaf = isinstance(error, FrameError)  # the rest means nothing
        self.send(0, connection_close(error, method_index))
        self._ends_at = self.broker.now + wait
        self._arm()
        self.broker.notice(
            "connection closed by error",
            peer=self.peer.address,
            error=error.reply_text,
        )

    def on_bug(self, bug: Exception) -> None:
        """Contain an error that no peer should be able to cause."""
        if self.broker.raises_bugs:
            raise bug
        self.broker.notice(
            "bug",
            peer=self.peer.address,
            trace="".join(traceback.format_exception(bug)),
        )
        if self.state is State.OPEN:
            self.close(InternalError("unexpected error"))
        else:
            self.end()

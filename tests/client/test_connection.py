"""A connection that is open: heartbeats, faults of the server, and every ending."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.server_side import (
    connecting,
    content,
    handshake,
    header_frame,
    method,
    opened,
    opened_channel,
    sent,
    sent_bytes,
)
from warren.errors import (
    AMQPError,
    ChannelNotOpen,
    CommandInvalid,
    ConnectionForced,
    FrameError,
    NotImplemented_,
    UnexpectedFrame,
)
from warren.protocol.connection import _HANDLERS
from warren.protocol.events import (
    Blocked,
    ChannelEnded,
    ConnectionEnded,
    Unblocked,
)
from warren.protocol.failures import ConnectionLost
from warren.protocol.states import CONNECTION_RECEIVED, ConnectionState
from warren.wire.constants import HEARTBEAT
from warren.wire.methods import (
    BasicDeliver,
    BasicPublish,
    ChannelClose,
    ChannelOpenOk,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpenOk,
    ConnectionUnblocked,
    QueueDeclare,
    QueueDeclareOk,
)
from warren.wire.properties import Properties

SHUTDOWN = ConnectionClose(reply_code=320, reply_text="CONNECTION_FORCED - shutdown")


def test_each_change_of_state_has_a_handler() -> None:
    assert CONNECTION_RECEIVED.keys() <= _HANDLERS.keys()


# --- heartbeats


def test_a_heartbeat_leaves_after_half_the_interval_in_silence() -> None:
    connection = opened(heartbeat=10)
    assert connection.next_deadline() == 5.0
    assert connection.on_deadline(4.9) == []
    assert sent_bytes(connection, 4.9) == b""
    assert connection.on_deadline(5.0) == []
    assert sent_bytes(connection, 5.0) == HEARTBEAT
    assert connection.next_deadline() == 10.0


def test_what_is_sent_puts_the_heartbeat_off() -> None:
    connection = opened(heartbeat=10)
    connection.open_channel()
    sent(connection, 3.0)
    assert connection.next_deadline() == 8.0


def test_a_silent_server_is_given_up_after_two_intervals() -> None:
    connection = opened(heartbeat=10)
    connection.receive(HEARTBEAT, 2.0)
    assert connection.on_deadline(21.9) == []
    [event] = connection.on_deadline(22.0)
    assert isinstance(event, ConnectionEnded)
    assert isinstance(event.error, ConnectionLost)
    assert connection.next_deadline() == inf
    assert connection.on_deadline(100.0) == []


def test_silence_while_nobody_reads_is_excused() -> None:
    connection = opened(heartbeat=10)
    connection.excuse_silence(20.0)
    assert connection.on_deadline(21.0) == []


def test_no_heartbeats_without_an_interval() -> None:
    connection = opened(heartbeat=0)
    assert connection.next_deadline() == inf
    assert connection.on_deadline(1e9) == []
    assert sent_bytes(connection) == b""


@given(st.lists(st.sampled_from(["hear", "say", "look"]), max_size=30))
def test_never_silent_for_long_and_never_patient_for_long(steps: list[str]) -> None:
    """Whatever happens a second apart, heartbeats keep to their promise."""
    connection = opened(heartbeat=4)
    heard = said = 0.0
    for now, step in enumerate(steps, start=1):
        if step == "hear":
            connection.receive(HEARTBEAT, now)
            heard = now
        elif step == "say":
            connection.open_channel()
        connection.on_deadline(now)
        if sent_bytes(connection, now):
            said = now
        assert connection.is_over == (now - heard >= 8)
        if connection.is_over:
            return
        assert now - said < 2


# --- blocked


def test_blocked_and_unblocked_are_told() -> None:
    connection = opened()
    data = method(0, ConnectionBlocked(reason="memory"))
    assert connection.receive(data, 0.0) == [Blocked("memory")]
    assert connection.receive(method(0, ConnectionUnblocked()), 0.0) == [Unblocked()]


# --- endings


def test_the_server_closes() -> None:
    connection = opened()
    channel = opened_channel(connection)
    events = connection.receive(method(0, SHUTDOWN), 0.0)
    ended, last = events
    assert isinstance(ended, ChannelEnded)
    assert ended.channel == channel.number
    assert isinstance(last, ConnectionEnded)
    assert isinstance(last.error, ConnectionForced)
    assert last.error.text == "shutdown"
    assert ended.error is last.error
    assert sent(connection) == [(0, ConnectionCloseOk())]
    for use in (connection.open_channel, lambda: channel.send(QueueDeclare())):
        with pytest.raises(ConnectionForced):
            use()


def test_we_close() -> None:
    connection = opened()
    channel = opened_channel(connection)
    assert connection.close() == []
    assert sent(connection) == [(0, ConnectionClose(reply_code=200))]
    # What was under way is not for anybody.
    late = method(channel.number, QueueDeclareOk())
    assert connection.receive(late + method(9, ChannelOpenOk()), 0.0) == []
    assert connection.close() == []
    assert connection.receive(method(0, ConnectionCloseOk()), 0.0) == [
        ChannelEnded(channel.number, None, []),
        ConnectionEnded(None),
    ]
    assert sent(connection) == []


def test_both_close_at_once() -> None:
    connection = opened()
    connection.close()
    sent(connection)
    assert connection.receive(method(0, SHUTDOWN), 0.0) == [ConnectionEnded(None)]
    assert sent(connection) == [(0, ConnectionCloseOk())]
    assert connection.receive(method(0, ConnectionCloseOk()), 0.0) == []


def test_the_server_hangs_up_instead_of_answering_our_close() -> None:
    connection = opened()
    connection.close()
    assert connection.receive(b"", 0.0) == [ConnectionEnded(None)]


def test_the_connection_is_cut() -> None:
    connection = opened()
    [event] = connection.receive(b"", 0.0)
    assert isinstance(event, ConnectionEnded)
    assert isinstance(event.error, ConnectionLost)
    assert connection.close() == []


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x01\0\0\0\0\0\x04\0\x0a\0\x33\x00", FrameError),  # wrong frame end
        (b"\x07\0\0\0\0\0\x00\xce", FrameError),  # unknown kind
        (b"\x03\0\x01\xff\xff\xff\xff", FrameError),  # too large
        (b"\x01\0\0\0\0\0\x04\0\x63\0\x01\xce", NotImplemented_),  # unknown method
        (b"\x08\0\x01\0\0\0\x00\xce", UnexpectedFrame),  # heartbeat on a channel
        (header_frame(0, 1), CommandInvalid),
        (method(0, ConnectionOpenOk()), CommandInvalid),
        (method(5, ChannelOpenOk()), ChannelNotOpen),
        (method(1, QueueDeclareOk()), CommandInvalid),  # nobody asked
        (header_frame(1, 1), UnexpectedFrame),
        (content(1, BasicPublish(), Properties(), b"x"), CommandInvalid),
        (method(1, BasicDeliver()) + method(1, QueueDeclareOk()), UnexpectedFrame),
    ],
)
def test_faults_of_the_server_are_told_to_it(
    data: bytes, error: type[AMQPError]
) -> None:
    connection = opened()
    opened_channel(connection)
    ended, last = connection.receive(data, 0.0)
    assert isinstance(ended, ChannelEnded)
    assert isinstance(last, ConnectionEnded)
    assert type(last.error) is error
    [(channel, close)] = sent(connection)
    assert channel == 0
    assert isinstance(close, ConnectionClose)
    assert close.reply_code == error.code
    assert connection.is_over
    assert connection.receive(data, 0.0) == []


SERVER_FRAMES = [
    *handshake(),
    method(1, ChannelOpenOk()),
    method(1, QueueDeclareOk()),
    method(1, ChannelClose(reply_code=404)),
    content(1, BasicDeliver(), Properties(), b"body"),
    method(0, SHUTDOWN),
    method(0, ConnectionCloseOk()),
    HEARTBEAT,
    b"",
    b"\x01\0",
]


@given(
    st.lists(st.sampled_from(SERVER_FRAMES) | st.binary(max_size=40), max_size=12),
    st.integers(0, 12),
    st.integers(0, 12),
)
def test_every_connection_ends_once_and_says_nothing_after(
    pieces: list[bytes], open_at: int, close_at: int
) -> None:
    """Whatever a server sends in whatever order: no surprise, one end, the last."""
    connection = connecting()
    events = []
    for step, piece in enumerate([*pieces, b""]):
        if step == open_at and connection.state is ConnectionState.OPEN:
            connection.open_channel()
        if step == close_at:
            events += connection.close()
        events += connection.receive(piece, 0.0)
    ends = [event for event in events if isinstance(event, ConnectionEnded)]
    assert len(ends) == 1
    assert events[-1] is ends[0]
    assert connection.is_over
    assert not connection.close()

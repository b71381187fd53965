"""The handshake: who we say we are, what is agreed, and how it can go wrong."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.server_side import (
    connecting,
    cuts,
    fed,
    handshake,
    method,
    opened,
    sent,
    sent_bytes,
)
from warren.errors import AccessRefused, CommandInvalid, FrameError, NotAllowed
from warren.protocol.events import ConnectionEnded, ConnectionOpened
from warren.protocol.failures import ChannelClosed, ConnectionLost
from warren.protocol.handshake import Wishes, agree
from warren.protocol.states import ConnectionState
from warren.wire.constants import PROTOCOL_HEADER
from warren.wire.methods import (
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionSecure,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
)

STEPS = handshake()


def test_says_the_protocol_header_first() -> None:
    assert sent_bytes(connecting()) == PROTOCOL_HEADER


def test_logs_in_with_plain() -> None:
    connection = connecting("amqp://us%20er:p%C3%A4ss@h/v")
    connection.receive(STEPS[0], 0.0)
    [(channel, start_ok)] = sent(connection)
    assert channel == 0
    assert isinstance(start_ok, ConnectionStartOk)
    assert start_ok.mechanism == "PLAIN"
    assert start_ok.response == "\0us er\0päss".encode()
    capabilities = start_ok.client_properties["capabilities"]
    assert isinstance(capabilities, dict)
    assert all(capabilities.values())
    assert "consumer_cancel_notify" in capabilities


def test_logs_in_with_the_certificate_on_demand() -> None:
    connection = connecting("amqp://h/?auth_mechanism=external")
    connection.receive(STEPS[0], 0.0)
    [(_, start_ok)] = sent(connection)
    assert isinstance(start_ok, ConnectionStartOk)
    assert (start_ok.mechanism, start_ok.response) == ("EXTERNAL", b"")


def test_answers_tune_and_opens_the_virtual_host() -> None:
    connection = connecting("amqp://h/my%2Fhost")
    connection.receive(STEPS[0], 0.0)
    sent(connection)
    connection.receive(STEPS[1], 0.0)
    assert sent(connection) == [
        (0, ConnectionTuneOk(channel_max=2047, frame_max=131_072, heartbeat=0)),
        (0, ConnectionOpen(virtual_host="my/host")),
    ]


@given(st.tuples(*(cuts(len(step)) for step in STEPS)))
def test_any_cuts_will_do(places: tuple[list[int], ...]) -> None:
    connection = connecting()
    events = [
        event
        for step, cut in zip(STEPS, places, strict=True)
        for event in fed(connection, step, cut)
    ]
    assert events == [ConnectionOpened({"product": "Hand"})]
    assert connection.state is ConnectionState.OPEN


@pytest.mark.parametrize(
    ("server", "client", "agreed"),
    [(0, 0, inf), (0, 10, 10), (10, 0, 10), (10, 20, 10), (20, 10, 10)],
)
def test_channel_max_is_the_smaller(server: int, client: int, agreed: float) -> None:
    tune = ConnectionTune(channel_max=server, frame_max=0, heartbeat=0)
    limits = agree(tune, Wishes(channel_max=client))
    assert limits.channel_max == min(agreed, 65_535)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_frame_size_is_within_both(server: int, client: int) -> None:
    tune = ConnectionTune(channel_max=0, frame_max=server, heartbeat=0)
    wishes = Wishes(frame_size_max=client)
    if 0 < server < 4096 or 0 < client < 4096:
        with pytest.raises(NotAllowed):
            agree(tune, wishes)
    else:
        agreed = agree(tune, wishes).frame_size_max
        assert agreed >= 4096
        assert agreed <= (server or agreed)
        assert agreed <= (client or agreed)


@pytest.mark.parametrize(
    ("query", "agreed"), [("", 60), ("?heartbeat=0", 0), ("?heartbeat=90", 90)]
)
def test_the_client_chooses_the_heartbeat(query: str, agreed: int) -> None:
    connection = connecting(f"amqp://h/v{query}")
    for step in handshake(heartbeat=60)[:2]:
        connection.receive(step, 0.0)
    tune_ok = sent(connection)[1][1]
    assert isinstance(tune_ok, ConnectionTuneOk)
    assert tune_ok.heartbeat == agreed


def test_a_query_that_is_no_number_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="soon"):
        connecting("amqp://h/v?heartbeat=soon")


def test_no_common_mechanism() -> None:
    connection = connecting()
    start = ConnectionStart(mechanisms=b"EXTERNAL SCRAM")
    [event] = connection.receive(method(0, start), 0.0)
    assert isinstance(event, ConnectionEnded)
    assert isinstance(event.error, NotAllowed)
    assert "EXTERNAL SCRAM" in event.error.text
    assert connection.is_over


def test_login_refused() -> None:
    connection = connecting()
    connection.receive(STEPS[0], 0.0)
    sent(connection)
    close = ConnectionClose(
        reply_code=403, reply_text="ACCESS_REFUSED - Login was refused"
    )
    [event] = connection.receive(method(0, close), 0.0)
    assert isinstance(event, ConnectionEnded)
    assert isinstance(event.error, AccessRefused)
    assert event.error.text == "Login was refused"
    assert sent(connection) == [(0, ConnectionCloseOk())]
    assert connection.is_over


@pytest.mark.parametrize("step", [0, 1, 2])
def test_the_end_of_the_stream_is_told_once(step: int) -> None:
    connection = connecting()
    for each in STEPS[:step]:
        connection.receive(each, 0.0)
    [event] = connection.receive(b"", 0.0)
    assert isinstance(event, ConnectionEnded)
    assert isinstance(event.error, ConnectionLost)
    assert "refused" in str(event.error) or step == 0
    assert connection.receive(b"", 0.0) == []
    with pytest.raises(ConnectionLost):
        connection.open_channel()


@pytest.mark.parametrize("data", [b"AMQP\0\1\0\0", b"A", b"HTTP/1.1 400 Bad"])
def test_another_protocol_answers(data: bytes) -> None:
    connection = connecting()
    sent(connection)
    [event] = connection.receive(data, 0.0)
    assert isinstance(event, ConnectionEnded)
    assert isinstance(event.error, FrameError)
    assert sent_bytes(connection) == b""


@pytest.mark.parametrize("early", [1, 2])
def test_steps_out_of_order(early: int) -> None:
    connection = connecting()
    [event] = connection.receive(STEPS[early], 0.0)
    assert isinstance(event, ConnectionEnded)
    assert isinstance(event.error, CommandInvalid)


def test_a_challenge_is_refused() -> None:
    connection = connecting()
    connection.receive(STEPS[0], 0.0)
    [event] = connection.receive(method(0, ConnectionSecure(challenge=b"?")), 0.0)
    assert isinstance(event, ConnectionEnded)
    assert isinstance(event.error, CommandInvalid)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_closing_before_it_is_open_is_hanging_up(step: int) -> None:
    connection = connecting()
    for each in STEPS[:step]:
        connection.receive(each, 0.0)
    sent(connection)
    assert connection.close() == [ConnectionEnded(None)]
    assert sent_bytes(connection) == b""
    assert connection.is_over


def test_no_channel_before_it_is_open() -> None:
    with pytest.raises(ChannelClosed):
        connecting().open_channel()


def test_channel_numbers_run_out() -> None:
    connection = opened("amqp://h/v?channel_max=2")
    assert [connection.open_channel().number for _ in range(2)] == [1, 2]
    with pytest.raises(NotAllowed):
        connection.open_channel()

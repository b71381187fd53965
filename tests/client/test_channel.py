"""A channel: requests and answers, messages both ways, and its endings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.server_side import (
    content,
    cuts,
    delivered,
    fed,
    method,
    opened,
    opened_channel,
    publish,
    sent,
    sent_bytes,
    whole,
    with_confirms,
)
from warren.errors import (
    CommandInvalid,
    NotFound,
    PreconditionFailed,
    UnexpectedFrame,
)
from warren.protocol.events import (
    ChannelEnded,
    ConnectionEnded,
    ConsumerCancelled,
    Replied,
)
from warren.protocol.failures import ChannelClosed
from warren.protocol.requests import REPLIES, replies_to
from warren.protocol.states import ChannelState
from warren.wire.constants import FRAME_BODY
from warren.wire.frames import encode_frame, parse_frames
from warren.wire.methods import (
    METHODS,
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    TxCommit,
    TxCommitOk,
)
from warren.wire.properties import Properties, decode_header

if TYPE_CHECKING:
    from random import Random

    from warren.protocol.events import Event

MISSING = ChannelClose(
    reply_code=404, reply_text="NOT_FOUND - no queue 'q' in vhost '/'"
)
DELIVER = BasicDeliver(consumer_tag="c", delivery_tag=7, exchange="x", routing_key="k")


# --- requests and answers


def test_every_answer_of_the_specification_has_its_request() -> None:
    """Whatever a server may say ends in a handler or is the answer to something."""
    answers = {answer for answers in REPLIES.values() for answer in answers}
    for kind in METHODS.values():
        if kind.by_server and kind.name.endswith(("-ok", "-empty")):
            by_state = kind is ChannelCloseOk or kind.name.startswith("connection.")
            assert (kind in answers) != by_state, kind.name


def test_no_wait_has_no_answer() -> None:
    assert replies_to(QueueDeclare(no_wait=True)) == ()
    assert replies_to(QueueDeclare()) == (QueueDeclareOk,)
    assert replies_to(BasicAck()) == ()


def test_a_channel_can_be_used_before_it_is_known_to_be_open() -> None:
    connection = opened()
    channel = connection.open_channel()
    channel.send(QueueDeclare(queue="q"))
    assert sent(connection) == [(1, ChannelOpen()), (1, QueueDeclare(queue="q"))]
    answers = [ChannelOpenOk(), QueueDeclareOk(queue="q")]
    data = b"".join(method(1, answer) for answer in answers)
    assert connection.receive(data, 0.0) == [Replied(1, each) for each in answers]


def test_what_follows_a_commit_waits_for_its_answer() -> None:
    """RabbitMQ closes a channel on which anything comes before it has answered."""
    connection = opened()
    channel = opened_channel(connection)
    commit, declare = TxCommit(), QueueDeclare(queue="q")
    committed = method(1, TxCommitOk())
    channel.send(commit)
    channel.ack(1)
    channel.send(commit)
    channel.send(declare)
    channel.send(commit)
    channel.close()
    assert sent(connection) == [(1, commit)]
    connection.receive(committed, 0.0)
    assert sent(connection) == [(1, BasicAck(delivery_tag=1)), (1, commit)]
    connection.receive(committed, 0.0)
    assert sent(connection) == [(1, declare), (1, commit)]
    connection.receive(committed, 0.0)
    ((_, close),) = sent(connection)
    assert isinstance(close, ChannelClose)
    (ended,) = connection.receive(method(1, ChannelCloseOk()), 0.0)
    assert isinstance(ended, ChannelEnded)


def test_a_commit_that_fails_is_told_at_once() -> None:
    connection = opened()
    channel = opened_channel(connection)
    channel.send(TxCommit())
    channel.send(QueueDeclare(queue="q"))
    sent(connection)
    (ended,) = connection.receive(method(1, MISSING), 0.0)
    assert isinstance(ended, ChannelEnded)
    assert sent(connection) == [(1, ChannelCloseOk())]


PAIRS: list[tuple[Method, Method]] = [
    (QueueDeclare(queue="q"), QueueDeclareOk(queue="q")),
    (QueueBind(queue="q", exchange="x"), QueueBindOk()),
    (BasicConsume(queue="q"), BasicConsumeOk(consumer_tag="c")),
    (BasicGet(queue="q"), BasicGetEmpty()),
]


@given(st.lists(st.sampled_from(PAIRS), max_size=12), st.randoms())
def test_an_answer_belongs_to_the_oldest_request_of_its_kind(
    asked: list[tuple[Method, Method]], random: Random
) -> None:
    """Requests pile up, and answers may overtake; one to nothing ends all."""
    connection = opened()
    channel = opened_channel(connection)
    for request, _ in asked:
        channel.send(request)
    due = [answer for _, answer in asked]
    while due:
        expected = random.choice(due)
        place = due.index(expected)
        del due[place]
        assert connection.receive(method(1, expected), 0.0) == [
            Replied(1, expected, place=place)
        ]
    wrong = random.choice([answer for _, answer in PAIRS])
    _, last = connection.receive(method(1, wrong), 0.0)
    assert isinstance(last, ConnectionEnded)
    assert isinstance(last.error, CommandInvalid)


def test_get_is_answered_with_content() -> None:
    connection = opened()
    channel = opened_channel(connection)
    channel.send(BasicGet(queue="q"))
    got = BasicGetOk(delivery_tag=1, routing_key="q")
    data = content(1, got, Properties(type="t"), b"body")
    assert connection.receive(data, 0.0) == [
        Replied(1, got, whole(got, Properties(type="t"), b"body"))
    ]


def test_arguments_that_do_not_encode_send_nothing() -> None:
    connection = opened()
    channel = opened_channel(connection)
    with pytest.raises(ValueError, match=r"queue\.declare|255"):
        channel.send(QueueDeclare(queue="q" * 256))
    assert sent(connection) == []
    channel.send(QueueDeclare(queue="q"))
    answer = QueueDeclareOk(queue="q")
    assert connection.receive(method(1, answer), 0.0) == [Replied(1, answer)]


# --- messages


@given(st.data(), st.lists(st.binary(max_size=9000), max_size=4))
def test_deliveries_in_any_cuts(data: st.DataObject, bodies: list[bytes]) -> None:
    connection = opened()
    opened_channel(connection)
    stream = b"".join(content(1, DELIVER, Properties(), body) for body in bodies)
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    assert fed(connection, stream, places) == [
        delivered(1, DELIVER, Properties(), body) for body in bodies
    ]


SHORT = content(1, DELIVER, Properties(headers={"a": [1, "b"]}), b"body")


@given(cuts(len(SHORT)))
def test_a_delivery_byte_by_byte(places: list[int]) -> None:
    connection = opened()
    opened_channel(connection)
    assert fed(connection, SHORT, places) == [
        delivered(1, DELIVER, Properties(headers={"a": [1, "b"]}), b"body")
    ]


def test_contents_of_two_channels_may_mix() -> None:
    connection = opened()
    opened_channel(connection)
    opened_channel(connection)
    first, _ = parse_frames(content(1, DELIVER, Properties(), b"one"), 4096)
    second, _ = parse_frames(content(2, DELIVER, Properties(), b"two"), 4096)
    mixed = b"".join(
        encode_frame(*frame)
        for pair in zip(first, second, strict=True)
        for frame in pair
    )
    assert connection.receive(mixed, 0.0) == [
        delivered(1, DELIVER, Properties(), b"one"),
        delivered(2, DELIVER, Properties(), b"two"),
    ]


@given(st.binary(max_size=20_000))
def test_a_publish_fits_the_frames_agreed_on(body: bytes) -> None:
    connection = opened("amqp://h/v?frame_max=4096")
    channel = opened_channel(connection)
    assert channel.publish(BasicPublish(routing_key="k"), Properties(), body) is None
    frames, rest = parse_frames(sent_bytes(connection), 4096)
    assert rest == b""
    assert decode_header(frames[1].payload) == (len(body), Properties())
    bodies = frames[2:]
    assert all(frame.kind == FRAME_BODY for frame in bodies)
    assert b"".join(frame.payload for frame in bodies) == body


def test_the_server_cancels_a_consumer() -> None:
    connection = opened()
    opened_channel(connection)
    quiet = method(1, BasicCancel(consumer_tag="c", no_wait=True))
    assert connection.receive(quiet, 0.0) == [ConsumerCancelled(1, "c")]
    assert sent(connection) == []
    asking = method(1, BasicCancel(consumer_tag="d"))
    assert connection.receive(asking, 0.0) == [ConsumerCancelled(1, "d")]
    assert sent(connection) == [(1, BasicCancelOk(consumer_tag="d"))]


def test_flow_is_answered() -> None:
    connection = opened()
    opened_channel(connection)
    assert connection.receive(method(1, ChannelFlow(active=False)), 0.0) == []
    assert sent(connection) == [(1, ChannelFlowOk(active=False))]


# --- endings


def test_the_server_closes() -> None:
    connection, channel = with_confirms()
    publish(channel)
    channel.send(QueueDeclare(queue="q", passive=True))
    sent(connection)
    [event] = connection.receive(method(1, MISSING), 0.0)
    assert isinstance(event, ChannelEnded)
    assert isinstance(event.error, NotFound)
    assert event.error.text == "no queue 'q' in vhost '/'"
    assert event.unsettled == [1]
    assert sent(connection) == [(1, ChannelCloseOk())]
    with pytest.raises(NotFound):
        publish(channel)
    with pytest.raises(NotFound):
        channel.send(QueueDeclare())
    channel.close()
    assert sent(connection) == []
    assert connection.open_channel().number == 1


def test_we_close() -> None:
    connection, channel = with_confirms()
    publish(channel)
    channel.send(QueueDeclare(queue="q"))
    sent(connection)
    channel.close()
    channel.close()
    assert sent(connection) == [(1, ChannelClose(reply_code=200))]
    with pytest.raises(ChannelClosed):
        publish(channel)
    late = (
        method(1, QueueDeclareOk(queue="q"))
        + content(1, DELIVER, Properties(), b"late")
        + method(1, BasicAck(delivery_tag=99))
    )
    assert connection.receive(late, 0.0) == []
    assert connection.open_channel().number == 2
    events = connection.receive(method(1, ChannelCloseOk()), 0.0)
    assert events == [ChannelEnded(1, None, [1])]
    assert connection.open_channel().number == 1


def test_we_close_in_the_middle_of_a_delivery() -> None:
    connection = opened()
    channel = opened_channel(connection)
    middle = len(SHORT) // 2
    connection.receive(SHORT[:middle], 0.0)
    channel.close()
    assert connection.receive(SHORT[middle:], 0.0) == []
    data = method(1, ChannelCloseOk())
    assert connection.receive(data, 0.0) == [ChannelEnded(1, None, [])]


def test_both_close_at_once() -> None:
    """The number stays taken until the server has answered our close, too."""
    connection = opened()
    channel = opened_channel(connection)
    channel.close()
    sent(connection)
    assert connection.receive(method(1, MISSING), 0.0) == []
    assert sent(connection) == [(1, ChannelCloseOk())]
    assert channel.state is ChannelState.CLOSING
    assert connection.open_channel().number == 2
    [event] = connection.receive(method(1, ChannelCloseOk()), 0.0)
    assert isinstance(event, ChannelEnded)
    assert isinstance(event.error, NotFound)


def test_one_channel_ends_and_the_others_go_on() -> None:
    connection = opened()
    opened_channel(connection)
    other = opened_channel(connection)
    taken = ChannelClose(reply_code=406, reply_text="PRECONDITION_FAILED - so it is")
    events: list[Event] = connection.receive(method(1, taken) + SHORT[:0], 0.0)
    [event] = events
    assert isinstance(event, ChannelEnded)
    assert isinstance(event.error, PreconditionFailed)
    other.send(QueueDeclare(queue="q"))
    answer = QueueDeclareOk(queue="q")
    assert connection.receive(method(2, answer), 0.0) == [Replied(2, answer)]


def test_a_method_in_the_middle_of_a_content() -> None:
    connection = opened()
    opened_channel(connection)
    data = method(1, DELIVER) + method(1, BasicCancel(consumer_tag="c"))
    _, last = connection.receive(data, 0.0)
    assert isinstance(last, ConnectionEnded)
    assert isinstance(last.error, UnexpectedFrame)

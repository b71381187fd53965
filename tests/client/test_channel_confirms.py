"""A channel with confirms: numbers, acks, nacks and returns."""

from __future__ import annotations

from tests.client.server_side import (
    content,
    method,
    opened,
    opened_channel,
    publish,
    sent_bytes,
    with_confirms,
)
from warren.errors import (
    CommandInvalid,
)
from warren.protocol.events import (
    ConnectionEnded,
    Returned,
    Settled,
    Settlement,
)
from warren.protocol.failures import Nacked, Unroutable
from warren.wire.frames import parse_frames
from warren.wire.methods import (
    BasicAck,
    BasicNack,
    BasicPublish,
    BasicReturn,
    ConfirmSelect,
    ConfirmSelectOk,
)
from warren.wire.properties import Properties, decode_header


def test_publishes_are_numbered_from_the_select() -> None:
    connection = opened()
    channel = opened_channel(connection)
    assert publish(channel) is None
    channel.send(ConfirmSelect())
    assert [publish(channel), publish(channel)] == [1, 2]
    assert channel.unsettled_count == 2
    data = method(1, ConfirmSelectOk()) + method(
        1, BasicAck(delivery_tag=2, multiple=True)
    )
    assert connection.receive(data, 0.0)[1:] == [
        Settled(1, [Settlement(1, None), Settlement(2, None)])
    ]
    assert channel.unsettled_count == 0


def test_a_refused_publish() -> None:
    connection, channel = with_confirms()
    publish(channel)
    [event] = connection.receive(method(1, BasicNack(delivery_tag=1)), 0.0)
    assert isinstance(event, Settled)
    [settlement] = event.settlements
    assert isinstance(settlement.error, Nacked)


def test_a_returned_publish_is_settled_by_its_ack() -> None:
    connection, channel = with_confirms()
    for key in ("a", "b", "a"):
        publish(channel, key)
    frames, _ = parse_frames(sent_bytes(connection), 131_072)
    properties = decode_header(frames[7].payload)[1]
    back = BasicReturn(reply_code=312, reply_text="NO_ROUTE", routing_key="a")
    returned = content(1, back, properties, b"x")
    [event] = connection.receive(returned, 0.0)
    assert event == Returned(1, back, properties, b"x", 3)
    acks = method(1, BasicAck(delivery_tag=3, multiple=True))
    [event] = connection.receive(acks, 0.0)
    assert isinstance(event, Settled)
    assert [type(each.error) for each in event.settlements] == [
        type(None),
        type(None),
        Unroutable,
    ]
    error = event.settlements[2].error
    assert isinstance(error, Unroutable)
    assert (error.exchange, error.routing_key) == ("", "a")


def test_message_ids_are_given_where_missing_and_left_where_not() -> None:
    connection, channel = with_confirms()
    mine = Properties(type="t")
    channel.publish(BasicPublish(mandatory=True), mine, b"")
    channel.publish(BasicPublish(mandatory=True), mine, b"")
    channel.publish(BasicPublish(mandatory=True), Properties(message_id="own"), b"")
    channel.publish(BasicPublish(), mine, b"")
    frames, _ = parse_frames(sent_bytes(connection), 131_072)
    ids = [decode_header(frame.payload)[1].message_id for frame in frames[1::2]]
    assert ids == ["nonce-1", "nonce-2", "own", None]
    assert mine == Properties(type="t")


def test_confirms_that_nobody_asked_for() -> None:
    connection = opened()
    opened_channel(connection)
    _, last = connection.receive(method(1, BasicAck(delivery_tag=1)), 0.0)
    assert isinstance(last, ConnectionEnded)
    assert isinstance(last.error, CommandInvalid)

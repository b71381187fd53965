"""The other end of a client connection, by hand: what a server sends and gets."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from warren.protocol.connection import ClientConnection
from warren.protocol.events import ConnectionOpened, Delivered
from warren.wire.constants import FRAME_HEADER, FRAME_METHOD, PROTOCOL_HEADER
from warren.wire.content import Content
from warren.wire.frames import encode_content, encode_frame, encode_method, parse_frames
from warren.wire.methods import (
    BasicDeliver,
    BasicPublish,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionTune,
    Method,
    decode_method,
)
from warren.wire.properties import Properties, encode_header
from warren.wire.uri import parse_uri

if TYPE_CHECKING:
    from warren.protocol.channel import ClientChannel
    from warren.protocol.events import Event

FRAME_SIZE_MAX = 131_072


def method(channel: int, method_: Method) -> bytes:
    """Return the frame of a method."""
    return encode_method(channel, method_)


def content(
    channel: int, method_: Method, properties: Properties, body: bytes
) -> bytes:
    """Return the frames of a method with content, in small pieces of body."""
    header = encode_header(properties, len(body))
    return b"".join(encode_content(channel, method_, header, body, 4096))


def whole(method_: Method, properties: Properties, body: bytes) -> Content:
    """Return a method with content, as it is told."""
    return Content(method_, encode_header(properties, len(body)), body)


def delivered(
    channel: int, method_: BasicDeliver, properties: Properties, body: bytes
) -> Delivered:
    """Return the event of a delivery."""
    return Delivered(channel, whole(method_, properties, body))


def header_frame(channel: int, size: int) -> bytes:
    """Return a content header's frame alone."""
    return encode_frame(FRAME_HEADER, channel, encode_header(Properties(), size))


def handshake(*, heartbeat: int = 0, frame_max: int = FRAME_SIZE_MAX) -> list[bytes]:
    """Return what the server says until the connection is open, step by step."""
    start = ConnectionStart(
        server_properties={"product": "Hand"}, mechanisms=b"AMQPLAIN PLAIN EXTERNAL"
    )
    tune = ConnectionTune(channel_max=2047, frame_max=frame_max, heartbeat=heartbeat)
    return [method(0, start), method(0, tune), method(0, ConnectionOpenOk())]


def connecting(url: str = "amqp://u:p@h/v") -> ClientConnection:
    """Return a connection that has not received anything."""
    return ClientConnection(parse_uri(url), nonce="nonce", now=0.0)


def opened(url: str = "amqp://u:p@h/v", *, heartbeat: int = 0) -> ClientConnection:
    """Return a connection after its handshake, at the time 0, with nothing to send."""
    connection = connecting(url)
    events = [
        event
        for step in handshake(heartbeat=heartbeat)
        for event in connection.receive(step, 0.0)
    ]
    assert events == [ConnectionOpened({"product": "Hand"})]
    sent(connection)
    return connection


def opened_channel(connection: ClientConnection) -> ClientChannel:
    """Return a channel that the server has opened, with nothing to send."""
    channel = connection.open_channel()
    connection.receive(method(channel.number, ChannelOpenOk()), 0.0)
    sent(connection)
    return channel


def sent_bytes(connection: ClientConnection, now: float = 0.0) -> bytes:
    """Take all bytes that wait to be sent."""
    taken = b""
    while chunks := connection.data_to_send(now):
        taken += b"".join(chunks)
    return taken


def sent(connection: ClientConnection, now: float = 0.0) -> list[tuple[int, Method]]:
    """Take what waits to be sent: the channel and the method of each method frame."""
    data = sent_bytes(connection, now).removeprefix(PROTOCOL_HEADER)
    frames, rest = parse_frames(data, FRAME_SIZE_MAX)
    assert not rest
    return [
        (frame.channel, decode_method(frame.payload))
        for frame in frames
        if frame.kind == FRAME_METHOD
    ]


def fed(connection: ClientConnection, data: bytes, cuts: list[int]) -> list[Event]:
    """Feed data cut at these places; return all events."""
    if not data:
        return []
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    return [
        event
        for start, stop in pairwise(edges)
        for event in connection.receive(data[start:stop], 0.0)
    ]


def cuts(size: int) -> st.SearchStrategy[list[int]]:
    """Places to cut `size` bytes at: nowhere, some, or everywhere."""
    some = st.lists(st.integers(1, max(1, size - 1)), max_size=12)
    return some | st.just(list(range(1, size)))


def with_confirms(
    url: str = "amqp://h/v",
) -> tuple[ClientConnection, ClientChannel]:
    """Return a connection and a channel with confirms, with nothing to send."""
    connection = opened(url)
    channel = opened_channel(connection)
    channel.send(ConfirmSelect())
    connection.receive(method(1, ConfirmSelectOk()), 0.0)
    sent(connection)
    return connection, channel


def publish(channel: ClientChannel, key: str = "k") -> int | None:
    """Publish a mandatory message to the default exchange."""
    method_ = BasicPublish(routing_key=key, mandatory=True)
    return channel.publish(method_, Properties(), b"x")

"""The slow path is the specification; each fast path does the same, whatever comes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.amqp.bad_input import frame, on, published
from tests.amqp.fingerprint import topology
from tests.amqp.test_fuzz import inputs
from tests.pairs import Arrival, World, byte_by_byte, random_cuts
from warren.errors import AMQPError, ContentTooLarge
from warren.wire.constants import FRAME_OVERHEAD
from warren.wire.frames import encode_content, parse_frames, read_frame
from warren.wire.methods import (
    BasicDeliver,
    BasicPublish,
    ConfirmSelect,
    ConnectionClose,
    QueueDeclare,
)
from warren.wire.outbox import Outbox
from warren.wire.properties import Properties, encode_header
from warren_broker.amqp import publish
from warren_broker.amqp.content_header import ContentHeader
from warren_broker.amqp.deliver import DeliveryEncoder
from warren_broker.amqp.handshake import State
from warren_broker.core.message import Message, Route

if TYPE_CHECKING:
    from tests.pairs import RawClient

FRAME_MAX: Final = 131_072
KIB: Final = 1024

# --- the reader, and parse_frames


def read_by_reference(data: bytes) -> tuple[list[bytes], AMQPError | None]:
    """Return each whole frame as bytes, and the error that comes after them."""
    frames, position = [], 0
    try:
        while found := read_frame(data, position, FRAME_MAX):
            frames.append(data[position : found[1]])
            position = found[1]
    except AMQPError as error:
        return frames, error
    return frames, None


def settle(client: RawClient) -> list[str]:
    """What came; how many confirms tell of a batch depends on the cuts."""
    found = [each for each in client.arrivals() if each.method.name != "basic.ack"]
    return [anonymous(each) for each in found]


def state(client: RawClient) -> list[str]:
    """What is declared and bound in the client's broker."""
    ((_, *parts),) = topology(client.world.broker)  # type: ignore[misc]
    sets = [part for part in parts if isinstance(part, frozenset)]
    return [each for part in sets for each in sorted(map(anonymous, part))]


def anonymous(value: object) -> str:
    """A value as text, without the names that the server made."""
    return re.sub(r"amq\.(gen|ctag)-[\w-]+", r"amq.\1", repr(value))


frame_kinds = st.sampled_from((0, 1, 2, 3, 4, 8, 8, 255))
frames_of_any_kind = st.builds(
    frame, frame_kinds, st.binary(max_size=20), st.integers(0, 3)
)
streams = st.lists(
    frames_of_any_kind
    | st.binary(max_size=12)
    | st.sampled_from((published("", "q"), on(1, QueueDeclare(queue="q")))),
    max_size=6,
).map(b"".join)


@given(data=inputs | streams, seed=st.integers(0, 9))
def test_the_reader_finds_what_the_parser_finds(data: bytes, seed: int) -> None:
    """Frame by frame, as the plain parser has them, all is as in any cuts."""
    frames, error = read_by_reference(data)
    by_frame, at_once = World().open(), World().open(random_cuts(seed))
    for each in frames:
        by_frame.send_raw(each)
    at_once.send_raw(data)
    slow_arrivals, fast_arrivals = settle(by_frame), settle(at_once)
    if error is not None and by_frame.connection.state is State.OPEN:
        close = ConnectionClose(int(error.code), error.reply_text, 0, 0)
        slow_arrivals.append(anonymous(Arrival(0, close)))
    assert fast_arrivals == slow_arrivals
    if error is None:
        assert state(at_once) == state(by_frame)


@given(data=st.binary(max_size=60), seed=st.integers(0, 9))
def test_any_bytes_are_a_frame_for_both_or_for_neither(data: bytes, seed: int) -> None:
    _, error = read_by_reference(data)
    client = World().open(random_cuts(seed))
    client.send_raw(data)
    assert bool(client.outbox.size) >= (error is not None)


# --- the encoder of deliveries, and encode_content

names = st.text(max_size=20)
tags = st.integers(0, 2**64 - 1)
frame_sizes = st.sampled_from((4096, 4097, 8192, 16 * KIB, 16 * KIB + 8, FRAME_MAX))
near_16_kib = st.integers(16 * KIB - 10, 16 * KIB + 10)
body_sizes = (
    st.integers(0, 5)
    | near_16_kib
    | st.integers(4080, 4100)
    | st.integers(2 * FRAME_MAX - 20, 2 * FRAME_MAX)
)
header_kinds = st.builds(
    Properties,
    content_type=st.none() | names,
    headers=st.none() | st.dictionaries(names, st.integers(0, 9), max_size=3),
    delivery_mode=st.none() | st.integers(1, 2),
)


@given(
    channel=st.integers(1, 65_535),
    consumer_tag=names,
    frame_max=frame_sizes,
    deliveries=st.lists(
        st.tuples(names, names, header_kinds, body_sizes),
        min_size=1,
        max_size=4,
    ),
    order=st.lists(
        st.tuples(st.integers(0, 3), tags, st.booleans()), min_size=1, max_size=8
    ),
)
def test_a_delivery_is_encode_content(
    channel: int,
    consumer_tag: str,
    frame_max: int,
    deliveries: list[tuple[str, str, Properties, int]],
    order: list[tuple[int, int, bool]],
) -> None:
    """Also when the encoder goes from one message to another and back again."""
    outbox = Outbox([])
    encoder = DeliveryEncoder(channel, consumer_tag, outbox, frame_max)
    messages = [
        Message(
            Route(exchange, key, b""),
            ContentHeader(encode_header(properties, size)),
            bytes(size),
        )
        for exchange, key, properties, size in deliveries
    ]
    for number, tag, redelivered in order:
        message = messages[number % len(messages)]
        encoder.write(tag, message, redelivered=redelivered)
        route = (message.route.exchange, message.route.routing_key)
        method = BasicDeliver(consumer_tag, tag, redelivered, *route)
        plain = encode_content(
            channel, method, message.header.payload, message.body, frame_max
        )
        assert b"".join(outbox.take(1 << 30)) == b"".join(plain)


@given(st.integers(-3, 3))
def test_a_header_fits_a_frame_or_is_refused(difference: int) -> None:
    frame_max = 4096
    size_max = frame_max - FRAME_OVERHEAD
    empty = len(encode_header(Properties(headers={"k": ""}), 0))
    properties = Properties(headers={"k": "v" * (size_max - empty + difference)})
    payload = encode_header(properties, 0)
    assert len(payload) == size_max + difference
    outbox = Outbox([])
    encoder = DeliveryEncoder(1, "c", outbox, frame_max)
    message = Message(Route("", "q", b""), ContentHeader(payload), b"")
    if difference > 0:
        with pytest.raises(ContentTooLarge):
            encoder.write(1, message, redelivered=False)
        assert not outbox.size
    else:
        encoder.write(1, message, redelivered=False)
        for each in parse_frames(b"".join(outbox.take(1 << 30)), frame_max)[0]:
            assert len(each.payload) <= size_max


# --- the caches of a publisher, and publishers who have none

publishes = st.lists(
    st.tuples(
        st.sampled_from(("", "amq.fanout", "amq.topic")),
        st.sampled_from(("q", "other", "nowhere")),
        st.booleans(),
        st.sampled_from((b"", b"a", b"bb", b"x" * 5000)),
        st.sampled_from(
            (
                Properties(),
                Properties(delivery_mode=2, content_type="text/plain"),
                Properties(headers={"k": 1}),
                Properties(reply_to="r", priority=3),
                Properties(expiration="60000"),
                Properties(headers={"CC": ["other"], "BCC": ["q"]}),
            )
        ),
    ).map(lambda step: publish_bytes(*step)),
    max_size=8,
)


REPEATED: Final = published("", "q", b"body")
BOUNDARIES: Final = [
    end
    for end in range(len(REPEATED))
    if not parse_frames(REPEATED[:end], FRAME_MAX)[1]
]
"""Where a frame of it ends: it may end there on the wire as well."""


def publish_bytes(
    exchange: str, key: str, mandatory: bool, body: bytes, properties: Properties
) -> bytes:
    method = BasicPublish(0, exchange, key, mandatory)
    payload = encode_header(properties, len(body))
    return b"".join(encode_content(1, method, payload, body, 4096))


def outcome(inputs: list[bytes], seed: int) -> tuple[object, object]:
    """What comes of inputs, each of a client of its own: returns, and messages."""
    world = World()
    arrivals = []
    world.open().call(QueueDeclare(queue="q"), QueueDeclare(queue="other"))
    for data in inputs:
        client = world.open(random_cuts(seed), frame_max=4096)
        client.send(ConfirmSelect(no_wait=True))
        client.send_raw(data)
        arrivals += settle(client)
    queues = world.broker.vhosts["/"].queues.values()
    return arrivals, [
        (message.route.encoded, message.header.payload, message.body, entry.expires_at)
        for queue in queues
        for entry in queue.backlog
        for message in [entry.message]
    ]


@given(steps=publishes, seed=st.integers(0, 9))
def test_the_caches_change_nothing(steps: list[bytes], seed: int) -> None:
    """One who publishes each three times over, and all of it twice, hits them all."""
    sequence = [step for step in steps for _ in range(3)] * 2
    assert outcome([b"".join(sequence)], seed) == outcome(sequence, seed)


@given(
    other=st.binary(max_size=12) | inputs,
    count=st.integers(2, 4),
    position=st.sampled_from(BOUNDARIES) | st.integers(0, len(REPEATED)),
)
def test_nothing_hides_behind_a_repeated_publish(
    other: bytes, count: int, position: int
) -> None:
    """What comes after, or amid, the bytes that a publisher repeats.

    Byte by byte nobody can see that they are repeated: that way is the plain one.
    """
    data = REPEATED * count + REPEATED[:position] + other + REPEATED
    plain, fast = World().open(byte_by_byte), World().open()
    for client in (plain, fast):
        client.send_raw(data)
    assert settle(fast) == settle(plain)
    assert state(fast) == state(plain)


def test_the_cache_is_bounded() -> None:
    client = World().open()
    for number in range(publish.CACHE_MAX + 10):
        client.publish(f"key {number}", b"x", type=f"{number}")
    cache = client.connection.cache
    assert len(cache.publications) <= publish.CACHE_MAX
    assert len(cache.headers) <= publish.CACHE_MAX

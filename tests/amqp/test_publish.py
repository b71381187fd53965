"""Publishing: what is passed on untouched, what comes back, what is rewritten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.amqp.bad_input import frame, header, nested, on, published, shortstr, sized
from tests.pairs import RawClient, World
from warren.wire.frames import parse_frames
from warren.wire.methods import (
    BasicConsume,
    BasicGet,
    BasicPublish,
    BasicReject,
    BasicReturn,
    ChannelClose,
    ConfirmSelect,
    QueueDeclare,
)
from warren.wire.properties import (
    FLAG_CONTENT_TYPE,
    FLAG_EXPIRATION,
    FLAG_HEADERS,
    FLAG_MESSAGE_ID,
    FLAG_TIMESTAMP,
)

if TYPE_CHECKING:
    from warren.wire.table import Table

FRAME_MAX: Final = 131_072
WIDE: Final = sized(b"\0A" + sized(b"V" * 8191))
"""A table of as many fields as there may be."""
TO_SECOND: Final[Table] = {
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "second",
}


def get_raw(client: RawClient, queue: str) -> bytes:
    """Get a message and return the payload of its content header."""
    client.send(BasicGet(queue=queue, no_ack=True))
    frames, rest = parse_frames(b"".join(client.outbox.take(1 << 30)), FRAME_MAX)
    assert not rest
    return frames[1].payload


def raw_publish(client: RawClient, key: str, content_header: bytes) -> None:
    client.send_raw(on(1, BasicPublish(routing_key=key)) + content_header)


@pytest.mark.parametrize(
    ("flags", "properties"),
    [
        (0, b""),
        (FLAG_HEADERS, sized(b"\x01kI\0\0\0\x01\x01kI\0\0\0\x02")),  # a key twice
        (FLAG_HEADERS, sized(b"\x01kL" + b"\xff" * 8 + b"\x01ss\0\x05\x01bb\x80")),
        (FLAG_HEADERS, nested(32)),
        (
            FLAG_CONTENT_TYPE | FLAG_MESSAGE_ID,
            shortstr(b"\xff\xfe") + shortstr(b"\x80"),
        ),
        (FLAG_TIMESTAMP, b"\xff" * 8),
    ],
)
def test_a_header_goes_out_as_it_came_in(flags: int, properties: bytes) -> None:
    client = World().open()
    client.call(QueueDeclare(queue="q"))
    content_header = header(0, flags, properties)
    raw_publish(client, "q", content_header)
    assert frame(2, get_raw(client, "q")) == content_header


@pytest.mark.parametrize("size", [0, 1, 4088, 4089, 8176, 16_384, 100_000])
def test_a_body_goes_out_whole(size: int) -> None:
    """To clients with large frames and small ones."""
    world = World()
    small, large = world.open(frame_max=4096), world.open()
    body = bytes(number % 251 for number in range(size))
    for sender, receiver in ((small, large), (large, small), (small, small)):
        queue = QueueDeclare(queue="q", auto_delete=True)
        receiver.call(queue, BasicConsume(queue="q", consumer_tag="c", no_ack=True))
        sender.publish("q", body, type="t")
        assert receiver.bodies() == [body]
        receiver.call(ChannelClose())
        receiver.send_raw(b"\x01\0\x01\0\0\0\x05\0\x14\0\x0a\0\xce")  # open it again
        receiver.arrivals()


class TestMandatory:
    def test_it_comes_back_as_it_was(self) -> None:
        client = World().open()
        client.publish("nowhere", b"body", mandatory=True, message_id="1", type="t")
        (arrival,) = client.arrivals()
        assert arrival.method == BasicReturn(312, "NO_ROUTE", "", "nowhere")
        assert arrival.body == b"body"
        assert arrival.properties is not None
        assert (arrival.properties.message_id, arrival.properties.type) == ("1", "t")

    def test_not_mandatory_is_dropped(self) -> None:
        client = World().open()
        client.publish("nowhere", b"body")
        assert client.methods() == []

    def test_routed_is_not_returned(self) -> None:
        client = World().open()
        client.call(QueueDeclare(queue="q"))
        client.publish("q", b"body", mandatory=True)
        assert client.methods() == []

    def test_each_returned_one_before_its_confirm(self) -> None:
        client = World().open()
        client.call(QueueDeclare(queue="q"), ConfirmSelect())
        data = b"".join(
            published("", key, mandatory=True) for key in ("q", "no", "q", "no")
        )
        client.send_raw(data)
        names = [each.name for each in client.methods()]
        assert names == ["basic.return", "basic.return", "basic.ack"]


class TestCopies:
    """CC and BCC: further routing keys."""

    def test_everybody_gets_one(self) -> None:
        client = World().open()
        for queue in ("to", "copy", "blind"):
            client.call(QueueDeclare(queue=queue))
        keys = {"CC": ["copy", "to"], "BCC": ["blind", "copy"], "other": 1}
        client.publish("to", b"body", headers=keys)
        for queue in ("to", "copy", "blind"):
            client.send(*[BasicGet(queue=queue, no_ack=True)] * 2)
            found, nothing = client.arrivals()
            assert found.properties is not None
            assert found.properties.headers == {"CC": ["copy", "to"], "other": 1}
            assert nothing.method.name == "basic.get-empty"

    @given(keys=st.lists(st.text(max_size=300), max_size=3))
    def test_any_keys_will_do(self, keys: list[str]) -> None:
        client = World().open()
        client.call(QueueDeclare(queue="q"), ConfirmSelect())
        client.publish("q", b"body", headers={"BCC": keys})
        (ack,) = client.methods()
        assert ack.name == "basic.ack"


class TestRewriting:
    """What has to change a header finds no fault with it: it was let pass before."""

    def dead_letter(self, content_header: bytes) -> bytes:
        """Publish; reject what is delivered; get what was dead-lettered."""
        world = World()
        publisher, consumer = world.open(), world.open()
        publisher.call(QueueDeclare(queue="second"))
        publisher.call(QueueDeclare(queue="first", arguments=TO_SECOND))
        raw_publish(publisher, "first", content_header)
        consumer.send(BasicGet(queue="first"))
        consumer.outbox.take(1 << 30)
        consumer.send(BasicReject(1, requeue=False))
        assert not consumer.outbox.size
        return get_raw(publisher, "second")

    @pytest.mark.parametrize(
        ("flags", "properties"),
        [
            (FLAG_CONTENT_TYPE, shortstr(b"\xff")),
            (FLAG_MESSAGE_ID, shortstr(b"\xc3")),
            (FLAG_TIMESTAMP, b"\xff" * 8),
        ],
    )
    def test_what_nobody_looked_into(self, flags: int, properties: bytes) -> None:
        after = self.dead_letter(header(0, flags, properties))
        assert int.from_bytes(after[12:14], "big") == flags | FLAG_HEADERS
        assert properties in after
        assert b"x-death" in after

    @pytest.mark.parametrize("table", [WIDE, nested(32)])
    def test_what_was_as_large_as_it_may_be(self, table: bytes) -> None:
        assert b"x-death" in self.dead_letter(header(0, FLAG_HEADERS, table))

    def test_an_expiration_has_come_to_its_end(self) -> None:
        after = self.dead_letter(header(0, FLAG_EXPIRATION, shortstr(b"60000")))
        assert int.from_bytes(after[12:14], "big") == FLAG_HEADERS
        assert b"original-expiration" in after

    def test_delivery_counts_of_what_nobody_looked_into(self) -> None:
        client = World().open()
        arguments = {"x-queue-type": "quorum"}
        client.call(QueueDeclare(queue="q", durable=True, arguments=arguments))
        flags = FLAG_CONTENT_TYPE | FLAG_HEADERS
        properties = shortstr(b"\xff") + WIDE
        raw_publish(client, "q", header(0, flags, properties))
        client.send(BasicGet(queue="q"), BasicReject(1))
        client.outbox.take(1 << 30)
        assert b"x-delivery-count" in get_raw(client, "q")

    def test_by_time_alone(self) -> None:
        """Nobody's turn but the broker's: an error here would be everybody's."""
        world = World()
        client = world.open()
        arguments: Table = {**TO_SECOND, "x-message-ttl": 1000}
        client.call(QueueDeclare(queue="first", arguments=arguments))
        client.call(QueueDeclare(queue="second"))
        raw_publish(client, "first", header(0, FLAG_CONTENT_TYPE, shortstr(b"\xff")))
        world.advance(1.0)
        assert b"x-death" in get_raw(client, "second")


class TestHeadersTooLarge:
    """A content header cannot be divided: what no frame can hold cannot be sent."""

    def prepare(self) -> tuple[RawClient, RawClient]:
        world = World()
        large, small = world.open(), world.open(frame_max=4096)
        large.call(QueueDeclare(queue="q"))
        large.publish("q", b"body", headers={"k": "v" * 5000})
        return large, small

    @pytest.mark.parametrize("no_ack", [False, True])
    def test_for_get(self, no_ack: bool) -> None:
        large, small = self.prepare()
        (close,) = small.call(BasicGet(queue="q", no_ack=no_ack))
        assert isinstance(close, ChannelClose)
        assert close.reply_code == 311
        large.send(BasicGet(queue="q"))
        assert large.bodies() == [b"body"]

    def test_for_a_consumer(self) -> None:
        large, small = self.prepare()
        small.call(BasicConsume(queue="q"))
        small.world.advance(0)  # the channel closes in a turn of its own
        (close,) = small.methods()
        assert isinstance(close, ChannelClose)
        assert close.reply_code == 311
        large.send(BasicGet(queue="q"))
        assert large.bodies() == [b"body"]


class TestPoison:
    """What a publisher or a declare plants must not go off in another's turn."""

    def test_a_death_count_that_cannot_grow(self) -> None:
        world = World()
        publisher, consumer = world.open(), world.open()
        publisher.call(QueueDeclare(queue="second"))
        publisher.call(QueueDeclare(queue="first", arguments=TO_SECOND))
        death: Table = {"queue": "first", "reason": "rejected", "count": 2**63 - 1}
        publisher.publish("first", b"x", headers={"x-death": [death]})
        consumer.call(BasicGet(queue="first"))
        assert consumer.call(BasicReject(1, requeue=False)) == []
        consumer.send(BasicGet(queue="second"))
        assert consumer.bodies() == [b"x"]

    def test_a_dead_letter_routing_key_that_cannot_be_sent(self) -> None:
        client = World().open()
        arguments: Table = {**TO_SECOND, "x-dead-letter-routing-key": "k" * 256}
        (close,) = client.call(QueueDeclare(queue="first", arguments=arguments))
        assert isinstance(close, ChannelClose)
        assert close.reply_code == 406

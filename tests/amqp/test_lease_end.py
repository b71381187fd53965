"""What ends a lease: `x-consumer-timeout-action` of a queue or of a consumer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.pairs import CAPABILITIES, RawClient, World
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicQos,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    QueueDeclare,
)

if TYPE_CHECKING:
    from warren.wire.methods import Method
    from warren.wire.table import Table
    from warren_broker.core.queue import Queue

SECONDS: Final = 10.0
TIMEOUT: Final[Table] = {"x-consumer-timeout": 10_000}
DEAF: Final = CAPABILITIES | {"consumer_cancel_notify": False}
TIMED_OUT: Final = ChannelClose(
    406,
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out."
    " Timeout value used: 10000 ms. This timeout value can be configured,"
    " see consumers doc guide to learn more",
)


class Case:
    """A client with a consumer `c` of the queue `q`, whose leases end in some way."""

    def __init__(
        self,
        action: str,
        *,
        by_consumer: bool = False,
        arguments: Table | None = None,
        capabilities: dict[str, bool] = CAPABILITIES,
        prefetch: int = 0,
    ) -> None:
        self.world = World()
        self.client = self.world.open(capabilities=capabilities)
        terms: Table = TIMEOUT | {"x-consumer-timeout-action": action}
        of_queue = (arguments or {}) | ({} if by_consumer else terms)
        self.client.call(QueueDeclare(queue="q", arguments=of_queue))
        self.client.call(QueueDeclare(queue="dead"), BasicQos(0, prefetch))
        of_consumer = terms if by_consumer else {}
        self.consume = BasicConsume(queue="q", consumer_tag="c", arguments=of_consumer)
        assert self.client.ask(self.consume) == BasicConsumeOk("c")

    def publish(self, *bodies: bytes) -> None:
        """Publish; forget what is delivered."""
        self.client.publish("q", *bodies)
        self.client.arrivals()

    def late(self) -> list[Method]:
        """Let the time of what was just delivered pass; return what is heard."""
        self.world.advance(SECONDS)
        return self.client.methods()

    def queue(self, name: str = "q") -> Queue:
        return self.world.broker.vhosts["/"].queues[name]

    def ready(self, name: str = "q") -> list[bytes]:
        return [entry.message.body for entry in self.queue(name).backlog]


both = pytest.mark.parametrize("by_consumer", [False, True])


class TestRequeue:
    @both
    def test_is_what_happens_anyway(self, by_consumer: bool) -> None:
        case = Case("requeue", by_consumer=by_consumer)
        case.publish(b"1")
        (again,) = case.late()
        assert again == BasicDeliver("c", 2, True, "", "q")


class TestDeadLetter:
    TO_DEAD: Final[Table] = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dead",
    }

    @both
    def test_buries_that_message_alone(self, by_consumer: bool) -> None:
        case = Case("dead-letter", by_consumer=by_consumer, arguments=self.TO_DEAD)
        case.publish(b"1")
        case.world.advance(5.0)
        case.publish(b"2")
        case.world.advance(5.0)
        assert case.client.methods() == []
        assert case.ready("dead") == [b"1"]
        assert case.queue().unacked_count == 1
        assert case.client.call(BasicAck(2)) == []

    def test_tells_the_reason(self) -> None:
        case = Case("dead-letter", arguments=self.TO_DEAD)
        case.publish(b"1")
        case.late()
        case.client.send(BasicGet(queue="dead"))
        (arrival,) = case.client.arrivals()
        assert arrival.properties is not None
        headers = arrival.properties.headers or {}
        (death,) = headers["x-death"]  # type: ignore[union-attr,misc]
        assert (death["queue"], death["reason"]) == ("q", "consumer_timeout")  # type: ignore[index,call-overload]
        assert headers["x-first-death-reason"] == "consumer_timeout"

    def test_makes_room_for_the_next(self) -> None:
        case = Case("dead-letter", arguments=self.TO_DEAD, prefetch=1)
        case.publish(b"1", b"2")
        assert case.late() == [BasicDeliver("c", 2, False, "", "q")]

    def test_leaves_late_acks_harmless(self) -> None:
        case = Case("dead-letter", arguments=self.TO_DEAD)
        case.publish(b"1")
        case.late()
        assert case.client.call(BasicAck(1)) == []
        assert (case.queue().late_ack_count, case.ready("dead")) == (1, [b"1"])

    def test_drops_what_has_nowhere_to_go(self) -> None:
        case = Case("dead-letter")
        case.publish(b"1")
        assert case.late() == []
        assert (case.ready(), case.queue().unacked_count) == ([], 0)


class TestCancel:
    @both
    def test_tells_the_client_and_gives_the_message_on(self, by_consumer: bool) -> None:
        case = Case("cancel", by_consumer=by_consumer)
        other = case.world.open()
        case.publish(b"1")
        other.call(BasicConsume(queue="q", consumer_tag="d"))
        assert case.late() == [BasicCancel("c", no_wait=True)]
        assert other.methods() == [BasicDeliver("d", 1, True, "", "q")]

    def test_leaves_the_rest_to_the_channel(self) -> None:
        case = Case("cancel")
        case.publish(b"1")
        case.world.advance(5.0)
        case.publish(b"2")
        case.world.advance(5.0)
        assert case.client.methods() == [BasicCancel("c", no_wait=True)]
        assert case.ready() == [b"1"]
        assert case.client.call(BasicAck(2)) == []
        assert case.client.call(BasicAck(1)) == []  # late, but not too late
        assert (case.ready(), case.queue().unacked_count) == ([], 0)

    def test_has_room_for_a_consumer_of_the_same_name(self) -> None:
        case = Case("cancel")
        case.publish(b"1")
        case.late()
        assert case.client.connection.consumer_count == 0
        assert case.client.call(case.consume) == [
            BasicConsumeOk("c"),
            BasicDeliver("c", 2, True, "", "q"),
        ]

    def test_crosses_a_cancel_of_the_client(self) -> None:
        case = Case("cancel")
        case.publish(b"1")
        case.late()
        assert case.client.ask(BasicCancel("c")) == BasicCancelOk("c")

    def test_happens_once(self) -> None:
        """What a cancelled consumer still has goes back when its time comes."""
        case = Case("cancel")
        case.publish(b"1")
        case.world.advance(5.0)
        case.publish(b"2")
        case.world.advance(SECONDS)
        assert case.client.methods() == [BasicCancel("c", no_wait=True)]
        assert case.ready() == [b"1", b"2"]

    def test_closes_the_channel_of_one_who_cannot_hear_it(self) -> None:
        case = Case("cancel", capabilities=DEAF)
        case.publish(b"1", b"2")
        assert case.late() == [TIMED_OUT]
        assert case.ready() == [b"1", b"2"]

    def test_closes_no_channel_for_a_consumer_that_is_gone(self) -> None:
        case = Case("cancel", capabilities=DEAF)
        case.publish(b"1")
        case.client.call(BasicCancel("c"))
        assert case.late() == []
        assert case.ready() == [b"1"]

    def test_closes_the_channel_for_what_no_consumer_has(self) -> None:
        case = Case("cancel")
        case.client.call(BasicCancel("c"))
        case.publish(b"1")
        case.client.call(BasicGet(queue="q"))
        assert case.late() == [TIMED_OUT]

    def test_takes_an_auto_delete_queue_with_it(self) -> None:
        world = World()
        client = world.open()
        terms = TIMEOUT | {"x-consumer-timeout-action": "cancel"}
        client.call(QueueDeclare(queue="q", auto_delete=True, arguments=terms))
        client.call(BasicConsume(queue="q", consumer_tag="c"))
        client.publish("q", b"1")
        client.arrivals()
        world.advance(SECONDS)
        assert client.methods() == [BasicCancel("c", no_wait=True)]
        assert not world.broker.vhosts["/"].queues
        assert client.call(BasicAck(1)) == []


class TestCloseChannel:
    @both
    def test_has_rabbitmqs_words(self, by_consumer: bool) -> None:
        case = Case("close-channel", by_consumer=by_consumer)
        case.publish(b"1")
        assert case.late() == [TIMED_OUT]
        assert not case.client.closed

    def test_gives_everything_back(self) -> None:
        case = Case("close-channel")
        case.publish(b"1")
        case.world.advance(5.0)
        case.publish(b"2", b"3")
        case.world.advance(5.0)
        assert case.client.methods() == [TIMED_OUT]
        assert case.ready() == [b"1", b"2", b"3"]
        assert (case.queue().unacked_count, case.queue().ack_timeout_count) == (0, 1)

    def test_is_the_end_of_one_channel(self) -> None:
        case = Case("close-channel")
        case.client.call(ChannelOpen(), channel=2)
        case.publish(b"1")
        case.late()
        assert case.client.call(BasicGet(queue="q"), channel=2) != []
        case.client.send(ChannelCloseOk())
        assert case.client.ask(ChannelOpen()) == ChannelOpenOk()

    def test_forgets_the_acks_that_come_after_it(self) -> None:
        case = Case("close-channel")
        case.publish(b"1")
        assert case.late() == [TIMED_OUT]
        assert case.client.call(BasicAck(1)) == []
        assert case.ready() == [b"1"]

    def test_counts_as_a_failure(self) -> None:
        """Delayed retries make the difference: as for any channel that is closed."""
        retry = {"x-delayed-retry-type": "failed", "x-delayed-retry-min": 5000}
        case = Case("close-channel", arguments=retry)
        case.publish(b"1")
        case.late()
        assert case.ready() == []
        case.world.advance(6.0)
        assert case.ready() == [b"1"]


BAD: Final[list[tuple[Table, str]]] = [
    (
        {"x-consumer-timeout-action": "explode"},
        "invalid arg 'x-consumer-timeout-action' for queue 'q' in vhost '/':"
        " \"'explode' is none of requeue, dead-letter, cancel, close-channel\"",
    ),
    (
        {"x-consumer-timeout-action": 1},
        "invalid arg 'x-consumer-timeout-action' for queue 'q' in vhost '/':"
        " {unacceptable_type,signedint}",
    ),
    (
        {"x-lease-renew": "channel"},
        "invalid arg 'x-lease-renew' for queue 'q' in vhost '/':"
        " \"'channel' is none of connection\"",
    ),
    (
        {"x-lease-renew": True},
        "invalid arg 'x-lease-renew' for queue 'q' in vhost '/':"
        " {unacceptable_type,bool}",
    ),
    (
        {"x-lease-max": 0},
        "invalid arg 'x-lease-max' for queue 'q' in vhost '/': {value_zero,0}",
    ),
    (
        {"x-lease-max": -1},
        "invalid arg 'x-lease-max' for queue 'q' in vhost '/': {value_negative,-1}",
    ),
    (
        {"x-lease-max": 315_360_000_001},
        "invalid arg 'x-lease-max' for queue 'q' in vhost '/':"
        " {value_too_large,315360000001}",
    ),
    (
        {"x-lease-max": "1h"},
        "invalid arg 'x-lease-max' for queue 'q' in vhost '/':"
        ' "expected integer, got longstr"',
    ),
]


@pytest.mark.parametrize(("arguments", "text"), BAD)
class TestBadTerms:
    def test_of_a_consumer(self, arguments: Table, text: str) -> None:
        client = World().open()
        client.call(QueueDeclare(queue="q"))
        (close,) = client.call(BasicConsume(queue="q", arguments=arguments))
        assert isinstance(close, ChannelClose)
        assert (close.reply_code, close.reply_text) == (
            406,
            f"PRECONDITION_FAILED - {text}",
        )
        assert not len(client.world.broker.vhosts["/"].queues["q"].roster)

    def test_of_a_queue(self, arguments: Table, text: str) -> None:
        client = World().open()
        (close,) = client.call(QueueDeclare(queue="q", arguments=arguments))
        assert isinstance(close, ChannelClose)
        assert (close.reply_code, close.reply_text) == (
            406,
            f"PRECONDITION_FAILED - {text}",
        )
        assert not client.world.broker.vhosts["/"].queues


def test_every_redelivery_tells_its_count() -> None:
    """On every queue; what is delivered first stays byte for byte as it was."""
    world = World()
    client: RawClient = world.open()
    client.call(QueueDeclare(queue="q", arguments=TIMEOUT))
    client.call(BasicConsume(queue="q"))
    client.publish("q", b"1", headers={"mine": "x", "x-delivery-count": "mine too"})
    found = []
    for _ in range(3):
        (arrival,) = client.arrivals()
        assert arrival.properties is not None
        found.append(arrival.properties.headers)
        world.advance(SECONDS)
    assert found == [
        {"mine": "x", "x-delivery-count": "mine too"},
        {"mine": "x", "x-delivery-count": 1},
        {"mine": "x", "x-delivery-count": 2},
    ]

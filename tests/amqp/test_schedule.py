"""Messages for later: what their publishers hear, and what receivers get."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicGetOk,
    BasicReject,
    BasicReturn,
    ChannelClose,
    ConfirmSelect,
    ExchangeDeclare,
    ExchangeDelete,
    QueueBind,
    QueueDeclare,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
)
from warren.wire.table import ByteArray, LongInt
from warren_broker.core.access import Access, PasswordHash, Permissions
from warren_broker.core.limits import Limits

if TYPE_CHECKING:
    from tests.pairs import Arrival

PUBLISH = (60, 40)
NO_ROUTE = BasicReturn(312, "NO_ROUTE", "", "q")
LONG = "x" * 256


def opened(limits: Limits | None = None, *, confirms: bool = True) -> RawClient:
    """A client with a queue `q`, in confirm mode."""
    client = World(limits).open(channels=(1, 2))
    client.call(QueueDeclare(queue="q"))
    if confirms:
        client.call(ConfirmSelect())
    return client


def scheduled(client: RawClient) -> int:
    return len(client.world.broker.vhosts["/"].schedule)


def ready(client: RawClient, queue: str = "q") -> list[bytes]:
    backlog = client.world.broker.vhosts["/"].queues[queue].backlog
    return [entry.message.body for entry in backlog]


def refusal(client: RawClient) -> tuple[int, str]:
    """The error that closed channel 1."""
    (method,) = client.methods()
    assert isinstance(method, ChannelClose)
    assert (method.failing_class_id, method.failing_method_id) == PUBLISH
    return method.reply_code, method.reply_text


def got(client: RawClient) -> Arrival:
    client.send(BasicGet(queue="q", no_ack=True), channel=2)
    (arrival,) = client.arrivals()
    assert isinstance(arrival.method, BasicGetOk)
    return arrival


class TestOutcomes:
    def test_taken_is_confirmed(self) -> None:
        client = opened()
        client.publish("q", b"1", b"2", headers={"x-delay": 1000})
        assert client.methods() == [BasicAck(2, multiple=True)]
        assert ready(client) == []
        client.world.advance(1)
        assert ready(client) == [b"1", b"2"]
        assert client.methods() == []

    def test_taken_counts_as_routed(self) -> None:
        client = opened()
        client.publish("nobody", b"1", mandatory=True, headers={"x-delay": 1000})
        assert client.methods() == [BasicAck(1)]
        client.world.advance(1)
        assert client.methods() == []

    def test_a_full_queue_is_nobodys_trouble_later(self) -> None:
        client = opened()
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        client.call(QueueDeclare(queue="full", arguments=arguments), channel=2)  # type: ignore[arg-type]
        client.publish("full", b"1", b"2", headers={"x-delay": 1000})
        assert client.methods() == [BasicAck(2, multiple=True)]
        client.world.advance(1)
        assert client.methods() == []
        assert ready(client, "full") == [b"1"]

    def test_delivered_as_soon_as_it_is_time(self) -> None:
        client = opened()
        client.call(BasicConsume(queue="q", no_ack=True), channel=2)
        client.publish("q", b"1", headers={"x-delay": 1500})
        client.methods()
        client.world.advance(1.499)
        assert client.methods() == []
        client.world.advance(0.002)
        (arrival,) = client.arrivals()
        assert isinstance(arrival.method, BasicDeliver)
        assert arrival.method.routing_key == "q"
        assert not arrival.method.redelivered

    def test_waits_although_its_publisher_has_gone(self) -> None:
        client = opened()
        other = client.world.open()
        client.publish("q", b"1", headers={"x-delay": 1000})
        client.hang_up()
        client.world.advance(1)
        other.send(BasicGet(queue="q"))
        assert other.bodies() == [b"1"]

    def test_an_empty_body_waits_as_well(self) -> None:
        client = opened()
        client.publish("q", b"", headers={"x-delay": 1000})
        client.world.advance(1)
        assert ready(client) == [b""]


class TestWhatReceiversGet:
    @pytest.mark.parametrize("delay", [1000, "1000", 1000.0, LongInt(1000)])
    def test_the_delay_negated(self, delay: object) -> None:
        client = opened(confirms=False)
        client.publish(
            "q", b"1", headers={"x-delay": delay, "k": "v"}, message_id="m", priority=3
        )
        client.world.advance(1)
        properties = got(client).properties
        assert properties is not None
        assert properties.headers == {"x-delay": -1000, "k": "v"}
        assert (properties.message_id, properties.priority) == ("m", 3)

    def test_other_headers_as_they_were(self) -> None:
        client = opened(confirms=False)
        headers = {"x-deliver-at": "1970-01-01T00:00:01Z", "x-schedule-id": "a"}
        client.publish("q", b"1", headers=headers, content_type="text/plain")
        client.world.advance(1)
        properties = got(client).properties
        assert properties is not None
        assert properties.headers == headers
        assert properties.content_type == "text/plain"

    def test_no_blind_copies(self) -> None:
        client = opened(confirms=False)
        client.call(QueueDeclare(queue="cc"), QueueDeclare(queue="bcc"))
        client.publish("q", b"1", headers={"x-delay": 1, "CC": ["cc"], "BCC": ["bcc"]})
        client.world.advance(1)
        assert [ready(client, name) for name in ("q", "cc", "bcc")] == [[b"1"]] * 3
        properties = got(client).properties
        assert properties is not None
        assert properties.headers == {"x-delay": -1, "CC": ["cc"]}

    def test_the_time_to_live_begins_late(self) -> None:
        client = opened(confirms=False)
        client.publish("q", b"1", headers={"x-delay": 5000}, expiration="1000")
        client.world.advance(5.9)
        assert ready(client) == [b"1"]
        client.world.advance(0.2)
        assert ready(client) == []

    def test_a_dead_letter_does_not_wait_again(self) -> None:
        client = opened(confirms=False)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q"}
        client.call(QueueDeclare(queue="first", arguments=arguments))  # type: ignore[arg-type]
        headers = {"x-delay": 1000, "x-deliver-at": 2000, "x-schedule-id": "a"}
        client.publish("first", b"1", headers=headers)
        client.world.advance(2)
        client.publish("", b"2", headers={"x-delay": 9000, "x-schedule-id": "a"})
        client.call(BasicGet(queue="first"))
        client.call(BasicReject(1, requeue=False))
        assert ready(client) == [b"1"]
        assert scheduled(client) == 1  # the name of a dead letter means nothing
        assert got(client).properties.headers["x-delay"] == -1000  # type: ignore[union-attr,index]

    def test_a_request_is_answered_directly_after_a_delay(self) -> None:
        client = opened(confirms=False)
        name = "amq.rabbitmq.reply-to"
        client.call(BasicConsume(queue=name, no_ack=True))
        client.publish("q", b"?", reply_to=name, headers={"x-delay": 1000})
        client.world.advance(1)
        properties = got(client).properties
        assert properties is not None
        assert properties.reply_to is not None
        client.publish(properties.reply_to, b"!", headers={"x-delay": 1000}, channel=2)
        assert client.bodies() == []
        client.world.advance(1)
        assert client.bodies() == [b"!"]

    def test_through_an_exchange_of_the_plugins_type(self) -> None:
        client = opened(confirms=False)
        arguments = {"x-delayed-type": "topic"}
        client.call(
            ExchangeDeclare(
                exchange="x",
                type="x-delayed-message",
                arguments=arguments,  # type: ignore[arg-type]
            ),
            QueueBind(queue="q", exchange="x", routing_key="a.*"),
        )
        client.publish("a.b", b"2", exchange="x", headers={"x-delay": 2000})
        client.publish("a.b", b"1", exchange="x", headers={"x-delay": 1000})
        client.publish("a.b", b"0", exchange="x")
        client.world.advance(2)
        assert ready(client) == [b"0", b"1", b"2"]


class TestNames:
    def test_the_last_one_counts(self) -> None:
        client = opened()
        for body, delay in ((b"1", 1000), (b"2", 3000), (b"3", 2000)):
            headers = {"x-delay": delay, "x-schedule-id": "a"}
            client.publish("q", body, headers=headers)
        assert client.methods() == [BasicAck(1), BasicAck(2), BasicAck(3)]
        client.world.advance(5)
        assert ready(client) == [b"3"]

    def test_one_that_does_not_wait_counts_as_well(self) -> None:
        client = opened()
        client.publish("q", b"1", headers={"x-delay": 1000, "x-schedule-id": "a"})
        client.publish("q", b"2", headers={"x-schedule-id": "a"})
        client.world.advance(5)
        assert ready(client) == [b"2"]

    def test_taken_out(self) -> None:
        client = opened()
        client.publish("q", b"1", headers={"x-delay": 1000, "x-schedule-id": "a"})
        client.publish(
            "q", b"ignored", mandatory=True, headers={"x-schedule-cancel": "a"}
        )
        assert client.methods() == [BasicAck(1), BasicAck(2)]
        client.world.advance(5)
        assert ready(client) == []

    def test_nothing_to_take_out_is_no_route(self) -> None:
        client = opened()
        headers = {"x-schedule-cancel": "a"}
        client.publish("q", b"1", headers=headers)
        assert client.methods() == [BasicAck(1)]
        client.publish("q", b"2", mandatory=True, headers=headers)
        assert client.methods() == [NO_ROUTE, BasicAck(2)]
        assert ready(client) == []

    def test_255_bytes_are_a_name(self) -> None:
        client = opened()
        client.publish("q", b"1", headers={"x-delay": 1, "x-schedule-id": LONG[1:]})
        client.publish("q", b"", headers={"x-schedule-cancel": LONG[1:]})
        assert client.methods() == [BasicAck(1), BasicAck(2)]
        assert scheduled(client) == 0


BAD = [
    ("x-delay", "soon", "'soon': no_integer"),
    ("x-delay", "", "'': no_integer"),
    ("x-delay", "1.5", "'1.5': no_integer"),
    ("x-delay", " 5", "' 5': no_integer"),
    ("x-delay", "٣", "'٣': no_integer"),
    ("x-delay", "1" * 21, f"'{'1' * 21}': no_integer"),
    ("x-delay", "1" * 5000, f"'{'1' * 100}': no_integer"),
    ("x-delay", math.nan, "'nan': no_integer"),
    ("x-delay", math.inf, "'inf': no_integer"),
    ("x-delay", True, "'true': {unacceptable_type,bool}"),
    ("x-delay", ByteArray(b"5"), "'b'5'': {unacceptable_type,binary}"),
    ("x-delay", [], "'[]': {unacceptable_type,array}"),
    ("x-delay", {}, "'{}': {unacceptable_type,table}"),
    (
        "x-delay",
        datetime(2026, 1, 1, tzinfo=UTC),
        "'1767225600': {unacceptable_type,timestamp}",
    ),
    ("x-deliver-at", "tomorrow", "'tomorrow': no_moment"),
    ("x-deliver-at", "10000-01-01T00:00:00Z", "'10000-01-01T00:00:00Z': no_moment"),
    ("x-deliver-at", math.nan, "'nan': no_moment"),
    ("x-deliver-at", True, "'true': no_moment"),
    ("x-deliver-at", 2**63 - 1, "'9223372036854775807': no_moment"),
    ("x-deliver-at", [1], "'[1]': no_moment"),
    ("x-schedule-id", 7, "'7': {unacceptable_type,signedint}"),
    ("x-schedule-id", LONG, f"'{LONG[:100]}': {{too_long,256}}"),
    ("x-schedule-cancel", True, "'true': {unacceptable_type,bool}"),
    ("x-schedule-cancel", LONG, f"'{LONG[:100]}': {{too_long,256}}"),
    ("x-retry-delay", -1, "'-1': {value_negative,-1}"),
    ("x-retry-delay", "-1", "'-1': {value_negative,-1}"),
    ("x-retry-delay", "later", "'later': no_integer"),
    ("x-retry-delay", False, "'false': {unacceptable_type,bool}"),
    (
        "x-retry-delay",
        315_360_000_001,
        "'315360000001': {value_too_large,315360000001}",
    ),
]


class TestRefusals:
    @pytest.mark.parametrize(("key", "value", "text"), BAD)
    def test_values_that_cannot_be(self, key: str, value: object, text: str) -> None:
        client = opened()
        client.publish("q", b"1", headers={"x-delay": 9000, "x-schedule-id": "a"})
        client.methods()
        client.publish("q", b"2", headers={"x-schedule-id": "a", key: value})
        assert refusal(client) == (406, f"PRECONDITION_FAILED - invalid {key} {text}")
        assert (scheduled(client), ready(client)) == (1, [])
        client.world.advance(9)
        assert ready(client) == [b"1"]

    @pytest.mark.parametrize(
        "headers",
        [
            {"x-delay": 315_360_000_001},
            {"x-delay": Decimal(2**31 - 1), "x-deliver-at": "1979-12-31"},
        ],
    )
    def test_too_late(self, headers: dict[str, object]) -> None:
        client = opened()
        client.publish("q", b"1", headers=headers)
        code, text = refusal(client)
        assert code == 406
        assert "value_too_large" in text
        assert scheduled(client) == 0

    def test_too_many(self) -> None:
        client = opened(Limits(scheduled_max=2))
        client.publish("q", b"1", b"2", b"3", headers={"x-delay": 1000})
        code, text = refusal_after(client, BasicAck(2, multiple=True))
        assert code == 406
        assert text.startswith("PRECONDITION_FAILED - cannot schedule message: limit")
        client.world.advance(1)
        assert ready(client) == [b"1", b"2"]

    @pytest.mark.parametrize("key", ["x-delay", "x-schedule-cancel", "x-schedule-id"])
    @pytest.mark.parametrize(
        ("exchange", "code"), [("gone", 404), ("amq.rabbitmq.trace", 403)]
    )
    def test_the_exchange_is_looked_up_at_once(
        self, key: str, exchange: str, code: int
    ) -> None:
        client = opened()
        value = 1000 if key == "x-delay" else "a"
        client.publish("q", b"1", exchange=exchange, headers={key: value})
        assert refusal(client)[0] == code
        assert scheduled(client) == 0

    def test_rights_are_asked_for_at_once(self) -> None:
        access = Access()
        access.add_user("weak", PasswordHash.of(b"weak"))
        access.set_permissions(
            "weak", "/", Permissions(configure="", write="", read="")
        )
        client = World(access=access).open(login=b"\0weak\0weak")
        client.publish("q", b"1", headers={"x-delay": 1000})
        assert refusal(client)[0] == 403
        assert scheduled(client) == 0

    def test_so_is_who_it_is(self) -> None:
        client = opened()
        client.publish("q", b"1", user_id="else", headers={"x-delay": 1000})
        assert refusal(client)[0] == 406
        assert scheduled(client) == 0

    def test_and_how_large(self) -> None:
        client = opened(Limits(message_size_max_bytes=10))
        client.publish("q", bytes(11), headers={"x-delay": 1000})
        assert refusal(client)[0] == 406
        assert scheduled(client) == 0


def refusal_after(client: RawClient, *before: object) -> tuple[int, str]:
    *first, last = client.methods()
    assert first == list(before)
    assert isinstance(last, ChannelClose)
    return last.reply_code, last.reply_text


class TestTransactions:
    def opened(self, limits: Limits | None = None) -> RawClient:
        client = opened(limits, confirms=False)
        client.call(TxSelect())
        return client

    def test_time_runs_from_the_commit(self) -> None:
        client = self.opened()
        client.publish("q", b"1", headers={"x-delay": 1000})
        client.world.advance(5)
        assert scheduled(client) == 0
        assert client.ask(TxCommit()) == TxCommitOk()
        assert (scheduled(client), ready(client)) == (1, [])
        client.world.advance(1)
        assert ready(client) == [b"1"]

    def test_a_moment_may_be_over_by_then(self) -> None:
        client = self.opened()
        client.publish("q", b"1", headers={"x-deliver-at": 1000})
        client.world.advance(5)
        client.call(TxCommit())
        assert ready(client) == [b"1"]

    def test_forgotten_by_rollback(self) -> None:
        client = self.opened()
        client.publish("q", b"1", headers={"x-delay": 1000})
        assert client.ask(TxRollback()) == TxRollbackOk()
        client.call(TxCommit())
        assert scheduled(client) == 0

    def test_names_in_order(self) -> None:
        client = self.opened()
        client.publish("q", b"1", headers={"x-delay": 1000, "x-schedule-id": "a"})
        client.publish("q", b"", headers={"x-schedule-cancel": "a"})
        client.publish("q", b"", headers={"x-schedule-cancel": "a"}, mandatory=True)
        assert client.call(TxCommit()) == [NO_ROUTE, TxCommitOk()]
        assert scheduled(client) == 0

    def test_too_late_is_known_before(self) -> None:
        client = self.opened()
        client.publish("q", b"1", headers={"x-delay": 10**15})
        assert refusal(client)[0] == 406

    def test_a_commit_without_room_changes_nothing(self) -> None:
        client = self.opened(Limits(scheduled_max=2))
        client.publish("q", b"0")
        client.publish("q", b"1", b"2", b"3", headers={"x-delay": 1000})
        (closed,) = client.call(TxCommit())
        assert isinstance(closed, ChannelClose)
        assert closed.reply_code == 406
        assert (scheduled(client), ready(client)) == (0, [])

    def test_an_exchange_that_went_meanwhile(self) -> None:
        client = self.opened()
        client.call(ExchangeDeclare(exchange="x"), channel=2)
        client.publish("q", b"1", exchange="x", headers={"x-delay": 1000})
        client.call(ExchangeDelete(exchange="x"), channel=2)
        (closed,) = client.call(TxCommit())
        assert isinstance(closed, ChannelClose)
        assert closed.reply_code == 404

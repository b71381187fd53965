"""Consuming and settling: who gets what, in what order, and how much of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverAsync,
    BasicRecoverOk,
    BasicReject,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
)

if TYPE_CHECKING:
    from warren.wire.table import Table


def deliveries(client: RawClient) -> list[tuple[str, int, bytes, bool]]:
    """Consumer tag, delivery tag, body, redelivered."""
    found = []
    for each in client.arrivals():
        method = each.method
        if isinstance(method, BasicDeliver):
            tag = method.delivery_tag
            found.append((method.consumer_tag, tag, each.body, method.redelivered))
    return found


def bodies_of(client: RawClient) -> list[bytes]:
    return [body for _, _, body, _ in deliveries(client)]


def with_messages(count: int, **arguments: object) -> RawClient:
    """A client whose queue `q` has messages 0, 1, 2 ..."""
    client = World().open()
    table: Table = {f"x-{key.replace('_', '-')}": arguments[key] for key in arguments}  # type: ignore[misc]
    client.call(QueueDeclare(queue="q", arguments=table))
    client.publish("q", *[b"%d" % number for number in range(count)])
    return client


class TestConsuming:
    def test_consume_ok_comes_before_the_first_delivery(self) -> None:
        client = with_messages(1)
        ok, delivery = client.call(BasicConsume(queue="q", consumer_tag="c"))
        assert ok == BasicConsumeOk("c")
        assert delivery == BasicDeliver("c", 1, False, "", "q")

    def test_without_an_answer(self) -> None:
        client = with_messages(1)
        client.send(BasicConsume(queue="q", consumer_tag="c", no_wait=True))
        assert deliveries(client) == [("c", 1, b"0", False)]

    def test_a_consumer_without_a_name_gets_one(self) -> None:
        client = with_messages(0)
        (ok,) = client.call(BasicConsume(queue="q"))
        assert isinstance(ok, BasicConsumeOk)
        assert ok.consumer_tag.startswith("amq.ctag-")

    def test_nothing_comes_after_cancel_ok(self) -> None:
        client = with_messages(0)
        client.call(BasicConsume(queue="q", consumer_tag="c"))
        assert client.ask(BasicCancel("c")) == BasicCancelOk("c")
        client.publish("q", b"1")
        assert client.methods() == []
        assert client.ask(QueueDeclare(queue="q")) == QueueDeclareOk("q", 1, 0)

    def test_what_it_holds_stays_with_its_channel(self) -> None:
        client = with_messages(2)
        client.call(BasicConsume(queue="q", consumer_tag="c"), BasicCancel("c"))
        client.send(BasicAck(1), BasicNack(2))
        client.send(BasicGet(queue="q"))
        (arrival,) = client.arrivals()
        assert arrival.body == b"1"

    def test_a_tag_may_be_used_again_after_cancel(self) -> None:
        client = with_messages(0)
        for _ in range(2):
            assert client.ask(BasicConsume(queue="q", consumer_tag="c"))
            assert client.ask(BasicCancel("c")) == BasicCancelOk("c")

    @pytest.mark.parametrize("can_hear", [True, False])
    def test_a_deleted_queue_cancels_those_who_can_hear_it(
        self, can_hear: bool
    ) -> None:
        world = World()
        client = world.open(capabilities={"consumer_cancel_notify": can_hear})
        client.call(QueueDeclare(queue="q"), BasicConsume(queue="q", consumer_tag="c"))
        other = world.open()
        assert other.ask(QueueDelete(queue="q")) == QueueDeleteOk(0)
        assert client.methods() == (
            [BasicCancel("c", no_wait=True)] if can_hear else []
        )
        assert client.call(BasicCancelOk("c")) == []  # some answer all the same
        client.call(QueueDeclare(queue="q"))
        assert client.ask(BasicConsume(queue="q", consumer_tag="c"))

    def test_what_was_held_of_a_deleted_queue_may_be_acked(self) -> None:
        client = with_messages(3)
        client.call(BasicConsume(queue="q"))
        client.call(QueueDelete(queue="q"))
        assert client.call(BasicAck(1), BasicNack(2), BasicReject(3)) == []

    def test_round_robin(self) -> None:
        client = with_messages(0)
        for tag in "abc":
            client.call(BasicConsume(queue="q", consumer_tag=tag))
        client.publish("q", *[b"x"] * 7)
        assert "".join(each[0] for each in deliveries(client)) == "abcabca"

    def test_a_full_consumer_loses_its_turn_only(self) -> None:
        client = with_messages(0)
        client.call(BasicQos(0, 1), BasicConsume(queue="q", consumer_tag="a"))
        client.call(BasicConsume(queue="q", consumer_tag="b", no_ack=True))
        client.publish("q", *[b"x"] * 4)
        assert "".join(each[0] for each in deliveries(client)) == "abbb"
        client.send(BasicAck(1))
        client.publish("q", *[b"x"] * 3)
        assert "".join(each[0] for each in deliveries(client)) == "bab"

    def test_higher_priority_first(self) -> None:
        client = with_messages(0)
        client.call(BasicQos(0, 2))
        for tag, priority in {"low": -1, "high": 5, "middle": 0}.items():
            arguments: Table = {"x-priority": priority}
            consume = BasicConsume(queue="q", consumer_tag=tag, arguments=arguments)
            client.call(consume)
        client.publish("q", *[b"x"] * 6)
        tags = [each[0] for each in deliveries(client)]
        assert tags == ["high", "high", "middle", "middle", "low", "low"]

    def test_messages_of_higher_priority_first(self) -> None:
        client = with_messages(0, max_priority=5)
        for priority in (1, 5, 3, 0, 9):
            client.publish("q", b"%d" % priority, priority=priority)
        client.call(BasicQos(0, 1))
        client.send(BasicConsume(queue="q", no_ack=True))
        assert bodies_of(client) == [b"5", b"9", b"3", b"1", b"0"]


class TestPrefetch:
    def test_of_a_consumer(self) -> None:
        client = with_messages(5)
        assert client.ask(BasicQos(0, 2)) == BasicQosOk()
        client.send(BasicConsume(queue="q", consumer_tag="a"))
        assert bodies_of(client) == [b"0", b"1"]
        client.send(BasicConsume(queue="q", consumer_tag="b"))
        assert bodies_of(client) == [b"2", b"3"]
        client.send(BasicAck(1))
        assert deliveries(client) == [("a", 5, b"4", False)]

    def test_of_a_channel(self) -> None:
        client = with_messages(9)
        client.call(BasicQos(0, 3, global_=True))
        client.call(BasicConsume(queue="q", consumer_tag="a"))
        client.send(BasicConsume(queue="q", consumer_tag="b"))
        assert bodies_of(client) == []
        client.send(BasicAck(2, multiple=True))
        assert len(bodies_of(client)) == 2

    def test_of_both(self) -> None:
        client = with_messages(9)
        client.call(BasicQos(0, 3, global_=True), BasicQos(0, 2))
        client.send(BasicConsume(queue="q", consumer_tag="a"))
        assert len(bodies_of(client)) == 2
        client.send(BasicConsume(queue="q", consumer_tag="b"))
        assert len(bodies_of(client)) == 1

    @pytest.mark.parametrize("is_global", [True, False])
    def test_of_a_consumer_that_runs(self, is_global: bool) -> None:
        """Celery gives a running consumer more room, and less."""
        client = with_messages(9)
        client.call(BasicQos(0, 1, is_global))
        client.send(BasicConsume(queue="q"))
        assert bodies_of(client) == [b"0"]
        client.send(BasicQos(0, 3, is_global))
        assert bodies_of(client) == [b"1", b"2"]
        client.send(BasicQos(0, 1, is_global), BasicAck(1), BasicAck(2))
        assert bodies_of(client) == []
        client.send(BasicAck(3))
        assert bodies_of(client) == [b"3"]

    @pytest.mark.parametrize("is_global", [True, False])
    def test_zero_is_no_limit(self, is_global: bool) -> None:
        client = with_messages(50)
        client.call(BasicQos(0, 1, is_global))
        client.send(BasicConsume(queue="q"), BasicQos(0, 0, is_global))
        assert len(bodies_of(client)) == 50

    def test_no_ack_has_none(self) -> None:
        client = with_messages(5)
        client.call(BasicQos(0, 1))
        client.send(BasicConsume(queue="q", no_ack=True))
        assert len(bodies_of(client)) == 5

    def test_get_has_none(self) -> None:
        client = with_messages(3)
        client.call(BasicQos(0, 1), BasicQos(0, 1, global_=True))
        answers = client.call(*[BasicGet(queue="q")] * 4)
        kinds = [type(each) for each in answers]
        assert kinds == [BasicGetOk, BasicGetOk, BasicGetOk, BasicGetEmpty]

    def test_get_tells_how_many_are_left(self) -> None:
        client = with_messages(2)
        first, second = client.call(*[BasicGet(queue="q", no_ack=True)] * 2)
        assert first == BasicGetOk(1, False, "", "q", 1)
        assert second == BasicGetOk(2, False, "", "q", 0)


class TestGivingBack:
    """What is not acked goes back to where it was."""

    @given(st.permutations(range(6)), st.integers(0, 6))
    def test_to_its_old_place(self, order: list[int], count: int) -> None:
        client = with_messages(6)
        client.call(*[BasicGet(queue="q")] * 6)
        for number in order[:count]:
            client.send(BasicNack(number + 1))
        client.send(*[BasicGet(queue="q")] * 6)
        assert [each.body for each in client.arrivals() if each.body] == [
            b"%d" % number for number in sorted(order[:count])
        ]

    @pytest.mark.parametrize(
        "give_back",
        [
            BasicNack(0, multiple=True),
            BasicNack(3, multiple=True),
            BasicRecover(requeue=True),
            BasicRecoverAsync(requeue=True),
        ],
    )
    def test_all_at_once(self, give_back: object) -> None:
        client = with_messages(5)
        client.call(BasicQos(0, 3), BasicConsume(queue="q"))
        client.send(give_back)  # type: ignore[arg-type]
        again = deliveries(client)
        assert [body for _, _, body, _ in again] == [b"0", b"1", b"2"]
        assert all(redelivered for *_, redelivered in again)

    def test_recover_is_answered(self) -> None:
        client = with_messages(0)
        assert client.ask(BasicRecover(requeue=True)) == BasicRecoverOk()

    def test_one_returned_among_others(self) -> None:
        client = with_messages(3)
        client.call(BasicQos(0, 1))
        client.send(BasicConsume(queue="q"))
        client.arrivals()
        client.send(BasicReject(1, requeue=True))
        assert deliveries(client)[0][2:] == (b"0", True)

    def test_refused_for_good_is_gone(self) -> None:
        client = with_messages(2)
        client.call(BasicConsume(queue="q"))
        client.send(BasicReject(1, requeue=False), BasicNack(2, requeue=False))
        client.hang_up()
        assert client.world.broker.vhosts["/"].queues["q"].backlog.count == 0

    def test_multiple_settles_up_to_its_tag(self) -> None:
        client = with_messages(5)
        client.call(BasicConsume(queue="q"))
        client.send(BasicAck(2), BasicAck(4, multiple=True))
        client.send(BasicNack(5))
        assert bodies_of(client) == [b"4"]

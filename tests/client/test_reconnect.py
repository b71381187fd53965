"""What happens to everything when a connection is lost and comes back."""

from __future__ import annotations

from random import Random

import pytest
import trio

import warren
from tests.client.memory import memory_broker
from tests.client.scripted import in_trio

AT_ONCE = warren.Reconnect(first_seconds=1, jitter=0)
RESENDING = warren.Reconnect(first_seconds=1, jitter=0, unconfirmed="resend")


# --- the policy


def test_waits_grow_and_are_bounded() -> None:
    policy = warren.Reconnect(first_seconds=1, most_seconds=10, factor=3, jitter=0)
    assert [policy.wait_seconds(failures) for failures in range(5)] == [1, 3, 9, 10, 10]
    assert policy.wait_seconds(10**6) == 10


def test_waits_differ() -> None:
    policy = warren.Reconnect(first_seconds=8, jitter=0.25, random=Random(1))
    waits = {policy.wait_seconds(0) for _ in range(100)}
    assert len(waits) == 100
    assert 6 <= min(waits) <= max(waits) <= 8


@pytest.mark.parametrize(
    "wrong", [{"jitter": 2}, {"factor": 0.5}, {"unconfirmed": "forget"}]
)
def test_policies_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        warren.Reconnect(**wrong)  # type: ignore[arg-type]


@in_trio
async def test_without_a_policy_a_loss_is_told_and_nothing_else() -> None:
    async with memory_broker() as broker, broker.connect() as connection:
        await connection.declare_queue("q")
        async with connection.consume("q") as consumer:
            await broker.lose_all()
            with pytest.raises(warren.ConnectionLost):
                await anext(consumer)
        for _ in "12":
            with pytest.raises(warren.ConnectionLost):
                await connection.publish(b"", routing_key="q")
            with pytest.raises(warren.ConnectionLost):
                await connection.declare_queue("q")
        assert connection.connects == len(broker.ends) == 1


@in_trio
async def test_attempts_wait_longer_and_longer() -> None:
    policy = warren.Reconnect(first_seconds=1, most_seconds=4, jitter=0)
    async with memory_broker() as broker, broker.connect(policy) as connection:
        broker.refusals = 4
        await broker.lose_all()
        await trio.testing.wait_all_tasks_blocked()
        assert not connection.is_connected
        started = trio.current_time()
        await connection.wait_connected()
        assert trio.current_time() - started == 1 + 2 + 4 + 4 + 4
        assert connection.connects == 2


@in_trio
async def test_who_gives_up_says_why() -> None:
    policy = warren.Reconnect(attempts=3, jitter=0)
    async with memory_broker() as broker, broker.connect(policy) as connection:
        await connection.declare_queue("q")
        async with connection.consume("q") as consumer:
            broker.refusals = 99
            await broker.lose_all()
            with pytest.raises(warren.ConnectionLost, match="is down"):
                await anext(consumer)
            with pytest.raises(ConnectionRefusedError):
                await connection.publish(b"", routing_key="q")
        assert broker.refusals == 99 - 3


@in_trio
async def test_a_broker_that_is_not_there_yet() -> None:
    async with memory_broker() as broker:
        broker.refusals = 2
        with pytest.raises(ConnectionRefusedError):
            async with broker.connect(AT_ONCE):
                pytest.fail("nobody was there")
        broker.refusals = 2
        async with broker.connect(warren.Reconnect(at_start=True)) as connection:
            assert connection.is_connected


@in_trio
async def test_a_login_that_is_refused_is_not_tried_again() -> None:
    policy = warren.Reconnect(at_start=True)
    async with memory_broker() as broker:
        with pytest.raises(warren.AccessRefused):
            async with broker.connect(policy, "amqp://guest:wrong@h/"):
                pytest.fail("it was let in")
        assert len(broker.ends) == 1


@in_trio
async def test_waiting_for_a_connection_can_be_cancelled() -> None:
    async with memory_broker() as broker, broker.connect(AT_ONCE) as connection:
        broker.refusals = 10**6
        await broker.lose_all()
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(5) as scope:
            await connection.publish(b"", routing_key="q")
        assert scope.cancelled_caught


# --- topology


@in_trio
async def test_what_was_declared_is_declared_again() -> None:
    async with memory_broker() as broker, broker.connect(AT_ONCE) as connection:
        await connection.declare_exchange("x", "topic", auto_delete=True)
        await connection.declare_exchange("y", "fanout", auto_delete=True)
        await connection.bind_exchange("y", "x", "#")
        queue = await connection.declare_queue(exclusive=True)
        await connection.bind_queue(queue, "y")
        for name in ("dropped", "unbound"):
            await connection.declare_queue(name, exclusive=True)
            await connection.bind_queue(name, "y")
        await connection.delete_queue("dropped")
        await connection.unbind_queue("unbound", "y")
        await broker.lose_all()
        await connection.publish(b"routed", exchange="x", routing_key="k")
        assert connection.connects == 2
        assert await connection.get(queue, no_ack=True) is not None
        assert await connection.get("unbound") is None
        with pytest.raises(warren.NotFound):
            await connection.declare_queue("dropped", passive=True)


@in_trio
async def test_a_queue_that_went_with_its_consumer_does_not_come_back() -> None:
    async with memory_broker() as broker, broker.connect(AT_ONCE) as connection:
        queue = await connection.declare_queue(auto_delete=True)
        async with connection.consume(queue), connection.consume(queue):
            await broker.lose_all()
            await connection.declare_queue(queue.name, passive=True)
        await broker.lose_all()
        with pytest.raises(warren.NotFound):
            await connection.declare_queue(queue.name, passive=True)


@in_trio
async def test_what_can_not_be_declared_again_ends_the_connection() -> None:
    async with memory_broker() as broker, broker.connect(AT_ONCE) as connection:
        await connection.declare_queue("q", auto_delete=True)
        async with connection.consume("q") as consumer:
            await broker.lose_all()
            await trio.testing.wait_all_tasks_blocked()
            async with broker.connect() as other:
                await other.declare_queue("q", durable=True)
            with pytest.raises(warren.PreconditionFailed, match="durable"):
                await anext(consumer)
        with pytest.raises(warren.PreconditionFailed):
            await connection.wait_connected()


@in_trio
async def test_an_exclusive_queue_that_is_still_locked_is_waited_for() -> None:
    async with memory_broker() as broker, broker.connect(AT_ONCE) as connection:
        await connection.declare_queue("q", exclusive=True)
        await broker.lose_all()
        await trio.testing.wait_all_tasks_blocked()
        async with broker.connect() as other:
            await other.declare_queue("q", exclusive=True)
            await trio.sleep(20)
            assert not connection.is_connected
        await connection.wait_connected()


@in_trio
async def test_what_another_has_to_declare_first_is_waited_for() -> None:
    """After a restart of the broker any client may be the first to come back."""
    async with memory_broker() as broker, broker.connect(AT_ONCE) as connection:
        await connection.declare_queue("mine", exclusive=True)
        async with broker.connect() as other:
            await other.declare_exchange("theirs")
            await connection.bind_queue("mine", "theirs", "key")
            await other.delete_exchange("theirs")
        await broker.lose_all()
        async with broker.connect() as other:
            await trio.sleep(20)
            assert not connection.is_connected
            await other.declare_exchange("theirs")
            await connection.wait_connected()
            await connection.publish(b"", exchange="theirs", routing_key="key")


# --- publishes


@in_trio
@pytest.mark.parametrize("lost", ["publish", "confirm"])
async def test_a_publish_without_confirm_is_told(lost: str) -> None:
    async with memory_broker() as broker, broker.connect(AT_ONCE) as connection:
        await connection.declare_queue("q")
        await connection.publish(b"first", routing_key="q")
        broker.cut_now(lost)
        with pytest.raises(warren.Unconfirmed):
            await connection.publish(b"second", routing_key="q")
        await connection.publish(b"third", routing_key="q")
        found = await connection.purge_queue("q")
        assert found == (3 if lost == "confirm" else 2)


@in_trio
async def test_resent_publishes_keep_their_order_and_their_ids() -> None:
    async with memory_broker() as broker, broker.connect(RESENDING) as connection:
        await connection.declare_queue("q")
        await connection.publish(b"first", routing_key="q")
        broker.cut_now("confirm")
        async with connection.batch() as batch:
            for number in range(10):
                await batch.publish(b"%d" % number, routing_key="q")
        assert connection.connects == 2
        bodies, ids = [], set()
        async with connection.consume("q", no_ack=True) as consumer:
            for _ in range(21):
                delivery = await anext(consumer)
                bodies.append(delivery.body)
                ids.add(delivery.properties.message_id)
    sent = [b"%d" % number for number in range(10)]
    assert bodies == [b"first", *sent, *sent]
    assert len(ids) == 11


@in_trio
async def test_a_batch_tells_which_confirms_were_lost() -> None:
    async with memory_broker() as broker, broker.connect(AT_ONCE) as connection:
        await connection.declare_queue("q")
        await connection.publish(b"", routing_key="q")
        broker.cut_now("publish")
        with pytest.raises(warren.BatchFailed) as caught:  # noqa: PT012
            async with connection.batch() as batch:
                for _ in range(3):
                    await batch.publish(b"", routing_key="q")
        errors = [error for _, error in caught.value.failures]
        assert len(errors) == 3
        assert all(isinstance(error, warren.Unconfirmed) for error in errors)


@in_trio
async def test_leaving_while_it_is_down_fails_what_waits() -> None:
    async with memory_broker() as broker:
        outcomes: list[BaseException] = []

        async def publish(connection: warren.Connection) -> None:
            with pytest.raises(warren.WarrenError) as caught:
                await connection.publish(b"", routing_key="q")
            outcomes.append(caught.value)

        async with trio.open_nursery() as nursery:  # noqa: SIM117
            async with broker.connect(RESENDING) as connection:
                await connection.declare_queue("q")
                await connection.publish(b"", routing_key="q")
                broker.cut_now("confirm")
                nursery.start_soon(publish, connection)
                await trio.testing.wait_all_tasks_blocked()
                broker.refusals = 99
                nursery.start_soon(publish, connection)
                await trio.testing.wait_all_tasks_blocked()
        assert [type(each) for each in outcomes] == [warren.ChannelClosed] * 2


# --- consumers


@in_trio
async def test_consumers_go_on_and_old_deliveries_are_stale() -> None:
    async with memory_broker() as broker, broker.connect(AT_ONCE) as connection:
        await connection.declare_queue("q")
        for body in ("one", "two", "three"):
            await connection.publish(body, routing_key="q")
        async with connection.consume("q") as consumer:
            first, second = await anext(consumer), await anext(consumer)
            first.ack()
            await trio.testing.wait_all_tasks_blocked()
            await broker.lose_all()
            await connection.wait_connected()
            assert second.is_stale
            with pytest.raises(warren.StaleDelivery, match="channel is over"):
                second.ack()
            with pytest.raises(warren.StaleDelivery):
                async with second:
                    pass
            for body in ("two", "three"):
                async with await anext(consumer) as delivery:
                    assert (delivery.value, delivery.redelivered) == (body, True)


@in_trio
async def test_a_consumer_whose_queue_is_gone_ends_alone() -> None:
    async with (
        memory_broker() as broker,
        broker.connect(AT_ONCE) as connection,
        broker.connect() as other,
    ):
        await other.declare_queue("gone", exclusive=False, auto_delete=True)
        await connection.declare_queue("stays")
        async with connection.consume("gone") as gone, connection.consume("stays") as c:
            await broker.lose_all()
            with pytest.raises(warren.NotFound):
                await anext(gone)
            await connection.publish(b"", routing_key="stays")
            (await anext(c)).ack()


@in_trio
async def test_a_consumer_whose_channel_is_closed_says_so() -> None:
    """It does not wait for a loss that need not come."""
    async with memory_broker() as broker, broker.connect(AT_ONCE) as connection:
        await connection.declare_queue("q")
        async with connection.consume("q") as consumer:
            broker.close_channels()
            with trio.fail_after(60), pytest.raises(warren.PreconditionFailed):
                await anext(consumer)


@in_trio
async def test_a_consumer_can_stop_while_it_is_down() -> None:
    async with memory_broker() as broker, broker.connect(AT_ONCE) as connection:
        await connection.declare_queue("q")
        async with connection.consume("q") as consumer:
            await broker.lose_all()
            await trio.testing.wait_all_tasks_blocked()
            await consumer.stop()
            assert [each async for each in consumer] == []
        await connection.wait_connected()
        queue = await connection.declare_queue("q", passive=True)
        assert queue.consumer_count == 0


@in_trio
async def test_requests_say_that_their_answer_is_lost() -> None:
    async with memory_broker() as broker, broker.connect(AT_ONCE) as connection:
        await connection.declare_queue("q")

        async def lose_later() -> None:
            await trio.sleep(1)
            await broker.lose_all()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lose_later)
            with pytest.raises(warren.ConnectionLost):
                await connection.request(b"", routing_key="q")
        async with trio.open_nursery() as nursery, connection.consume("q") as consumer:
            nursery.start_soon((await anext(consumer)).reply, b"too late")
            nursery.start_soon(_answer_next, consumer)
            answer = await connection.request(b"", routing_key="q")
            assert answer.value == "in time"


async def _answer_next(consumer: warren.Consumer[object]) -> None:
    async with await anext(consumer) as question:
        await question.reply("in time")


@in_trio
async def test_silence_is_a_loss() -> None:
    """Heartbeats leave although nobody does anything; the server's are missed."""
    async with memory_broker() as broker:
        url = "amqp://localhost/?heartbeat=10"
        async with broker.connect(AT_ONCE, url) as connection:
            await trio.sleep(300)
            assert connection.connects == 1
            broker.hush()
            await trio.sleep(40)
            assert connection.connects == 2

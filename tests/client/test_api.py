"""The public API against a broker on a real port: publishing, consuming, asking."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import wraps
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

import warren
from tests.interop.serving import warrens_own
from warren._client.consuming import Subscription
from warren._client.hidden import HIDDEN_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Body = Callable[[warren.Connection, str], Awaitable[None]]


@attrs.frozen
class Item:
    """A part of an order."""

    name: str
    count: int = 1


@attrs.frozen
class Order:
    """What the shop sells."""

    number: int
    price: Decimal
    items: list[Item]
    at: datetime


ORDER = Order(1, Decimal("9.50"), [Item("tea", 2)], datetime(2026, 1, 2, tzinfo=UTC))


def connected(test: Body) -> Callable[[str, str], None]:
    """Make a test of a coroutine that takes a connection and a name of its own."""

    @wraps(test)
    def run(url: str, name: str) -> None:
        async def main() -> None:
            with trio.fail_after(30):
                async with warren.connect(url) as connection:
                    await test(connection, name)

        trio.run(main)

    del run.__wrapped__  # type: ignore[attr-defined] # pytest reads its parameters
    return run


async def filled(connection: warren.Connection, count: int) -> str:
    """Return the name of a queue with so many messages."""
    queue = await connection.declare_queue(exclusive=True)
    async with connection.batch() as batch:
        for number in range(count):
            await batch.publish(b"%d" % number, routing_key=queue.name)
    return queue.name


# --- declaring


@connected
async def test_queues_come_and_go(connection: warren.Connection, name: str) -> None:
    queue = await connection.declare_queue(name, durable=True, max_length=10)
    assert queue == warren.Queue(name)
    for body in ("one", "two"):
        await connection.publish(body, routing_key=name)
    assert (await connection.declare_queue(name, passive=True)).message_count == 2
    with pytest.raises(warren.PreconditionFailed):
        await connection.declare_queue(name, durable=True, max_length=11)
    with pytest.raises(warren.PreconditionFailed):
        await connection.delete_queue(queue, if_empty=True)
    assert await connection.purge_queue(queue) == 2
    assert await connection.delete_queue(queue) == 0
    with pytest.raises(warren.NotFound, match=name):
        await connection.declare_queue(name, passive=True)


@connected
async def test_a_failed_request_is_nobody_elses(
    connection: warren.Connection, name: str
) -> None:
    async def fail() -> None:
        with pytest.raises(warren.NotFound):
            await connection.declare_queue(name, passive=True)

    async def succeed() -> None:
        await connection.declare_queue(exclusive=True)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(fail)
            nursery.start_soon(succeed)


@connected
async def test_exchanges_and_bindings(connection: warren.Connection, name: str) -> None:
    inner = f"{name}.inner"
    await connection.declare_exchange(inner, "fanout", auto_delete=True)
    await connection.declare_exchange(name, "topic", alternate=inner, auto_delete=True)
    queue = await connection.declare_queue(exclusive=True)
    await connection.bind_queue(queue, name, "a.*")
    await connection.publish(b"1", exchange=name, routing_key="a.b")
    with pytest.raises(warren.Unroutable) as caught:
        await connection.publish(b"2", exchange=name, routing_key="c")
    assert (caught.value.exchange, caught.value.routing_key) == (name, "c")
    await connection.bind_queue(queue, inner)
    await connection.publish(b"3", exchange=name, routing_key="c")
    await connection.bind_exchange(inner, name, "d")
    await connection.publish(b"4", exchange=name, routing_key="d")
    await connection.unbind_exchange(inner, name, "d")
    await connection.unbind_queue(queue, name, "a.*")
    async with connection.consume(queue, no_ack=True) as consumer:
        assert [(await anext(consumer)).body for _ in "123"] == [b"1", b"3", b"4"]
    await connection.delete_exchange(name)
    with pytest.raises(warren.NotFound):
        await connection.declare_exchange(name, passive=True)


@connected
async def test_options_that_there_are_not(
    connection: warren.Connection, name: str
) -> None:
    wrong: Any = {"max_lenght": 1}
    with pytest.raises(TypeError, match="max_lenght"):
        await connection.declare_queue(name, **wrong)
    with pytest.raises(TypeError, match="max_lenght"):
        await connection.publish(b"", **wrong)
    with pytest.raises(TypeError, match="max_lenght"):
        connection.consume(name, **wrong)


# --- publishing


@connected
async def test_typed_bodies(connection: warren.Connection, name: str) -> None:
    queue = await connection.declare_queue(exclusive=True)
    bodies: list[tuple[object, dict[str, Any], object, str | None]] = [
        (ORDER, {}, ORDER, "application/cbor"),
        (ORDER, {"content_type": "application/json"}, ORDER, "application/json"),
    ]
    for body, options, _, _ in bodies:
        await connection.publish(body, routing_key=queue.name, **options)
    async with connection.consume(queue, Order) as orders:
        for _, _, value, content_type in bodies:
            async with await anext(orders) as delivery:
                assert delivery.value == value
                assert delivery.value.items[0].name == "tea"
                assert delivery.properties.content_type == content_type
    plain: list[tuple[object, object]] = [
        ("text", "text"),
        (b"\xff", b"\xff"),
        ({"a": [1, None, 2.5]}, {"a": [1, None, 2.5]}),
    ]
    for body, _ in plain:
        await connection.publish(body, routing_key=queue.name)
    for _, value in plain:
        delivery = await connection.get(queue, no_ack=True)
        assert delivery is not None
        assert delivery.value == value


@connected
async def test_a_body_that_is_not_what_was_asked_for(
    connection: warren.Connection, name: str
) -> None:
    """It is rejected as the failure of any block is; the consumer goes on."""
    queue = await connection.declare_queue(exclusive=True)
    for body in ({"number": "x"}, ORDER):
        await connection.publish(body, routing_key=queue.name)
    async with connection.consume(queue, Order) as orders:
        with pytest.raises(warren.BodyError, match="number"):
            async with await anext(orders) as delivery:
                assert delivery.value is None, "it had a value"
        async with await anext(orders) as delivery:
            assert delivery.value == ORDER


@connected
async def test_properties_arrive(connection: warren.Connection, name: str) -> None:
    queue = await connection.declare_queue(exclusive=True, max_priority=9)
    await connection.publish(
        b"",
        routing_key=queue.name,
        headers={"x": 1},
        priority=3,
        ttl=60,
        persistent=False,
        message_id="mine",
        type="order",
    )
    delivery = await connection.get(queue)
    assert delivery is not None
    assert delivery.properties == warren.Properties(
        headers={"x": 1},
        priority=3,
        expiration="60000",
        delivery_mode=1,
        message_id="mine",
        type="order",
    )
    delivery.ack()


@connected
async def test_publishes_that_are_refused(
    connection: warren.Connection, name: str
) -> None:
    """One exchange's trouble is not another's, and the next publish works again."""
    full = await connection.declare_queue(
        exclusive=True, max_length=1, overflow="reject-publish"
    )
    await connection.publish(b"fits", routing_key=full.name)
    with pytest.raises(warren.Nacked):
        await connection.publish(b"does not", routing_key=full.name)
    for _ in "12":
        with pytest.raises(warren.NotFound, match=name):
            await connection.publish(b"", exchange=name)
    await connection.purge_queue(full)
    await connection.publish(b"fits again", routing_key=full.name)


@connected
async def test_what_no_frame_can_hold_is_told_before_it_is_sent(
    connection: warren.Connection, name: str
) -> None:
    """The broker would end the connection for it, and with it all else."""
    queue = await filled(connection, 0)
    async with connection.consume(queue) as consumer:
        headers: Any = {"mine": "x" * 200_000}
        with pytest.raises(ValueError, match="properties of a message"):
            await connection.publish(b"", routing_key=queue, headers=headers)
        with pytest.raises(ValueError, match="declare"):
            await connection.declare_queue(name, arguments=headers)
        await connection.publish(b"", routing_key=queue)
        (await anext(consumer)).ack()
    assert connection.connects == 1


@connected
async def test_a_batch_tells_all_that_failed(
    connection: warren.Connection, name: str
) -> None:
    queue = await connection.declare_queue(exclusive=True)
    with pytest.raises(warren.BatchFailed) as caught:  # noqa: PT012
        async with connection.batch() as batch:
            for number in range(3000):
                key = queue.name if number % 1000 else "nowhere"
                await batch.publish(number, routing_key=key)
    failures = caught.value.failures
    assert [number for number, _ in failures] == [0, 1000, 2000]
    assert all(isinstance(error, warren.Unroutable) for _, error in failures)
    assert batch.confirmed_count == 2997
    assert await connection.purge_queue(queue) == 2997


@connected
async def test_publishes_to_many_exchanges(
    connection: warren.Connection, name: str
) -> None:
    queue = await connection.declare_queue(exclusive=True)
    names = [f"{name}.{number}" for number in range(HIDDEN_MAX + 10)]
    for each in names:
        await connection.declare_exchange(each, "fanout", auto_delete=True)
        await connection.bind_queue(queue, each)
        await connection.publish(b"", exchange=each)
    assert await connection.purge_queue(queue) == len(names)
    await connection.delete_queue(queue)


# --- consuming


@connected
async def test_settling_by_context(connection: warren.Connection, name: str) -> None:
    dead = await connection.declare_queue(exclusive=True)
    queue = await connection.declare_queue(
        exclusive=True, dead_letter_exchange="", dead_letter_routing_key=dead.name
    )
    for body in ("done", "failed", "cancelled", "left", "by hand"):
        await connection.publish(body, routing_key=queue.name)
    async with connection.consume(queue) as consumer:
        async with await anext(consumer) as delivery:
            assert delivery.value == "done"
        with pytest.raises(KeyError):
            async with await anext(consumer):
                raise KeyError
        with trio.CancelScope() as scope:
            async with await anext(consumer) as delivery:
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert delivery.is_settled
        left = await anext(consumer)
        with await anext(consumer) as delivery:
            delivery.reject(requeue=True)
        with pytest.raises(warren.AlreadySettled):
            delivery.ack()
    assert left.is_stale
    with pytest.raises(warren.StaleDelivery):
        left.ack()
    bodies = {"cancelled", "left", "by hand"}
    async with connection.consume(queue) as consumer:
        while bodies:
            async with await anext(consumer) as delivery:
                assert delivery.redelivered
                bodies.remove(delivery.value)
    delivery = await connection.get(dead, no_ack=True)
    assert delivery is not None
    assert delivery.value == "failed"
    with pytest.raises(warren.AlreadySettled):
        delivery.ack()


@connected
async def test_a_failed_block_requeues_if_asked(
    connection: warren.Connection, name: str
) -> None:
    queue = await filled(connection, 1)
    async with connection.consume(queue, on_error="requeue") as consumer:
        with pytest.raises(KeyError):
            async with await anext(consumer):
                raise KeyError
        async with await anext(consumer) as delivery:
            assert delivery.redelivered


@connected
async def test_windows(connection: warren.Connection, name: str) -> None:
    queue = await filled(connection, 250)
    async with connection.consume(queue, prefetch=100) as consumer:
        sizes = []
        async for window in consumer.windows(max=1000, wait=0.1):
            async with window:
                sizes.append(len(window))
            if sum(sizes) == 250:
                break
        assert max(sizes) == 100
    assert (await connection.declare_queue(queue, passive=True)).message_count == 0


@connected
async def test_a_window_that_fails(connection: warren.Connection, name: str) -> None:
    queue = await filled(connection, 5)
    async with connection.consume(queue, on_error="requeue") as consumer:
        with pytest.raises(KeyError):  # noqa: PT012
            async with await anext(consumer.windows(max=5, wait=5)) as window:
                window[0].ack()
                raise KeyError
        async with await anext(consumer.windows(max=4, wait=5)) as window:
            assert [each.body for each in window] == [b"1", b"2", b"3", b"4"]


@connected
async def test_get(connection: warren.Connection, name: str) -> None:
    queue = await filled(connection, 3)
    first, second = await connection.get(queue), await connection.get(queue)
    assert first is not None
    assert second is not None
    second.requeue()
    first.ack()
    with pytest.raises(warren.NotFound):
        await connection.get(name)
    for body in (b"1", b"2"):
        with await connection.get(queue) as delivery:  # type: ignore[union-attr]
            assert delivery.body == body
    assert await connection.get(queue) is None


@connected
async def test_a_consumer_whose_queue_is_deleted(
    connection: warren.Connection, name: str
) -> None:
    queue = await filled(connection, 1)
    async with connection.consume(queue) as consumer:
        await anext(consumer)
        await connection.delete_queue(queue)
        with pytest.raises(warren.ConsumerLost, match=queue):
            await anext(consumer)


@connected
async def test_a_consumer_that_is_refused(
    connection: warren.Connection, name: str
) -> None:
    with pytest.raises(warren.NotFound):
        async with connection.consume(name):
            pytest.fail("there is no such queue")
    queue = await connection.declare_queue(exclusive=True)
    async with connection.consume(queue, exclusive=True):
        with pytest.raises(warren.AccessRefused):
            async with connection.consume(queue):
                pytest.fail("somebody else has it")


@connected
async def test_priorities_of_consumers(
    connection: warren.Connection, name: str
) -> None:
    queue = await connection.declare_queue(exclusive=True)
    async with (
        connection.consume(queue, tag="low"),
        connection.consume(queue, tag="high", priority=5) as high,
    ):
        for _ in range(3):
            await connection.publish(b"", routing_key=queue.name)
            (await anext(high)).ack()


def test_what_arguments_a_stream_is_consumed_with() -> None:

    moment = datetime(2026, 1, 2, tzinfo=UTC)
    for offset, sent in [
        ("first", "first"),
        (17, 17),
        (moment, moment),
        (timedelta(hours=1), "3600s"),
    ]:
        made = Subscription.of("s", None, {"offset": offset, "prefetch": 10})
        assert made.arguments == {"x-stream-offset": sent}


# --- asking


@connected
async def test_requests_and_replies(connection: warren.Connection, name: str) -> None:
    queue = await connection.declare_queue(exclusive=True)

    async def serve() -> None:
        async with connection.consume(queue, int) as questions:
            async for question in questions:
                async with question:
                    await question.reply(question.value**2)

    async def ask(number: int) -> None:
        answer = await connection.request(number, int, routing_key=queue.name)
        assert answer.value == number**2

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with trio.open_nursery() as asking:
            for number in range(100):
                asking.start_soon(ask, number)
        nursery.cancel_scope.cancel()
    with pytest.raises(warren.Unroutable):
        await connection.request(b"", routing_key="nowhere")
    with trio.move_on_after(0.05) as scope:
        await connection.request(b"", routing_key=queue.name)
    assert scope.cancelled_caught
    with pytest.raises(ValueError, match="reply_to"):  # noqa: PT012
        async with connection.consume(queue, no_ack=True) as consumer:
            await connection.publish(b"no question", routing_key=queue.name)
            async for delivery in consumer:
                await delivery.reply(b"")


@connected
async def test_transactions(connection: warren.Connection, name: str) -> None:
    queue = await filled(connection, 1)
    async with connection.channel(confirms=False) as channel:  # noqa: SIM117
        async with channel.consume(queue) as consumer:
            delivery = await anext(consumer)
            with pytest.raises(KeyError):  # noqa: PT012
                async with channel.transaction():
                    await channel.publish(b"undone", routing_key=queue)
                    delivery.ack()
                    raise KeyError
            async with channel.transaction():
                await channel.publish(b"done", routing_key=queue)
                delivery.ack()
            with pytest.raises(RuntimeError):
                async with channel.transaction(), channel.transaction():
                    pytest.fail("one in another")
            assert (await anext(consumer)).body == b"done"
    async with connection.channel() as channel:
        with pytest.raises(RuntimeError, match="confirms=False"):
            async with channel.transaction():
                pytest.fail("with confirms")


@connected
async def test_outside_of_a_transaction_all_happens_at_once(
    connection: warren.Connection, name: str
) -> None:
    """AMQP has no way back from ``tx.select``; nothing is lost for that."""
    queue = await filled(connection, 2)
    async with connection.channel(confirms=False) as channel:
        async with channel.consume(queue, prefetch=1) as consumer:
            async for delivery in consumer:
                async with delivery, channel.transaction():  # acked after the commit
                    await channel.publish(b"in", routing_key=queue)
                break
        await channel.publish(b"out", routing_key=queue)
        with trio.CancelScope() as scope:
            scope.cancel()
            async with channel.transaction():
                pytest.fail("it was cancelled")
        await channel.publish(b"out", routing_key=queue)
        await channel.declare_queue(queue, passive=True)  # it is there by now
        bodies = [(await consumed(connection, queue)).body for _ in range(4)]
        assert bodies == [b"1", b"in", b"out", b"out"]
    assert await connection.get(queue) is None


async def consumed(connection: warren.Connection, queue: str) -> warren.Delivery[Any]:
    delivery = await connection.get(queue)
    assert delivery is not None
    delivery.ack()
    return delivery


# --- Warren's own


@warrens_own
@connected
async def test_a_lease_is_extended(connection: warren.Connection, name: str) -> None:
    queue = await connection.declare_queue(exclusive=True, consumer_timeout=0.2)
    for body in ("kept", "lost"):
        await connection.publish(body, routing_key=queue.name)
    async with connection.consume(queue) as consumer:
        kept, lost = await anext(consumer), await anext(consumer)
        await kept.extend(60)
        again = await anext(consumer)
        assert (again.value, again.redelivered) == ("lost", True)
        with pytest.raises(warren.StaleDelivery):
            await lost.extend(60)
        kept.ack()
        lost.ack()  # too late, and no harm done
        again.ack()
    assert await connection.get(queue) is None


@connected
async def test_brokers_without_leases_say_so(
    connection: warren.Connection, name: str
) -> None:
    queue = await filled(connection, 1)
    capabilities = connection.server_properties["capabilities"]
    assert isinstance(capabilities, dict)
    capabilities.pop("lease_extension", None)
    async with connection.consume(queue) as consumer:
        delivery = await anext(consumer)
        with pytest.raises(warren.Unsupported):
            await delivery.extend(1)
        delivery.ack()


# --- nothing is left behind


@connected
async def test_no_task_is_left_behind(connection: warren.Connection, name: str) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    queue = await filled(connection, 300)
    async with connection.consume(queue) as consumer:
        await anext(consumer)
    async with connection.channel():
        pass
    assert trio.lowlevel.current_statistics().tasks_living == before


@connected
async def test_cancelling_a_consumer_gives_back_all(
    connection: warren.Connection, name: str
) -> None:
    queue = await filled(connection, 10)
    with trio.move_on_after(0.2):
        async with connection.consume(queue) as consumer:
            (await anext(consumer)).ack()
            await anext(consumer)
            await trio.sleep_forever()
    assert (await connection.declare_queue(queue, passive=True)).message_count == 9


@connected
async def test_a_cancelled_get_keeps_nothing(
    connection: warren.Connection, name: str
) -> None:
    queue = await filled(connection, 1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await connection.get(queue)
    with trio.move_on_after(0):
        await connection.get(queue)
    found = [await connection.get(queue) for _ in range(3)]
    [delivery] = [each for each in found if each is not None]
    delivery.ack()

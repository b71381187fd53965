"""One connection, many tasks at once, and tasks that are cancelled at any point.

Nothing that one of them does may be another's: neither errors, nor waits, nor channels.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

import warren
from tests.client.memory import memory_broker
from tests.client.scripted import in_trio
from warren._client.batch import UNSETTLED_MAX
from warren._client.hidden import HIDDEN_MAX
from warren._client.link import LENT_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.client.memory import MemoryBroker

    Operation = Callable[[warren.Connection], Awaitable[None]]


def channel_count(broker: MemoryBroker) -> int:
    """Return how many channels the youngest connection has open."""
    return broker.ends[-1].open_channel_count


# --- at once


@in_trio
async def test_a_batch_that_several_tasks_fill() -> None:
    """All of them wait for the same confirm, when too much is unconfirmed."""
    count = UNSETTLED_MAX * 2
    async with memory_broker() as broker, broker.connect() as connection:
        queue = await connection.declare_queue("q")
        async with connection.batch() as batch:

            async def fill() -> None:
                for _ in range(count):
                    await batch.publish(b"", routing_key=queue.name)

            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(fill)
        assert batch.confirmed_count == 3 * count


@in_trio
async def test_very_many_requests_share_some_channels() -> None:
    async with memory_broker() as broker, broker.connect() as connection:
        async with trio.open_nursery() as nursery:
            for number in range(3000):  # more than there are channels
                nursery.start_soon(connection.declare_queue, f"q{number}")
        assert len(broker.world.broker.vhosts["/"].queues) == 3000
        assert channel_count(broker) <= LENT_MAX


@in_trio
async def test_gets_from_one_queue_share_a_channel() -> None:
    async with memory_broker() as broker, broker.connect() as connection:
        await connection.declare_queue("q")
        before = channel_count(broker)
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(connection.get, "q")
        assert channel_count(broker) == before + 1


@in_trio
async def test_room_for_a_name_is_not_made_at_the_cost_of_who_waits() -> None:
    """More queues and exchanges than are kept are used at once, and again."""
    names = [f"x{number}" for number in range(HIDDEN_MAX + 10)]
    async with memory_broker() as broker, broker.connect() as connection:
        for name in names:
            await connection.declare_queue(name)
            await connection.declare_exchange(name, "fanout")
            await connection.bind_queue(name, name)
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(partial(connection.publish, b"", exchange=name))
                    nursery.start_soon(partial(connection.get, name, no_ack=True))
        await trio.sleep(1)
        assert channel_count(broker) <= 2 * len(names) + LENT_MAX


@in_trio
async def test_a_question_that_is_refused_is_nobody_elses() -> None:
    async with memory_broker() as broker, broker.connect() as connection:
        await connection.declare_queue("q")
        answers: list[object] = []

        async def ask() -> None:
            answer = await connection.request("How are you?", routing_key="q")
            answers.append(answer.value)

        async with connection.consume("q") as consumer, trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            question = await anext(consumer)
            for number in range(HIDDEN_MAX + 10):
                with pytest.raises(warren.NotFound):
                    await connection.request(
                        b"", exchange=f"no-{number}", routing_key=""
                    )
            await question.reply("Well")
        assert answers == ["Well"]
        assert channel_count(broker) < 10


@in_trio
async def test_a_channel_that_waits_for_a_request_may_be_closed() -> None:
    """By an operator; whoever asks next is not told of it."""
    async with memory_broker() as broker, broker.connect() as connection:
        await connection.declare_queue("q")
        broker.close_channels()
        await trio.sleep(1)
        await connection.declare_queue("q")


@in_trio
async def test_settling_while_the_consumer_is_left() -> None:
    """Its channel takes a while to close: no moment of that has another error."""
    ends: list[type[Exception] | None] = []

    async def settle_after(
        consumer: warren.Consumer, delivery: warren.Delivery, steps: int
    ) -> None:
        while not consumer.is_stopped:
            await trio.lowlevel.checkpoint()
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        try:
            delivery.ack()
        except warren.StaleDelivery:
            ends.append(warren.StaleDelivery)
        else:
            ends.append(None)

    async with memory_broker() as broker, broker.connect() as connection:
        await connection.declare_queue("q")
        for _ in range(10):
            await connection.publish(b"", routing_key="q")
        async with trio.open_nursery() as nursery:  # noqa: SIM117
            async with connection.consume("q") as consumer:
                for steps in range(10):
                    delivery = await anext(consumer)
                    nursery.start_soon(settle_after, consumer, delivery, steps)
        left = (await connection.declare_queue("q", passive=True)).message_count
        assert left == ends.count(warren.StaleDelivery) > 0


# --- cancelled


async def publish(connection: warren.Connection) -> None:
    await connection.publish(b"", exchange="amq.fanout")


async def fill_a_batch(connection: warren.Connection) -> None:
    async with connection.batch() as batch:
        for _ in range(70):
            await batch.publish(b"", exchange="amq.fanout")


async def consume(connection: warren.Connection) -> None:
    async with connection.consume("q", prefetch=3) as consumer:
        async with await anext(consumer):
            await trio.lowlevel.checkpoint()
        async for window in consumer.windows(2, 0.1):
            async with window:
                await consumer.stop()


async def get(connection: warren.Connection) -> None:
    if delivery := await connection.get("q"):
        delivery.requeue()


async def ask(connection: warren.Connection) -> None:
    await connection.request(b"", routing_key="questions")


async def use_a_channel(connection: warren.Connection) -> None:
    async with connection.channel(confirms=False) as channel, channel.transaction():
        await channel.publish(b"", routing_key="q")
        await channel.declare_queue("q")


async def answer_all(connection: warren.Connection) -> None:
    async with connection.consume("questions") as questions:
        async for question in questions:
            async with question:
                await question.reply(b"")


class Cancel(trio.abc.Instrument):
    """Cancels a scope so many task switches after it was entered, of any task."""

    def __init__(self, scope: trio.CancelScope, steps: int) -> None:
        self.scope = scope
        self.left = steps

    def before_task_step(self, _: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


@pytest.mark.parametrize(
    "operation", [publish, fill_a_batch, consume, get, ask, use_a_channel]
)
def test_cancelled_anywhere(operation: Operation) -> None:
    """It leaves no channel, no consumer, no message; and the connection goes on."""

    async def play(steps: int) -> bool:
        async with memory_broker() as broker, broker.connect() as connection:
            for queue in ("q", "questions"):
                await connection.declare_queue(queue)
            await connection.bind_queue("q", "amq.fanout")
            async with connection.batch() as batch:
                for _ in range(3):
                    await batch.publish(b"", routing_key="q")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer_all, connection)
                await trio.sleep(1)
                before = channel_count(broker)
                with trio.CancelScope() as scope:
                    cancel = Cancel(scope, steps)
                    trio.lowlevel.add_instrument(cancel)
                    await operation(connection)
                trio.lowlevel.remove_instrument(cancel)
                await trio.sleep(30)
                await publish(connection)
                await ask(connection)
                await get(connection)
                await trio.sleep(1)
                assert channel_count(broker) <= before + 3  # hidden, one for each
                assert not broker.world.broker.vhosts["/"].queues["q"].unacked_count
                nursery.cancel_scope.cancel()
        return cancel.left <= 0

    steps = 1
    while trio.run(play, steps, clock=MockClock(autojump_threshold=0)):
        steps += 1
    assert steps > 10

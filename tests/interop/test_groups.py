"""pika: order per key with several workers."""

from __future__ import annotations

import itertools
import random
import time
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, final

import pika
import pytest

from tests.interop.blocking import pump, ready_count
from tests.interop.serving import warrens_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pika.adapters.blocking_connection import BlockingChannel

pytestmark = [pytest.mark.interop, warrens_own]

KEYS = ["ada", "grace", "edsger", "barbara", "alan"]
TIMEOUT_SECONDS = 15


class Task(NamedTuple):
    """A delivery: whose turn it is, and which of its key."""

    tag: int
    key: str
    number: int
    redelivered: bool


@final
class Worker:
    """A consumer on a connection of its own, and what it holds unacked."""

    def __init__(
        self, connection: pika.BlockingConnection, queue: str, prefetch: int
    ) -> None:
        self.connection = connection
        self.channel: BlockingChannel = connection.channel()
        self.channel.basic_qos(prefetch_count=prefetch)
        self.held: list[Task] = []
        self.got: list[Task] = []
        self._tag = self.channel.basic_consume(queue, self._on_message)

    def _on_message(
        self,
        _: BlockingChannel,
        method: pika.spec.Basic.Deliver,
        __: pika.BasicProperties,
        body: bytes,
    ) -> None:
        key, number = body.decode().split()
        task = Task(method.delivery_tag, key, int(number), method.redelivered)
        self.held.append(task)
        self.got.append(task)

    def wait(self, count: int) -> None:
        """Until it has been given so many."""
        pump(self.connection, lambda: len(self.got) >= count)

    def finish(self, task: Task) -> None:
        self.held.remove(task)
        self.channel.basic_ack(task.tag)

    def keys(self) -> set[str]:
        """Of what it got."""
        return {task.key for task in self.got}

    def stop(self) -> None:
        """Consume no more, and give back what it holds."""
        self.channel.close()


def serve(workers: Iterable[Worker], is_done: Callable[[], bool]) -> None:
    """Let the workers hear in turn until it is done."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    for worker in itertools.cycle(workers):
        if is_done():
            return
        assert time.monotonic() < deadline
        worker.connection.process_data_events(time_limit=0.01)


def declare(channel: BlockingChannel, name: str, **arguments: object) -> str:
    """A queue by groups, fed by an exchange of the same name with every key."""
    known = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    known["x-expires"] = 60_000
    channel.queue_declare(name, arguments=known)
    channel.exchange_declare(name, "fanout", auto_delete=True)
    channel.queue_bind(name, name)
    channel.confirm_delivery()
    return name


def publish(channel: BlockingChannel, exchange: str, *tasks: str) -> None:
    """Publish tasks, each a key and a number."""
    for task in tasks:
        key = task.split()[0]
        properties = pika.BasicProperties(headers={"tenant": key}, correlation_id=key)
        channel.basic_publish(exchange, key, task.encode(), properties)


@pytest.mark.parametrize(
    "group_by", ["routing-key", "header:tenant", "property:correlation_id"]
)
def test_two_workers_keep_the_order_of_each_key(
    connect: Callable[..., pika.BlockingConnection],
    channel: BlockingChannel,
    name: str,
    group_by: str,
) -> None:
    queue = declare(channel, name, group_by=group_by)
    sent = [f"{key} {number}" for number in range(8) for key in KEYS]
    publish(channel, name, *sent)
    workers = [Worker(connect(), queue, prefetch) for prefetch in (2, 3)]
    chance = random.Random(group_by)
    done: dict[str, list[int]] = defaultdict(list)
    while sum(map(len, done.values())) < len(sent):
        # All keys are out that can be, before one of them is finished.
        unfinished = sum(len(done[key]) < 8 for key in KEYS)
        serve(workers, lambda count=unfinished: held_count(workers) == count)
        held = [(worker, task) for worker in workers for task in worker.held]
        assert len({task.key for _, task in held}) == len(held)
        worker, task = chance.choice(held)
        done[task.key].append(task.number)
        worker.finish(task)
    assert done == {key: [*range(8)] for key in KEYS}
    assert all(worker.got for worker in workers)


def held_count(workers: Iterable[Worker]) -> int:
    """How many tasks are unacked."""
    return sum(len(worker.held) for worker in workers)


def test_a_nacked_task_is_the_next_of_its_key_and_others_go_on(
    connect: Callable[..., pika.BlockingConnection], channel: BlockingChannel, name: str
) -> None:
    queue = declare(channel, name, group_by="routing-key")
    publish(channel, name, "ada 1", "ada 2", "grace 1")
    worker = Worker(connect(), queue, 10)
    worker.wait(2)
    ada, grace = worker.held
    assert (ada[1:], grace[1:]) == (("ada", 1, False), ("grace", 1, False))
    worker.channel.basic_nack(ada.tag)
    worker.wait(3)
    again = worker.got[-1]
    assert again[1:] == ("ada", 1, True)
    worker.finish(again)
    worker.wait(4)
    assert worker.got[-1][1:] == ("ada", 2, False)
    assert ready_count(channel, queue) == 0


def test_the_tasks_of_a_worker_that_goes_away_come_first(
    connect: Callable[..., pika.BlockingConnection], channel: BlockingChannel, name: str
) -> None:
    queue = declare(channel, name, group_by="routing-key")
    publish(channel, name, "ada 1", "ada 2")
    lost = Worker(connect(), queue, 10)
    lost.wait(1)
    heir = Worker(connect(), queue, 10)
    lost.stop()
    heir.wait(1)
    heir.finish(heir.held[0])
    heir.wait(2)
    assert [task[1:] for task in heir.got] == [("ada", 1, True), ("ada", 2, False)]


def test_a_key_sticks_to_its_worker_while_that_is_there(
    connect: Callable[..., pika.BlockingConnection], channel: BlockingChannel, name: str
) -> None:
    queue = declare(channel, name, group_by="routing-key", group_mode="sticky")
    workers = [Worker(connect(), queue, 100) for _ in "12"]
    publish(channel, name, *(f"{key} {number}" for number in "123" for key in KEYS))
    serve(workers, lambda: held_count(workers) == 15)
    first, second = workers
    assert first.keys() | second.keys() == set(KEYS)
    assert not first.keys() & second.keys()
    assert first.keys()
    assert second.keys()
    first.stop()
    second.wait(15)
    publish(channel, name, *(f"{key} 4" for key in KEYS))
    second.wait(20)
    for key in KEYS:
        numbers = [task.number for task in second.got if task.key == key]
        assert numbers == [1, 2, 3, 4]


def test_keys_take_turns_where_that_is_fair(
    connect: Callable[..., pika.BlockingConnection], channel: BlockingChannel, name: str
) -> None:
    queue = declare(channel, name, group_by="header:tenant", group_mode="fair")
    publish(channel, name, *(f"large {number}" for number in range(20)))
    publish(channel, name, "small 1", "small 2")
    worker = Worker(connect(), queue, 1)
    order = []
    while len(order) < 6:
        worker.wait(len(order) + 1)
        (task,) = worker.held
        order.append(task.key)
        worker.finish(task)
    assert order.count("small") == 2

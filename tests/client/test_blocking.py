"""The client without `await`, from threads that know nothing of trio."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import trio

import warren
from tests.client.test_api import ORDER, Order
from warren import blocking

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def connection(url: str) -> Iterator[blocking.Connection]:
    """A connection; no thread is left behind."""
    before = threading.active_count()
    with blocking.connect(url, name="a script") as connection:
        yield connection
    assert threading.active_count() == before


def test_publish_and_consume(connection: blocking.Connection) -> None:
    queue = connection.declare_queue(exclusive=True)
    connection.publish(ORDER, routing_key=queue.name)
    with connection.consume(queue, Order) as consumer:
        for delivery in consumer:
            with delivery:
                assert delivery.value == ORDER
            break
        assert consumer.next(timeout=0) is None
        consumer.stop()
        assert list(consumer) == []
    assert connection.get(queue) is None


def test_a_batch(connection: blocking.Connection) -> None:
    queue = connection.declare_queue(exclusive=True)
    with connection.batch() as batch:
        for number in range(1000):
            batch.publish(number, routing_key=queue.name)
    assert batch.confirmed_count == 1000
    with connection.consume(queue, int, prefetch=300) as consumer:
        for number, delivery in enumerate(consumer):
            assert delivery.value == number
            delivery.ack()
            if number == 500:
                break
    assert connection.purge_queue(queue) == 499


def test_errors_are_raised_here(connection: blocking.Connection) -> None:
    with pytest.raises(warren.Unroutable):
        connection.publish(b"", routing_key="nowhere")
    with pytest.raises(warren.BatchFailed), connection.batch() as batch:
        batch.publish(b"", routing_key="nowhere")
    with pytest.raises(warren.NotFound), connection.consume("nowhere"):
        pytest.fail("there is no such queue")
    queue = connection.declare_queue(exclusive=True)
    connection.publish("a failure", routing_key=queue.name)
    with pytest.raises(KeyError):  # noqa: PT012, SIM117
        with connection.consume(queue, on_error="requeue") as consumer:
            for delivery in consumer:
                with delivery:
                    raise KeyError
    found = connection.get(queue, str)
    assert found is not None
    assert (found.value, found.redelivered) == ("a failure", True)
    found.reject()
    with pytest.raises(warren.AlreadySettled):
        found.ack()


def test_transactions_and_channels(connection: blocking.Connection) -> None:
    queue = connection.declare_queue(exclusive=True)
    with connection.channel(confirms=False) as channel:
        with pytest.raises(KeyError), channel.transaction():  # noqa: PT012
            channel.publish(b"undone", routing_key=queue.name)
            raise KeyError
        with channel.transaction():
            channel.publish(b"done", routing_key=queue.name)
    found = connection.get(queue, no_ack=True)
    assert found is not None
    assert found.body == b"done"


def test_requests_from_thread_to_thread(connection: blocking.Connection) -> None:
    queue = connection.declare_queue(exclusive=True)

    def serve() -> None:
        with connection.consume(queue, int) as questions:
            for question in questions:
                with question:
                    question.reply(question.value**2)
                if not question.value:
                    return

    server = threading.Thread(target=serve)
    server.start()
    answers = [connection.request(n, int, routing_key=queue.name) for n in (12, 0)]
    assert [answer.value for answer in answers] == [144, 0]
    server.join()
    with pytest.raises(TimeoutError):
        connection.request(b"", routing_key=queue.name, timeout=0.01)


def test_nobody_is_there() -> None:
    with pytest.raises(OSError, match="127"), blocking.connect("amqp://127.0.0.1:1/"):
        pytest.fail("somebody was there")


def test_after_the_block_nothing_works(url: str) -> None:
    with blocking.connect(url) as connection:
        assert connection.is_connected
    with pytest.raises(warren.ChannelClosed):
        connection.publish(b"", routing_key="q")
    assert not connection.is_connected


@pytest.fixture
def switching_often() -> Iterator[None]:
    """Threads take turns in the middle of everything."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_many_threads_share_a_batch_and_a_consumer(
    connection: blocking.Connection, switching_often: None
) -> None:
    queue = connection.declare_queue(exclusive=True)
    found: list[int] = []

    def publish(start: int) -> None:
        for number in range(start, start + 100):
            batch.publish(number, routing_key=queue.name)

    def take(_: int) -> int:
        while (delivery := consumer.next(timeout=0.3)) is not None:
            found.append(delivery.value)
            delivery.ack()
        return len(found)

    with ThreadPoolExecutor(8) as threads:
        with connection.batch() as batch:
            list(threads.map(publish, range(0, 800, 100)))
        with connection.consume(queue, int, prefetch=2) as consumer:
            ends = list(threads.map(take, range(8)))
    assert sorted(found) == list(range(800))
    assert ends == [800] * 8, "one has given up before all was taken"


def test_a_trio_loop_is_not_kept_from_running(url: str) -> None:
    async def main() -> None:
        with (
            pytest.raises(RuntimeError, match=r"warren\.connect"),
            blocking.connect(url),
        ):
            pytest.fail("it waits for itself")

    trio.run(main)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_has_no_connection(url: str) -> None:
    """Nobody would ever answer there; and leaving the block disturbs nobody here."""
    with blocking.connect(url) as connection:
        child = os.fork()
        if child == 0:
            try:
                connection.declare_queue()
            except RuntimeError as error:
                os._exit("fork" not in str(error))
            os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        connection.declare_queue(exclusive=True)

"""Our client and the broker in one loop and in one time, with no socket between."""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

import warren
from warren_broker.testing import NotServing, broker_in_nursery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DAY = 86_400
PATIENT = warren.Reconnect(first_seconds=1, factor=1, jitter=0, unconfirmed="resend")


def timeless(test: Callable[..., Awaitable[None]]) -> Callable[[], None]:
    """Run with a clock that jumps when all tasks sleep."""

    @wraps(test)
    def run() -> None:
        trio.run(test, clock=MockClock(autojump_threshold=0))

    return run


@timeless
async def test_messages_expire_and_come_later() -> None:
    async with broker_in_nursery() as broker, broker.connect() as connection:
        await connection.declare_queue("q", message_ttl=60)
        await connection.publish("now", routing_key="q")
        headers = {"x-delay": 3_600_000}
        await connection.publish("later", routing_key="q", headers=headers)
        assert trio.current_time() == 0  # nothing of that has taken time
        await trio.sleep(59.9)
        assert [each.text for each in broker.queue("q").ready] == ["now"]
        await trio.sleep(0.2)
        assert broker.queue("q").ready == ()
        async with connection.consume("q") as consumer:
            delivery = await anext(consumer)
            assert (delivery.value, trio.current_time()) == ("later", 3600)
            delivery.ack()
        assert broker.scheduled_count() == 0


@timeless
async def test_a_lease_ends_unless_it_is_extended() -> None:
    async with broker_in_nursery() as broker, broker.connect() as connection:
        await connection.declare_queue("q", consumer_timeout=60)
        await connection.publish("job", routing_key="q")
        async with connection.consume("q") as consumer:
            first = await anext(consumer)
            await trio.sleep(50)
            await first.extend(600)
            await trio.sleep(590)
            assert len(broker.queue("q").unacked) == 1
            second = await anext(consumer)
            assert (second.redelivered, trio.current_time()) == (True, 650)
            second.ack()
            await broker.wait_idle()
            assert broker.queue("q").messages == ()


@timeless
async def test_an_idle_connection_lives_by_heartbeats() -> None:
    """Both sides would have given it up after 20 s of silence."""
    url = "amqp://memory/?heartbeat=10"
    async with broker_in_nursery() as broker, broker.connect(url) as connection:
        await trio.sleep(600)
        await connection.declare_queue("q")
        assert (connection.connects, len(broker.connections())) == (1, 1)


@timeless
async def test_a_worker_pool_takes_the_time_of_the_test() -> None:
    app = warren.App()
    runs: list[float] = []

    hourly = warren.Retry(attempts=3, first_seconds=3600, most_seconds=DAY, jitter=0)

    @app.worker("jobs", retry=hourly)
    async def fail(job: int) -> None:
        runs.append(round(trio.current_time(), 3))
        await trio.sleep(300)  # longer than the worker's lease, which it extends
        raise ValueError(job)

    async with broker_in_nursery() as broker, broker.connect() as connection:
        async with app.running(connection):
            await connection.publish(1, routing_key="jobs")
            await broker.wait_idle(DAY, scheduled=True)
        (letter,) = broker.queue("jobs.dead").ready
    assert runs == [0, 3900, 300 + 3900 + 7200]
    assert letter.headers["x-exception"] == "ValueError"


@timeless
async def test_a_connection_is_brought_back() -> None:
    async with (
        broker_in_nursery() as broker,
        broker.connect(reconnect=PATIENT) as connection,
    ):
        async with broker.stopped():
            await trio.sleep(100)
            assert not connection.is_connected
        await connection.declare_queue("q")  # waits for it
        assert (connection.connects, trio.current_time()) == (2, 101)
        publish = partial(connection.publish, "twice", routing_key="q")
        with broker.faults.withhold_confirms():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(publish)
                await trio.sleep(1)
                assert len(broker.queue("q").ready) == 1
                broker.faults.drop_connections()
                await trio.sleep(10)
                nursery.cancel_scope.cancel()
        first, second = broker.queue("q").ready
        assert first.properties.message_id == second.properties.message_id


@timeless
async def test_a_broker_that_is_stopped_is_not_there() -> None:
    async with broker_in_nursery() as broker, broker.stopped():
        with pytest.raises(ConnectionRefusedError):
            async with broker.connect():
                pass


@timeless
async def test_users_and_virtual_hosts_are_those_of_the_url() -> None:
    async with broker_in_nursery() as broker:
        with pytest.raises(warren.AccessRefused):
            async with broker.connect("amqp://guest:wrong@memory/"):
                pass
        with pytest.raises(warren.NotAllowed):
            async with broker.connect("amqp://memory/elsewhere"):
                pass
        async with broker.connect(name="shop"):
            assert [each.name for each in broker.connections()] == ["shop"]
            assert broker.report().startswith("broker in memory\nconnection")
        with pytest.raises(NotServing, match="port"):
            _ = broker.url


def test_what_the_block_raises_gets_out_alone() -> None:
    async def main() -> None:
        async with broker_in_nursery() as broker, broker.connect():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trio.run(main)

"""Pools on Warren's broker, in virtual time: what becomes of each message, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

import warren
from tests.worker.memory import MIDNIGHT, MemoryBroker, letters, make_plain, with_broker
from warren._worker import delays, ticker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from warren import Connection
    from warren._worker.crew import Crew

STEADY = warren.Retry(attempts=3, first_seconds=10, factor=3, jitter=0)


@attrs.frozen
class Order:
    """What is ordered."""

    number: int
    item: str = "tea"


async def until(is_so: Callable[[], bool]) -> None:
    """Wait, in virtual time, until something is so."""
    while not is_so():  # noqa: ASYNC110
        await trio.sleep(0.05)


@with_broker
async def test_retries_come_when_they_should(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()
    runs: list[tuple[float, int]] = []

    @app.worker("orders", retry=STEADY)
    async def handle(order: Order, job: warren.Job) -> None:
        runs.append((round(trio.current_time() - start, 1), job.attempt))
        raise KeyError(order.number)

    async with app.running(connection) as crew:
        start = trio.current_time()
        await connection.publish(Order(7), routing_key="orders", ttl=5.0)
        (dead,) = await letters_of_dead(connection, crew)
        (counts,) = crew.statistics()
    assert runs == [(0.0, 1), (10.0, 2), (40.0, 3)]
    assert (counts.failed, counts.dead, counts.handled) == (3, 1, 0)
    assert broker.depth("orders") == 0
    assert dead.value == {"number": 7, "item": "tea"}
    headers = dead.headers
    assert headers["x-exception"] == "KeyError"
    assert headers["x-exception-text"] == "7"
    assert headers["x-attempts"] == 3
    assert headers["x-reason"] == "failed"
    assert headers["x-origin-queue"] == headers["x-origin-routing-key"] == "orders"
    assert "raise KeyError(order.number)" in headers["x-traceback"]


async def letters_of_dead(connection: Connection, crew: Crew) -> list[Any]:
    await until(lambda: crew.statistics()[0].dead > 0)
    return await letters(connection, "orders.dead", 1)


@with_broker
async def test_elsewhere_a_retry_waits_in_a_queue(
    broker: MemoryBroker, connection: Connection
) -> None:
    """As on RabbitMQ: the broker does not say that it can do better."""
    app = warren.App()
    runs: list[float] = []

    @app.worker("orders", retry=STEADY)
    async def handle(order: Order) -> None:
        runs.append(trio.current_time() - start)
        raise KeyError

    async with broker.connect() as plain:
        make_plain(plain)
        async with app.running(plain) as crew:
            start = trio.current_time()
            await connection.publish(Order(1), routing_key="orders")
            await letters_of_dead(connection, crew)
    assert [round(run) for run in runs] == [0, 10, 43]  # rounded up
    names = broker.queues
    assert {"orders.retry.10240", "orders.retry.32768"} <= set(names)
    await trio.sleep(2 * delays.LADDER_EXPIRES_SECONDS)
    assert set(names) == {"orders", "orders.dead"}


@with_broker
async def test_a_body_that_does_not_fit_is_not_tried(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()
    seen: list[object] = []

    @app.worker("orders", retry=STEADY)
    async def handle(order: Order) -> None:
        seen.append(order)

    bad: list[tuple[Any, dict[str, Any]]] = [
        ({"number": "seven"}, {}),
        ({"number": 1, "colour": "red"}, {}),
        (b"\xff", {}),
        (b"{", {"content_type": "application/json"}),
        ("text", {}),
    ]
    async with app.running(connection) as crew:
        for body, options in bad:
            await connection.publish(body, routing_key="orders", **options)
        await connection.publish(b'{"number": 3}', routing_key="orders")
        await until(lambda: crew.statistics()[0].handled == 1)
        await until(lambda: crew.statistics()[0].dead == len(bad))
        dead = await letters(connection, "orders.dead", len(bad))
    assert seen == [Order(3)]
    assert {each.headers["x-reason"] for each in dead} == {"invalid"}
    assert {each.headers["x-attempts"] for each in dead} == {0}
    texts = [each.headers["x-exception-text"] for each in dead]
    assert sorted(texts)[-3:] == [
        "value.number: str is not int",
        "value: Order has no 'colour'",
        "value: str is not a map for Order",
    ]


@with_broker
async def test_a_handler_decides(broker: MemoryBroker, connection: Connection) -> None:
    app = warren.App()
    runs: dict[str, list[float]] = {}

    @app.worker("orders", retry=warren.Retry(jitter=0, never=(LookupError,)))
    async def handle(what: str, job: warren.Job) -> None:
        runs.setdefault(what, []).append(round(trio.current_time() - start, 1))
        if what == "give up":
            raise warren.GiveUp("no use")
        if what == "never":
            raise KeyError
        if what == "group":
            async with trio.open_nursery():
                raise warren.GiveUp("in a nursery")
        if job.attempt == 1:
            raise warren.TryAgain("not now", seconds=77)

    async with app.running(connection) as crew:
        start = trio.current_time()
        for what in ("give up", "never", "group", "again"):
            await connection.publish(what, routing_key="orders")
        await until(lambda: crew.statistics()[0].handled == 1)
        dead = await letters(connection, "orders.dead", 3)
    assert runs == {
        "give up": [0.0],
        "never": [0.0],
        "group": [0.0],
        "again": [0.0, 77.0],
    }
    assert {each.headers["x-exception"].split(".")[-1] for each in dead} == {
        "GiveUp",
        "KeyError",
    }


@with_broker
async def test_dead_letters_as_configured(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()

    async def fail() -> None:
        raise ValueError

    app.worker("a", retry=None, dead="graveyard")(fail)
    app.worker("b", retry=None, dead=False)(fail)
    await connection.declare_queue("b.letters")
    await connection.declare_queue(
        "b", dead_letter_exchange="", dead_letter_routing_key="b.letters"
    )
    async with app.running(connection):
        await connection.publish("one", routing_key="a")
        await connection.publish("two", routing_key="b")
        (one,) = await letters(connection, "b.letters", 1)
        await until(lambda: "graveyard" in broker.queues)
        (two,) = await letters(connection, "graveyard", 1)
    assert (one.value, two.value) == ("two", "one")
    assert one.headers["x-first-death-reason"] == "rejected"


@with_broker
async def test_dead_letters_that_nobody_takes_are_not_lost(
    broker: MemoryBroker, connection: Connection
) -> None:
    """The queue for them is full: the message stays where it was, until it is not."""
    app = warren.App()
    runs: list[float] = []

    @app.worker("orders", retry=None)
    async def handle() -> None:
        runs.append(trio.current_time() - start)
        raise ValueError

    await connection.declare_queue(
        "orders.dead", max_length=1, overflow="reject-publish"
    )
    await connection.publish("first", routing_key="orders.dead")
    async with app.running(connection):
        start = trio.current_time()
        await connection.publish("second", routing_key="orders")
        await until(lambda: len(runs) == 3)
        assert broker.depth("orders") == 1
        await letters(connection, "orders.dead", 1)
        (dead,) = await letters(connection, "orders.dead", 1)
    assert dead.value == "second"
    assert broker.depth("orders") == 0
    assert [round(when) for when in runs[:3]] == [0, 1, 2], "it was not a hot loop"


@with_broker
async def test_a_message_that_ends_its_workers_is_given_up(
    broker: MemoryBroker, connection: Connection
) -> None:
    """Whoever gets it dies, and so nobody can count attempts but the broker."""
    app = warren.App(drain=0)
    runs = 0

    @app.worker("orders", retry=warren.Retry(returns=3))
    async def handle() -> None:
        nonlocal runs
        runs += 1
        await broker.cut()
        await trio.sleep_forever()

    await connection.declare_queue("orders", durable=True)
    await connection.publish("poison", routing_key="orders")
    async with app.running(connection):
        await until(lambda: "orders.dead" in broker.queues)
        (dead,) = await letters(connection, "orders.dead", 1)
    assert dead.headers["x-reason"] == "returned"
    assert runs == 4


@with_broker
async def test_a_result_that_is_too_large_is_a_failure_and_of_no_other(
    broker: MemoryBroker, connection: Connection
) -> None:
    """It was given back and tried again each second, and had others run again."""
    app = warren.App()
    runs: list[int] = []

    @app.worker("orders", to="results", retry=2, concurrency=6)
    async def handle(size: int) -> bytes:
        runs.append(size)
        await trio.sleep(1)
        return bytes(size)

    @app.responder("sizes")
    async def answer(size: int) -> bytes:
        return bytes(size)

    broker.broker.limits = attrs.evolve(broker.broker.limits, message_size_max_bytes=99)
    for queue in ("orders.dead", "results"):
        await connection.declare_queue(queue, exclusive=False)
    async with broker.connect() as limited, app.running(limited):
        for size in (1, 2, 100, 3, 4):
            await connection.publish(size, routing_key="orders")
        (dead,) = await letters(connection, "orders.dead", 1)
        results = await letters(connection, "results", 4)
        with pytest.raises(warren.RemoteError, match="message size 100"):
            await warren.ask(limited, "sizes", 100)
    assert dead.value == 100
    assert "message size 100 is larger" in dead.headers["x-exception-text"]
    assert sorted(runs) == [1, 2, 3, 4, 100, 100]
    assert {len(each.body) for each in results} == {1, 2, 3, 4}


@with_broker
async def test_middleware_is_around_in_order(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()
    said: list[str] = []

    def layer(name: str) -> None:
        @app.middleware
        async def around(
            job: warren.Job, call_next: Callable[[warren.Job], Awaitable[object]]
        ) -> object:
            said.append(f"{name} {job.value}")
            try:
                return f"{name}({await call_next(job)})"
            finally:
                said.append(f"{name} ends")

    layer("outer")
    layer("inner")

    @app.worker("orders", to="results")
    async def handle(order: Order) -> str:
        said.append("handler")
        return "done"

    async with app.running(connection):
        await connection.publish(Order(1), routing_key="orders")
        (result,) = await results(broker, connection)
    order = "Order(number=1, item='tea')"
    assert said == [
        f"outer {order}",
        f"inner {order}",
        "handler",
        "inner ends",
        "outer ends",
    ]
    assert result.value == "outer(inner(done))"


async def results(broker: MemoryBroker, connection: Connection) -> list[Any]:
    await until(lambda: "results" in broker.queues)
    return await letters(connection, "results", 1)


@with_broker
async def test_a_rate_is_kept(broker: MemoryBroker, connection: Connection) -> None:
    app = warren.App()
    times: list[float] = []

    @app.worker("orders", rate="10/s", concurrency=4)
    async def handle() -> None:
        times.append(trio.current_time())

    async with app.running(connection):
        async with connection.batch() as batch:
            for _ in range(50):
                await batch.publish(b"", routing_key="orders")
        await until(lambda: len(times) == 50)
    assert times[-1] - times[0] == pytest.approx(4.9, abs=0.15)
    in_a_second = max(sum(a <= b < a + 1 for b in times) for a in times)
    assert in_a_second <= 12


@with_broker
async def test_batches(broker: MemoryBroker, connection: Connection) -> None:
    """They are as large as may be, wait no longer than they may, and fail apart."""
    app = warren.App()
    calls: list[tuple[float, list[int]]] = []

    @app.worker("orders", batch=10, wait=0.5, concurrency=1, retry=STEADY, prefetch=100)
    async def handle(orders: list[Order], job: warren.Job) -> None:
        numbers = [order.number for order in orders]
        calls.append((round(trio.current_time() - start, 1), numbers))
        assert len(job.messages) == len(orders)
        if 3 in numbers:
            raise ValueError("three")

    async with app.running(connection) as crew:
        start = trio.current_time()
        await connection.publish("no order", routing_key="orders")
        async with connection.batch() as batch:
            for number in range(13):
                await batch.publish(Order(number), routing_key="orders")
        await until(lambda: crew.statistics()[0].dead == 2)
        dead = await letters(connection, "orders.dead", 2)
    assert calls[:2] == [(0.0, list(range(9))), (0.5, [9, 10, 11, 12])]
    again = [numbers for _, numbers in calls[2:]]
    assert sorted(again) == sorted([[number] for number in range(9)] + [[3]])
    assert [each.headers["x-reason"] for each in dead] == ["invalid", "failed"]
    assert dead[1].value["number"] == 3


@with_broker
async def test_headers_that_leave_no_room(
    broker: MemoryBroker, connection: Connection
) -> None:
    """A frame that is too large would end the connection, with each attempt."""
    app = warren.App()

    @app.worker("orders", retry=STEADY)
    async def handle() -> None:
        raise ValueError("x" * 1000)

    await connection.declare_queue("orders.dead", durable=True)
    async with app.running(connection) as crew:
        headers: Any = {"mine": "x" * 130_950}
        await connection.publish(b"", routing_key="orders", headers=headers)
        (dead,) = await letters_of_dead(connection, crew)
    assert dead.headers["x-exception"] == "ValueError"
    assert "mine" not in dead.headers
    assert connection.connects == 1


@with_broker
async def test_a_drain_cuts_off_a_handler_that_fails_for_it(
    broker: MemoryBroker, connection: Connection
) -> None:
    """What else it raises is lost with it: the message comes again."""
    app = warren.App(drain=10)
    is_begun = trio.Event()

    @app.worker("orders")
    async def handle() -> None:
        async def fail_when_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            nursery.start_soon(trio.sleep_forever)
            is_begun.set()

    async with app.running(connection):
        await connection.publish(b"", routing_key="orders")
        await is_begun.wait()
    assert broker.depth("orders") == 1


@with_broker
async def test_a_timeout_ends_the_handler(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()
    ends: list[float] = []

    @app.worker("orders", timeout=30, retry=None)
    async def handle() -> None:
        try:
            await trio.sleep(3600)
        finally:
            ends.append(trio.current_time() - start)

    async with app.running(connection) as crew:
        start = trio.current_time()
        await connection.publish(b"", routing_key="orders")
        (dead,) = await letters_of_dead(connection, crew)
    assert ends == [pytest.approx(30, abs=0.1)]
    assert dead.headers["x-exception"].endswith("HandlerTimeout")


@with_broker
async def test_a_lease_is_kept_as_long_as_it_takes(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()
    runs = 0

    @app.worker("orders", lease=60)
    async def handle() -> None:
        nonlocal runs
        runs += 1
        await trio.sleep(7200)

    async with app.running(connection) as one, app.running(connection) as two:
        await connection.publish(b"", routing_key="orders")
        await until(lambda: runs > 0)
        await trio.sleep(7201)
        assert broker.depth("orders") == 0
        assert runs == 1
        counts = one.statistics() + two.statistics()
        assert sum(each.handled for each in counts) == 1


@with_broker
async def test_a_lease_ends_with_whoever_hangs(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()
    runs: list[int] = []

    @app.worker("orders", lease=60)
    async def handle(job: warren.Job) -> None:
        runs.append(job.headers.get("x-delivery-count", 0))

    async with broker.connect() as hung:
        await hung.declare_queue("orders", durable=True)
        arguments: Any = {
            "x-consumer-timeout": 60_000,
            "x-consumer-timeout-action": "requeue",
        }
        async with hung.consume("orders", arguments=arguments) as consumer:
            await connection.publish(b"", routing_key="orders")
            await anext(consumer)
            async with app.running(connection):
                await until(lambda: bool(runs))
    assert len(runs) == 1
    assert runs[0] >= 1


@with_broker
async def test_a_drain_finishes_what_runs_and_gives_back_the_rest(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App(drain=30)
    begun: list[int] = []
    done: list[int] = []

    @app.worker("orders", concurrency=2, prefetch=10)
    async def handle(order: Order) -> None:
        begun.append(order.number)
        await trio.sleep(10 if order.number == 0 else 1000)
        done.append(order.number)

    async with app.running(connection):
        for number in range(20):
            await connection.publish(Order(number), routing_key="orders")
        await until(lambda: len(begun) == 2)
        start = trio.current_time()
    assert trio.current_time() - start == pytest.approx(30, abs=0.1)
    assert (begun, done) == ([0, 1], [0])
    assert broker.depth("orders") == 19
    left = await letters(connection, "orders", 19)
    assert [each.value["number"] for each in left] == list(range(1, 20))


@with_broker
async def test_a_drain_does_not_wait_for_nothing(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App(drain=30)

    @app.worker("orders")
    async def handle() -> None:
        pass

    async with app.running(connection):
        start = trio.current_time()
    assert trio.current_time() - start < 0.1


@with_broker
async def test_a_drain_does_not_wait_for_a_broker_that_is_down(
    broker: MemoryBroker, connection: Connection
) -> None:
    """Its consumer was lost before, and there is nothing to finish but one call."""
    app = warren.App()
    ends: list[float] = []

    @app.worker("orders")
    async def handle() -> None:
        await trio.sleep(10)
        ends.append(trio.current_time() - start)

    patient = warren.Reconnect(first_seconds=1, jitter=0)
    async with broker.connect(patient) as lost:
        async with app.running(lost):
            start = trio.current_time()
            await connection.publish("one", routing_key="orders")
            await trio.sleep(3)
            await connection.delete_queue("orders")
            broker.is_down = True
            await broker.cut()
            await trio.sleep(2)
        assert trio.current_time() - start == pytest.approx(10, abs=0.01)
        assert ends == [pytest.approx(10, abs=0.01)]
        broker.is_down = False


@with_broker
async def test_what_is_lost_while_it_waits_for_the_rate_is_not_begun(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()
    runs: list[object] = []

    @app.worker("orders", rate="1/m", concurrency=1)
    async def handle(body: str) -> None:
        runs.append(body)

    await connection.declare_queue("orders", durable=True)
    for body in ("one", "two"):
        await connection.publish(body, routing_key="orders")
    async with app.running(connection) as crew:
        await trio.sleep(10)
        await broker.cut()  # "two" waits for the rate
        await trio.sleep(1000)
        assert crew.statistics()[0].stale == 1
    assert runs == ["one", "two"]


@with_broker
async def test_a_lost_connection_makes_nothing_twice_but_the_run(
    broker: MemoryBroker, connection: Connection
) -> None:
    """What ran when it was lost comes again, and only that: no retry of it as well."""
    app = warren.App()
    runs: list[int] = []

    @app.worker("orders", to="results", concurrency=2)
    async def handle(order: Order) -> int:
        runs.append(order.number)
        if len(runs) <= 2:
            await broker.cut()
            await trio.sleep(5)
            if order.number == 1:
                raise ValueError
        return order.number

    for queue in ("orders", "results"):
        await connection.declare_queue(queue, durable=True)
    for number in (0, 1):
        await connection.publish(Order(number), routing_key="orders")
    async with app.running(connection) as crew:
        await until(lambda: crew.statistics()[0].handled == 2)
        await trio.sleep(3600)
        found = await letters(connection, "results", broker.depth("results"))
    assert connection.connects > 1
    assert broker.depth("orders") == 0
    assert sorted(runs) == [0, 0, 1, 1]
    assert sorted(each.value for each in found) == [0, 1]


@with_broker
async def test_a_queue_that_is_deleted_is_declared_again(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()

    @app.worker("orders")
    async def handle() -> None:
        pass

    async with app.running(connection) as crew:
        await connection.delete_queue("orders")
        await until(lambda: "orders" in broker.queues)
        await connection.publish(b"", routing_key="orders")
        await until(lambda: crew.statistics()[0].handled == 1)


@with_broker
async def test_responders(broker: MemoryBroker, connection: Connection) -> None:
    app = warren.App()

    @app.responder("squares")
    async def square(number: int) -> int:
        if number < 0:
            raise ValueError("only from zero")
        return number**2

    async with app.running(connection), broker.connect() as asker:
        assert await warren.ask(asker, "squares", 12, int) == 144
        with pytest.raises(warren.RemoteError, match="ValueError: only from zero"):
            await warren.ask(asker, "squares", -1)
        with pytest.raises(warren.RemoteError, match=r"BodyError.*str is not int"):
            await warren.ask(asker, "squares", "twelve")
        await asker.publish(3, routing_key="squares")  # and does not want to know
        assert await warren.ask(asker, "squares", 3, int) == 9
    assert broker.depth("squares") == 0


@with_broker
async def test_periodic_jobs_run_once_over_two_processes(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()
    runs: list[tuple[str, float]] = []

    @app.every("10s")
    async def often() -> None:
        runs.append(("often", trio.current_time()))

    async with broker.connect() as other, app.running(connection):
        async with app.running(other):
            await trio.sleep(95)
        await trio.sleep(10)
    assert [when for name, when in runs if name == "often"] == [
        pytest.approx(10 * n, abs=0.01) for n in range(1, 11)
    ]


@with_broker
async def test_daily_jobs(broker: MemoryBroker, connection: Connection) -> None:
    app = warren.App()
    runs: list[float] = []

    @app.daily("04:30", timezone="Europe/Berlin")
    async def nightly() -> None:
        runs.append(trio.current_time())

    async with app.running(connection):
        await trio.sleep(4 * 3600)
    assert runs == [pytest.approx(3.5 * 3600, abs=0.1)]


@with_broker
async def test_a_job_that_was_due_while_nobody_ran_is_made_up_for(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()
    runs: list[float] = []

    @app.every("1h")
    async def hourly() -> None:
        runs.append(trio.current_time())

    async with app.running(connection):
        await trio.sleep(10)
    await trio.sleep(5 * 3600)
    async with app.running(connection):
        await trio.sleep(10)
        assert len(runs) == 1
        await trio.sleep(3600)
    assert len(runs) == 2


@with_broker
async def test_periodic_jobs_elsewhere(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()
    runs: list[float] = []

    @app.every("10s")
    async def often() -> None:
        runs.append(trio.current_time())

    async with broker.connect() as plain:
        make_plain(connection)
        make_plain(plain)
        async with app.running(connection), app.running(plain):
            await trio.sleep(95)
    assert runs == [pytest.approx(10 * n, abs=0.01) for n in range(1, 10)]


@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize("back", [400.0, 3.0e7])
def test_a_clock_that_is_set_back_holds_no_job_up(is_plain: bool, back: float) -> None:
    """The broker's and the workers' clocks were ahead; all moments come again."""
    runs: list[float] = []
    app = warren.App()

    @app.every("10s")
    async def often() -> None:
        runs.append(trio.current_time())

    @with_broker
    async def test(broker: MemoryBroker, connection: Connection) -> None:
        set_back = 0.0

        def wall_ms() -> int:
            return round((MIDNIGHT + trio.current_time() - set_back) * 1000)

        patch.setattr(ticker, "wall_ms", wall_ms)
        if is_plain:
            make_plain(connection)
        async with app.running(connection):
            await trio.sleep(1001)
            set_back = back
            broker.broker.set_wall(MIDNIGHT + trio.current_time() - back)
            await trio.sleep(1000)

    with pytest.MonkeyPatch.context() as patch:
        test(patch)
    assert len(runs) == len(set(runs))
    assert sum(each < 1001 for each in runs) == 100
    assert sum(each > 1001 + 310 for each in runs) == pytest.approx(69, abs=1)


@with_broker
async def test_nothing_is_begun_before_all_are_ready(
    broker: MemoryBroker, connection: Connection
) -> None:
    app = warren.App()
    runs: list[bytes] = []
    app.worker("orders")(runs.append)
    app.worker("taken")(lambda: None)
    await connection.declare_queue("orders", durable=True)
    await connection.publish(b"one", routing_key="orders")
    await connection.declare_queue("taken", exclusive=True)
    async with broker.connect() as other:
        with pytest.raises(warren.ResourceLocked):
            async with app.running(other):
                pytest.fail("one queue is somebody else's")
    assert runs == []
    assert broker.depth("orders") == 1

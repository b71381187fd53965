"""Whatever happens to the wires, each publish has one end and nothing is lost.

Publishers and consumers of the public client, a broker in memory, and between them any
fragmentation and any faults: a connection that is cut after any byte of either side,
several times over; channels that the broker closes; nacks; returns; confirms that come
late; publishers that are blocked; tasks that are cancelled while they publish. Then:

* every publish ends once, and in a way that its destination allows;
* what was confirmed is consumed, and consumers find back by themselves;
* no delivery is settled twice, on any channel of any life (see `Witness`).
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

import warren
from tests.client.memory import Fault, memory_broker
from tests.pairs import byte_by_byte, random_cuts, whole
from warren_broker.testing.publishes import Publishes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.client.memory import MemoryBroker
    from tests.pairs import Cut

PATIENCE_SECONDS: Final = 10_000  # of a virtual clock
DISTURBANCE_SECONDS: Final = 2.0
EXPECTED: Final[dict[str, tuple[type[Exception] | None, ...]]] = {
    "ok": (None,),
    "full": (warren.Nacked, None),
    "nowhere": (warren.Unroutable,),
    "missing": (warren.NotFound,),
}
"""Destination -> how a publish ends, None is well. With one policy also `Unconfirmed`.

The exchange `missing` is not there.
"""

faults = st.builds(
    Fault,
    sent=st.integers(0, 6000) | st.just(1 << 40),
    received=st.integers(0, 6000) | st.just(1 << 40),
    after=st.floats(0, 5) | st.just(float("inf")),
)


MADE_POSSIBLE: Final[dict[str, type[Exception]]] = {
    "close": warren.PreconditionFailed,
    "refuse": warren.Nacked,
}
"""Disturbance -> how any publish may end for it."""

disturbances = st.tuples(
    st.floats(0, 5), st.sampled_from(["withhold", "block", *MADE_POSSIBLE])
)


class GivenUp(Exception):
    """Whoever had published did not wait for the end."""


@attrs.frozen
class Story:
    """What one example does."""

    publisher_faults: list[Fault]
    consumer_faults: list[Fault]
    publishes: list[tuple[str, int]]
    """Destination and size of each."""
    disturbances: list[tuple[float, str]]
    """When, and what."""
    gives_up: bool
    """Whether some of the publishes are cancelled."""
    seed: int
    cut: str
    unconfirmed: str
    batches: bool


stories = st.builds(
    Story,
    publisher_faults=st.lists(faults, max_size=5),
    consumer_faults=st.lists(faults, max_size=5),
    publishes=st.lists(
        st.tuples(
            st.sampled_from(["ok", "ok", "ok", *EXPECTED]),
            st.integers(0, 300) | st.just(9000),
        ),
        min_size=5,
        max_size=40,
    ),
    disturbances=st.lists(disturbances, max_size=3),
    gives_up=st.booleans(),
    seed=st.integers(0, 999),
    cut=st.sampled_from(["whole", "random", "bytes"]),
    unconfirmed=st.sampled_from(["raise", "resend"]),
    batches=st.booleans(),
)


def cut_of(story: Story) -> Cut:
    """How the bytes of a story are fragmented."""
    if story.cut == "bytes":
        return byte_by_byte
    return whole if story.cut == "whole" else random_cuts(story.seed)


class Play:
    """One story, while it happens."""

    def __init__(self, story: Story, broker: MemoryBroker) -> None:
        self.story = story
        self.broker = broker
        self.random = Random(story.seed)
        self.ends: dict[int, list[BaseException | None]] = {}
        self.done: set[int] = set()
        self.publishing_is_over = False
        self.everything_is_done = trio.Event()
        self.publishing = Publishes()
        broker.world.broker.tap = self.publishing

    async def run(self) -> None:
        policy = warren.Reconnect(
            first_seconds=0.5,
            at_start=True,
            random=self.random,
            unconfirmed=self.story.unconfirmed,  # type: ignore[arg-type]
        )
        self.broker.faults = {
            "publisher": list(self.story.publisher_faults),
            "consumer": list(self.story.consumer_faults),
        }
        async with (
            self.broker.connect(policy, "amqp://publisher/") as connection,
            self.broker.connect(policy, "amqp://consumer/") as other,
        ):
            await connection.declare_queue("ok")
            await other.declare_queue("full", max_length=1, overflow="reject-publish")
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(self.consume, other)
                for after, what in self.story.disturbances:
                    nursery.start_soon(self.disturb, after, what)
                await self.publish_all(connection)
                self.publishing_is_over = True
                await self.wait_done()
                nursery.cancel_scope.cancel()

    async def disturb(self, after: float, what: str) -> None:
        """Make something go wrong for a while; the last to end it ends it for all."""
        broker = self.broker.world.broker
        act: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "withhold": (self.publishing.withhold, self.publishing.release),
            "block": (
                partial(broker.alarms.set, "memory", active=True),
                partial(broker.alarms.set, "memory", active=False),
            ),
            "close": (partial(self.broker.close_channels, "publisher"), nothing),
            "refuse": (partial(self.publishing.refuse, 2, None), nothing),
        }
        for each in act[what]:
            await trio.sleep(after)
            self.broker.take_turn(each)
            after = DISTURBANCE_SECONDS

    async def publish_all(self, connection: warren.Connection) -> None:
        async with trio.open_nursery() as nursery:
            for number, (target, size) in enumerate(self.story.publishes):
                self.ends[number] = []
                work = self.publish_in_batch if self.story.batches else self.publish
                nursery.start_soon(self.attempt, work, connection, number, target, size)
                if self.random.random() < 0.3:
                    await trio.sleep(self.random.random())

    async def attempt(
        self,
        work: Callable[..., Awaitable[None]],
        *arguments: Any,  # noqa: ANN401
    ) -> None:
        """Publish, and perhaps wait no longer than that."""
        seconds = float("inf")
        if self.story.gives_up and self.random.random() < 0.3:
            seconds = self.random.random() * 0.2
        number: int = arguments[1]
        with trio.move_on_after(seconds):
            await work(*arguments)
            return
        self.ends[number].append(GivenUp())

    async def publish(
        self, connection: warren.Connection, number: int, target: str, size: int
    ) -> None:
        try:
            await connection.publish(
                b"%d " % number + bytes(size),
                exchange="missing" if target == "missing" else "",
                routing_key=target,
            )
        except warren.WarrenError as error:
            self.ends[number].append(error)
        else:
            self.ends[number].append(None)

    async def publish_in_batch(
        self, connection: warren.Connection, number: int, target: str, size: int
    ) -> None:
        try:
            async with connection.batch() as batch:
                await batch.publish(
                    b"%d " % number + bytes(size),
                    exchange="missing" if target == "missing" else "",
                    routing_key=target,
                )
        except warren.BatchFailed as failed:
            self.ends[number] += [error for _, error in failed.failures]
        except warren.WarrenError as error:
            self.ends[number].append(error)
        else:
            self.ends[number].append(None)

    async def consume(self, connection: warren.Connection) -> None:
        """Settle in any order and in any way; a stale one comes again."""
        async with connection.consume("ok", prefetch=5, on_error="requeue") as consumer:
            async for window in consumer.windows(max=5, wait=0.2):
                self.random.shuffle(window)
                for delivery in window:
                    if self.random.random() < 0.3:
                        await trio.sleep(self.random.random())  # it may become stale
                    self.settle(delivery)

    def settle(self, delivery: warren.Delivery[object]) -> None:
        number = int(delivery.body.split()[0])
        try:
            if self.random.random() < 0.2:
                delivery.requeue()
                return
            delivery.ack()
        except warren.StaleDelivery:
            assert delivery.is_stale
            return
        self.done.add(number)
        if self.publishing_is_over and self.confirmed <= self.done:
            self.everything_is_done.set()

    @property
    def confirmed(self) -> set[int]:
        targets = self.story.publishes
        return {
            number
            for number, ends in self.ends.items()
            if ends == [None] and targets[number][0] == "ok"
        }

    async def wait_done(self) -> None:
        if not self.confirmed <= self.done:
            await self.everything_is_done.wait()

    def check(self) -> None:
        for number, (target, _) in enumerate(self.story.publishes):
            [end] = self.ends[number]
            expected = {*EXPECTED[target]}
            if self.story.unconfirmed == "raise":
                expected.add(warren.Unconfirmed)
            if self.story.gives_up:
                expected.add(GivenUp)
            expected |= {
                MADE_POSSIBLE[what]
                for _, what in self.story.disturbances
                if what in MADE_POSSIBLE
            }
            assert (type(end) if end else None) in expected, (target, end)


def nothing() -> None:
    """It has ended by itself."""


async def play(story: Story) -> None:
    """Play a story to its end."""
    async with memory_broker(cut_of(story)) as broker:
        actors = Play(story, broker)
        with trio.fail_after(PATIENCE_SECONDS):
            await actors.run()
        actors.check()


@settings(max_examples=settings.default.max_examples * 2 // 5)
@given(story=stories)
def test_faults(story: Story) -> None:
    clock = MockClock(autojump_threshold=0)
    trio.run(partial(play, story), clock=clock)

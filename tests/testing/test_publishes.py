"""Every publish has one answer, whatever goes wrong with it, and in whatever order."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.pairs import World
from warren.wire.methods import (
    BasicAck,
    BasicGet,
    BasicGetOk,
    BasicNack,
    ConfirmSelect,
    QueueDeclare,
    TxCommit,
    TxCommitOk,
    TxSelect,
    TxSelectOk,
)
from warren_broker.testing.publishes import Publishes


def tapped() -> tuple[World, Publishes]:
    """A world whose sessions publish through a tap."""
    world, publishes = World(), Publishes()
    world.broker.tap = publishes
    return world, publishes


def release(world: World, publishes: Publishes) -> None:
    """Release in a turn, and let the next one come."""
    world.broker.begin_turn(world.now)
    publishes.release()
    world.advance(0)


class Answers(RuleBasedStateMachine):
    """One channel with confirms; what the test has asked for goes wrong with it."""

    @initialize()
    def start(self) -> None:
        self.world, self.publishes = tapped()
        self.client = self.world.open()
        self.client.call(QueueDeclare(queue="q"), ConfirmSelect())
        self.expected: list[bool] = []  # whether each publish is to be acked
        self.withheld: set[int] = set()
        self.answers: dict[int, bool] = {}
        self.doomed = {"": 0, "any": 0}
        self.is_withholding = False

    @rule(is_routed=st.booleans(), count=st.integers(1, 3))
    def publish(self, is_routed: bool, count: int) -> None:
        self.client.publish("q" if is_routed else "nowhere", *[b""] * count)
        for _ in range(count):
            kind = next((kind for kind, left in self.doomed.items() if left), None)
            if kind is not None:
                self.doomed[kind] -= 1
            self.expected.append(kind is None)
            if self.is_withholding and is_routed and kind is None:
                self.withheld.add(len(self.expected))

    @rule(count=st.integers(1, 2), exchange=st.sampled_from(["", "amq.topic", None]))
    def nack(self, count: int, exchange: str | None) -> None:
        self.publishes.refuse(count, exchange)
        if exchange != "amq.topic":
            self.doomed["any" if exchange is None else exchange] += count

    @rule()
    def withhold(self) -> None:
        self.publishes.withhold()
        self.is_withholding = True

    @rule()
    def release(self) -> None:
        release(self.world, self.publishes)
        self.withheld.clear()
        self.is_withholding = False

    @invariant()
    def each_has_the_answer_it_should_have(self) -> None:
        for method in self.client.methods():
            assert isinstance(method, BasicAck | BasicNack)
            tag = method.delivery_tag
            assert tag not in self.answers, "answered twice"
            first = 1 if method.multiple else tag
            for each in range(first, tag + 1):
                self.answers.setdefault(each, isinstance(method, BasicAck))
        sent = range(1, len(self.expected) + 1)
        assert self.answers.keys() == set(sent) - self.withheld
        for tag, is_taken in self.answers.items():
            assert is_taken is self.expected[tag - 1]
        assert len(self.publishes.seen) == len(sent)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()


TestAnswers = Answers.TestCase


def test_a_commit_is_not_withheld() -> None:
    world, publishes = tapped()
    client = world.open()
    client.call(QueueDeclare(queue="q"))
    assert isinstance(client.ask(TxSelect()), TxSelectOk)
    publishes.withhold()
    client.publish("q", b"1")
    assert client.ask(TxCommit()) == TxCommitOk()
    assert isinstance(client.ask(BasicGet(queue="q", no_ack=True)), BasicGetOk)
    world.close()


def test_what_was_withheld_from_a_client_that_is_gone_is_forgotten() -> None:
    world, publishes = tapped()
    client = world.open()
    client.call(QueueDeclare(queue="q"), ConfirmSelect())
    publishes.withhold()
    client.publish("q", b"1")
    client.hang_up()
    release(world, publishes)
    assert client.arrivals() == []
    world.close()

"""Publisher confirms: each publish is answered once, and as soon as its fate is known.

As long as nothing has to wait that is in order, one frame a batch.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from tests.amqp.bad_input import on, published
from tests.core.full_queues import AMPLE, FullQueue, Publish
from tests.pairs import World
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicNack,
    ChannelClose,
    ChannelCloseOk,
    ConfirmSelect,
    ConnectionClose,
    ConnectionCloseOk,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
)

if TYPE_CHECKING:
    from warren.wire.methods import Method

BOUNDED = {"x-max-length": 2, "x-overflow": "reject-publish"}


def test_a_batch_is_confirmed_by_one_frame() -> None:
    client = World().open()
    client.call(QueueDeclare(queue="q"), ConfirmSelect())
    client.publish("q", b"1")
    assert client.methods() == [BasicAck(1)]
    client.publish("q", b"2", b"3", b"4")
    assert client.methods() == [BasicAck(4, multiple=True)]


def test_what_is_routed_nowhere_is_safe_there() -> None:
    client = World().open()
    client.call(ConfirmSelect())
    client.publish("nowhere", b"1")
    assert client.methods() == [BasicAck(1)]


def test_numbers_begin_with_confirm_select() -> None:
    client = World().open()
    client.publish("q", b"not counted")
    client.call(ConfirmSelect())
    client.publish("q", b"1")
    assert client.methods() == [BasicAck(1)]


def test_without_it_there_are_none() -> None:
    client = World().open()
    client.publish("q", b"1")
    assert client.methods() == []


def test_a_refused_publish_cuts_the_run() -> None:
    client = World().open()
    client.call(QueueDeclare(queue="q", arguments=BOUNDED), ConfirmSelect())
    client.publish("q", b"1", b"2", b"3", b"4")
    client.publish("nowhere", b"5", b"6")
    assert client.methods() == [
        BasicAck(2, multiple=True),
        BasicNack(3, requeue=False),
        BasicNack(4, requeue=False),
        BasicAck(6, multiple=True),
    ]


def test_one_full_queue_of_two_refuses_for_both() -> None:
    client = World().open()
    client.call(QueueDeclare(queue="q", arguments={**BOUNDED, "x-max-length": 0}))
    client.call(QueueDeclare(queue="r"), ConfirmSelect())
    client.publish("r", b"1", headers={"CC": ["q"]})
    assert client.methods() == [BasicNack(1, requeue=False)]


def test_channels_count_for_themselves() -> None:
    client = World().open(channels=(1, 2))
    for number in (1, 2):
        client.call(ConfirmSelect(), channel=number)
    client.publish("q", b"1", b"2", channel=2)
    client.publish("q", b"1", channel=1)
    found = [(each.channel, each.method) for each in client.arrivals()]
    assert found == [(2, BasicAck(2, multiple=True)), (1, BasicAck(1))]


def test_deliveries_and_confirms_share_nothing() -> None:
    client = World().open()
    client.call(QueueDeclare(queue="q"), ConfirmSelect(), BasicConsume(queue="q"))
    client.publish("q", b"1", b"2")
    kinds = [type(each) for each in client.methods()]
    assert kinds == [BasicDeliver, BasicDeliver, BasicAck]


@given(
    keys=st.lists(st.sampled_from(("free", "full", "nowhere")), max_size=12),
    cut=st.integers(0, 12),
)
def test_every_publish_is_answered_once_and_in_order(keys: list[str], cut: int) -> None:
    client = World().open()
    full = {**BOUNDED, "x-max-length": 3}
    client.call(QueueDeclare(queue="free"), QueueDeclare(queue="full", arguments=full))
    client.call(ConfirmSelect())
    for batch in (keys[:cut], keys[cut:]):
        client.send_raw(b"".join(published("", key) for key in batch))
    answers: list[bool] = []
    for method in client.methods():
        assert isinstance(method, BasicAck | BasicNack)
        news = method.delivery_tag - len(answers)
        answers += [isinstance(method, BasicAck)] * news
    room = 3
    expected = []
    for key in keys:
        room -= key == "full"
        expected.append(key != "full" or room >= 0)
    assert answers == expected


class Outstanding:
    """A client's own ledger: it takes every answer as an unforgiving client would."""

    def __init__(self) -> None:
        self.published = 0
        self.outstanding: set[int] = set()
        self.answers: dict[int, bool] = {}

    def publish(self) -> int:
        self.published += 1
        self.outstanding.add(self.published)
        return self.published

    def hear(self, method: Method) -> None:
        assert isinstance(method, BasicAck | BasicNack)
        tag = method.delivery_tag
        assert tag in self.outstanding, f"{tag} is not outstanding"
        covered = {each for each in self.outstanding if each <= tag}
        for each in covered if method.multiple else {tag}:
            self.outstanding.remove(each)
            self.answers[each] = isinstance(method, BasicAck)


RULES: dict[str, dict[str, str | int]] = {
    "free": {},
    "blocks": {"x-overflow": "block", "x-max-length": 1},
    "hurries": {
        "x-overflow": "block",
        "x-max-length": 2,
        "x-publish-deadline": 3000,
    },
    "refuses": {"x-overflow": "reject-publish", "x-max-length": 2},
    "drops": {"x-overflow": "drop-tail", "x-max-length": 1},
}
ROUTES = {
    "nowhere": [],
    **{name: [name] for name in RULES},
    "two": ["blocks", "hurries"],
    "three": ["free", "refuses", "hurries"],
    "all": list(RULES),
}
LIMITED = [name for name in RULES if name != "free"]
BATCHES = [list(batch) for batch in product(ROUTES, repeat=2)]
STEPS: list[tuple[str, Any]] = [
    *[("publish", batch) for batch in BATCHES],
    *[("publish", batch * 2) for batch in BATCHES],
    *[("get", name) for name in LIMITED] * 20,
    *[("purge", name) for name in LIMITED] * 3,
    *[("wait", seconds) for seconds in (1, 4, 31)] * 5,
]


class Answered:
    """A publisher, somebody who takes messages, and what both should see."""

    def __init__(self) -> None:
        self.world = World()
        self.publisher, self.other = self.world.open(), self.world.open()
        self.publisher.call(ConfirmSelect())
        self.publisher.call(ExchangeDeclare(exchange="x", type="topic"))
        for name, rules in RULES.items():
            self.publisher.call(QueueDeclare(queue=name, arguments=dict(rules)))
        for key, names in ROUTES.items():
            for name in names:
                bind = QueueBind(queue=name, exchange="x", routing_key=key)
                self.publisher.call(bind)
        self.queues = {
            name: FullQueue(
                rule=str(rules.get("x-overflow", "block")),
                length=int(rules.get("x-max-length", AMPLE)),
                deadline=int(rules.get("x-publish-deadline", 30_000)) / 1000,
            )
            for name, rules in RULES.items()
        }
        self.ledger = Outstanding()
        self.publishes: dict[int, Publish] = {}

    def publish(self, keys: list[str]) -> None:
        for key in keys:
            number = self.ledger.publish()
            publish = self.publishes[number] = Publish(b"%d" % number)
            for name in ROUTES[key]:
                self.queues[name].offer(publish, 1, self.world.now)
        first = self.ledger.published - len(keys) + 1
        self.publisher.send_raw(
            b"".join(
                published("x", key, b"%d" % number)
                for number, key in enumerate(keys, first)
            )
        )

    def get(self, name: str) -> None:
        expected = self.queues[name].take()
        self.other.send(BasicGet(queue=name, no_ack=True))
        (found,) = self.other.arrivals()
        assert found.body == (expected.body if expected else b"")

    def purge(self, name: str) -> None:
        self.queues[name].purge()
        self.other.call(QueuePurge(queue=name))

    def wait(self, seconds: int) -> None:
        until = self.world.now + seconds
        self.world.advance(seconds)
        for queue in self.queues.values():
            queue.tick(until)

    def check(self) -> None:
        self.world.advance(0.0)
        for method in self.publisher.methods():
            self.ledger.hear(method)
        known = {
            number: publish.fate
            for number, publish in self.publishes.items()
            if publish.fate is not None
        }
        assert self.ledger.answers == known


@given(steps=st.binary(min_size=40, max_size=40))
def test_every_publish_is_answered_once_when_its_fate_is_known(steps: bytes) -> None:
    both = Answered()
    for position in range(0, len(steps), 2):  # one draw: two bytes are a step
        drawn = int.from_bytes(steps[position : position + 2], "big")
        name, argument = STEPS[drawn % len(STEPS)]
        getattr(both, name)(argument)
        both.check()
    for name in RULES:
        both.other.call(QueueDelete(queue=name))
        both.queues[name].delete()
    both.check()
    assert not both.ledger.outstanding


class TestTheEnd:
    """What is safe is said to be so, before the end comes."""

    def test_of_the_channel_by_the_client(self) -> None:
        client = World().open()
        client.call(ConfirmSelect())
        client.send_raw(published("", "q") + on(1, ChannelClose()))
        assert client.methods() == [BasicAck(1), ChannelCloseOk()]

    def test_of_the_channel_by_an_error(self) -> None:
        client = World().open()
        client.call(ConfirmSelect())
        client.send_raw(published("", "q") * 2 + published("nope", "q"))
        ack, close = client.methods()
        assert ack == BasicAck(2, multiple=True)
        assert isinstance(close, ChannelClose)

    def test_of_the_connection_by_the_client(self) -> None:
        client = World().open()
        client.call(ConfirmSelect())
        client.send_raw(published("", "q") + on(0, ConnectionClose()))
        assert client.methods() == [BasicAck(1), ConnectionCloseOk()]

    def test_of_the_connection_by_an_error(self) -> None:
        client = World().open()
        client.call(ConfirmSelect())
        client.send_raw(published("", "q") + b"\0" * 8)
        ack, close = client.methods()
        assert ack == BasicAck(1)
        assert isinstance(close, ConnectionClose)

    def test_of_the_server(self) -> None:
        client = World().open()
        client.call(ConfirmSelect())
        client.publish("q", b"1")
        client.connection.shutdown(client.world.now)
        ack, close = client.methods()
        assert ack == BasicAck(1)
        assert isinstance(close, ConnectionClose)
        assert close.reply_code == 320

"""x-overflow `block`: a full queue holds up who fills it, and nobody else."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from tests.amqp.bad_input import on, published
from tests.amqp.fingerprint import fingerprint, leftovers
from tests.amqp.slow_store import RecordingStore
from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicQos,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ExchangeDeclare,
    ExchangeDelete,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueuePurge,
    QueuePurgeOk,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxSelect,
)
from warren_broker.core.limits import Limits
from warren_broker.core.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warren.wire.methods import Method
    from warren.wire.table import FieldValue, Table

BLOCK: Table = {"x-overflow": "block", "x-max-length": 1}
DEADLINE = 30.0


def blocked(
    world: World | None = None,
    confirming: tuple[int, ...] = (1, 2),
    **arguments: FieldValue,
) -> RawClient:
    """A client with two channels; its queue `full` is full and blocks, `q` is not."""
    client = (world or World()).open(channels=(1, 2))
    extra: Table = {name.replace("_", "-"): each for name, each in arguments.items()}
    client.call(
        QueueDeclare(queue="full", arguments=BLOCK | extra), QueueDeclare(queue="q")
    )
    for number in confirming:
        client.call(ConfirmSelect(), channel=number)
    client.publish("full", b"first", channel=2)
    assert client.methods() == [BasicAck(1)]
    return client


def other(client: RawClient) -> RawClient:
    """Another connection to the same broker."""
    return client.world.open()


def get(client: RawClient, queue: str = "full") -> bytes | None:
    """Take a message; None if there is none."""
    client.send(BasicGet(queue=queue, no_ack=True))
    (arrival,) = client.arrivals()
    if isinstance(arrival.method, BasicGetEmpty):
        return None
    assert isinstance(arrival.method, BasicGetOk)
    client.world.advance(0.0)
    return arrival.body


class TestConfirms:
    def test_one_waits_for_room(self) -> None:
        client = blocked()
        client.publish("full", b"second")
        assert client.methods() == []
        reader = other(client)
        assert get(reader) == b"first"
        assert client.methods() == [BasicAck(1)]
        assert get(reader) == b"second"

    def test_those_on_another_channel_do_not(self) -> None:
        client = blocked()
        client.publish("full", b"x")
        client.publish("q", b"x", channel=2)
        (arrival,) = client.arrivals()
        assert (arrival.channel, arrival.method) == (2, BasicAck(2))

    def test_those_on_the_same_channel_do_not(self) -> None:
        client = blocked()
        client.publish("full", b"x")
        client.publish("q", b"x", b"x")
        client.publish("nowhere", b"x", mandatory=True)
        ack_1, ack_2, returned, ack_3 = client.methods()
        assert [ack_1, ack_2, ack_3] == [BasicAck(2), BasicAck(3), BasicAck(4)]
        assert isinstance(returned, BasicReturn)
        get(other(client))
        assert client.methods() == [BasicAck(1)]

    def test_those_before_it_go_in_one_frame(self) -> None:
        client = blocked()
        keys = ["q", "q", "full", "q", "full", "q"]
        client.send_raw(b"".join(published("", key) for key in keys))
        assert client.methods() == [
            BasicAck(2, multiple=True),
            BasicAck(4),
            BasicAck(6),
        ]
        client.call(QueuePurge(queue="full"))
        client.publish("q", b"x", b"x")
        found = client.methods()
        client.world.advance(0.0)
        found += client.methods()
        assert found == [BasicAck(7), BasicAck(8), BasicAck(3)]

    def test_those_that_end_together_go_in_one_frame(self) -> None:
        client = blocked(x_max_length=3)
        client.publish("full", *[b"x"] * 5)
        assert client.methods() == [BasicAck(2, multiple=True)]
        client.call(QueuePurge(queue="full"))
        client.world.advance(0.0)
        assert client.methods() == [BasicAck(5, multiple=True)]

    def test_those_that_are_given_up_together_too(self) -> None:
        client = blocked()
        client.publish("full", *[b"x"] * 4)
        client.world.advance(DEADLINE)
        assert client.methods() == [BasicNack(4, multiple=True, requeue=False)]

    def test_of_other_connections_do_not_wait(self) -> None:
        client = blocked()
        client.publish("full", b"x")
        second = other(client)
        second.call(ConfirmSelect())
        second.publish("q", b"x")
        assert second.methods() == [BasicAck(1)]

    def test_one_refused_meanwhile_does_not_cover_it(self) -> None:
        client = blocked()
        rejects: Table = {"x-overflow": "reject-publish", "x-max-length": 0}
        client.call(QueueDeclare(queue="no", arguments=rejects))
        client.publish("full", b"x")
        client.publish("no", b"x")
        assert client.methods() == [BasicNack(2, requeue=False)]


class TestDeadline:
    def test_is_half_a_minute(self) -> None:
        client = blocked()
        client.publish("full", b"second")
        client.world.advance(DEADLINE - 0.1)
        assert client.methods() == []
        client.world.advance(0.1)
        assert client.methods() == [BasicNack(1, requeue=False)]
        assert get(other(client)) == b"first"
        assert get(other(client)) is None

    def test_can_be_set_for_the_broker(self) -> None:
        client = blocked(World(Limits(publish_deadline_ms=500)))
        client.publish("full", b"x")
        client.world.advance(0.5)
        assert client.methods() == [BasicNack(1, requeue=False)]

    def test_can_be_set_for_a_queue(self) -> None:
        client = blocked(x_publish_deadline=1500)
        client.publish("full", b"x")
        client.world.advance(1.4)
        assert client.methods() == []
        client.world.advance(0.1)
        assert client.methods() == [BasicNack(1, requeue=False)]

    def test_holds_for_those_who_do_not_ask_as_well(self) -> None:
        client = blocked()
        silent = other(client)
        silent.publish("full", b"second")
        client.world.advance(DEADLINE)
        assert silent.methods() == []
        assert (get(silent), get(silent)) == (b"first", None)


class TestManyQueues:
    """The confirm waits for all of them."""

    def full_both(self) -> tuple[RawClient, RawClient]:
        client = blocked()
        deadline: Table = {"x-publish-deadline": 2000}
        client.call(QueueDeclare(queue="too", arguments=BLOCK | deadline))
        client.publish("too", b"x")
        assert client.methods() == [BasicAck(1)]
        for queue in ("full", "too", "q"):
            client.call(QueueBind(queue=queue, exchange="amq.fanout"))
        client.publish("", b"x", exchange="amq.fanout")
        assert client.methods() == []
        return client, other(client)

    def test_and_comes_with_the_last(self) -> None:
        client, reader = self.full_both()
        assert get(reader, "q") == b"x"
        get(reader, "too")
        assert client.methods() == []
        get(reader, "full")
        assert client.methods() == [BasicAck(2)]

    def test_and_is_a_nack_as_soon_as_one_gives_up(self) -> None:
        client, reader = self.full_both()
        client.world.advance(2.0)
        assert client.methods() == [BasicNack(2, requeue=False)]
        assert get(reader) == b"first"
        assert client.methods() == []
        assert get(reader) == b"x"  # that queue has it all the same

    def test_and_is_a_nack_at_once_if_one_refuses(self) -> None:
        client, _ = self.full_both()
        rejects: Table = {"x-overflow": "reject-publish", "x-max-length": 0}
        client.call(QueueDeclare(queue="no", arguments=rejects))
        client.call(QueueBind(queue="no", exchange="amq.fanout"))
        client.publish("", b"x", exchange="amq.fanout")
        assert client.methods() == [BasicNack(3, requeue=False)]


class TestEnds:
    def test_of_the_channel(self) -> None:
        client = blocked()
        client.send_raw(
            published("", "q")
            + published("", "full", b"second")
            + on(1, ChannelClose())
        )
        assert client.methods() == [BasicAck(1), ChannelCloseOk()]
        assert client.ask(ChannelOpen()) == ChannelOpenOk()
        client.call(ConfirmSelect())
        reader = other(client)
        assert (get(reader), get(reader)) == (b"first", b"second")
        client.world.advance(DEADLINE)
        assert client.methods() == []  # the new channel has published nothing
        client.publish("q", b"x")
        assert client.methods() == [BasicAck(1)]

    def test_of_the_connection(self) -> None:
        client = blocked()
        client.publish("full", b"second")
        reader = other(client)
        client.hang_up()
        assert (get(reader), get(reader)) == (b"first", b"second")

    def test_of_the_connection_when_the_fate_is_known_but_not_sent(self) -> None:
        client = blocked()
        client.publish("full", b"second")
        client.send_raw(on(2, QueuePurge(queue="full")))
        client.world.broker.on_deadline(client.world.now)  # the room's turn
        client.send_raw(on(1, ChannelClose()))
        assert client.methods() == [QueuePurgeOk(1), BasicAck(1), ChannelCloseOk()]

    def test_of_the_queue(self) -> None:
        client = blocked()
        client.publish("full", b"x", b"x")
        other(client).call(QueueDelete(queue="full"))
        client.world.advance(0.0)
        assert client.methods() == [BasicAck(2, multiple=True)]

    def test_of_what_is_in_the_queue(self) -> None:
        client = blocked()
        client.publish("full", b"second")
        reader = other(client)
        assert reader.ask(QueuePurge(queue="full")) == QueuePurgeOk(1)
        client.world.advance(0.0)
        assert client.methods() == [BasicAck(1)]
        assert get(reader) == b"second"


class TestBounds:
    LIMITS = Limits(waiting_per_queue_max=2, waiting_per_queue_max_bytes=1000)

    def test_of_their_number(self) -> None:
        client = blocked(World(self.LIMITS))
        client.publish("full", b"x", b"x", b"x")
        assert client.methods() == [BasicNack(3, requeue=False)]

    def test_of_their_bytes(self) -> None:
        client = blocked(World(self.LIMITS))
        client.publish("full", bytes(500), bytes(500))
        assert client.methods() == [BasicNack(2, requeue=False)]

    def test_of_what_would_never_fit(self) -> None:
        client = blocked(x_max_length_bytes=2000)
        client.publish("full", bytes(2000))
        assert client.methods() == [BasicNack(1, requeue=False)]


def test_consumers_get_what_waits_in_the_order_of_publishing() -> None:
    client = blocked()
    client.publish("full", *[b"%d" % number for number in range(5)])
    assert client.methods() == []
    reader = other(client)
    reader.call(BasicQos(prefetch_count=1))
    reader.send(BasicConsume(queue="full"))
    found = []
    for tag in range(1, 7):
        client.world.advance(0.0)
        found += reader.bodies()
        reader.send(BasicAck(tag))
    assert found == [b"first", *[b"%d" % number for number in range(5)]]
    client.world.advance(0.0)
    heard: set[int] = set()
    for method in client.methods():
        assert isinstance(method, BasicAck)
        assert not method.multiple
        heard.add(method.delivery_tag)
    assert heard == {1, 2, 3, 4, 5}


class TestTransactions:
    """tx.commit-ok says that everything is in its queue, so it may come late."""

    def committing(self) -> RawClient:
        client = blocked(confirming=(2,))
        client.publish("q", b"job", channel=2)
        client.arrivals()
        client.call(TxSelect())
        client.send(BasicGet(queue="q"))
        client.arrivals()
        client.call(BasicAck(1))
        client.publish("full", b"result")
        assert client.call(TxCommit()) == []
        return client

    def unacked(self, client: RawClient) -> int:
        return client.world.broker.vhosts["/"].queues["q"].unacked_count

    def test_waits_for_room(self) -> None:
        client = self.committing()
        reader = other(client)
        assert self.unacked(client) == 1
        get(reader)
        assert client.methods() == [TxCommitOk()]
        assert self.unacked(client) == 0
        assert get(reader) == b"result"
        assert client.ask(TxCommit()) == TxCommitOk()

    def test_fails_at_the_deadline(self) -> None:
        client = self.committing()
        client.world.advance(DEADLINE)
        (close,) = client.methods()
        assert isinstance(close, ChannelClose)
        assert (close.failing_class_id, close.failing_method_id) == (90, 20)
        assert close.reply_code == 406
        assert close.reply_text == "PRECONDITION_FAILED - partial tx completion"
        assert self.unacked(client) == 0
        assert get(other(client), "q") == b"job"

    @pytest.mark.parametrize(
        "again", [TxCommit(), TxRollback()], ids=lambda one: one.name
    )
    def test_is_not_disturbed(self, again: Method) -> None:
        client = self.committing()
        (close,) = client.call(again)
        assert isinstance(close, ChannelClose)
        text = "PRECONDITION_FAILED - the last tx.commit is not finished"
        assert (close.reply_code, close.reply_text) == (406, text)
        reader = other(client)
        assert get(reader, "q") == b"job"
        assert (get(reader), get(reader)) == (b"first", None), "all of it or nothing"
        assert client.methods() == []

    def test_ends_with_its_channel(self) -> None:
        client = self.committing()
        assert client.ask(ChannelClose()) == ChannelCloseOk()
        assert get(other(client), "q") == b"job"
        client.world.advance(DEADLINE)
        assert client.methods() == []

    def test_nothing_of_it_is_there_before_all_of_it_is(self) -> None:
        """So it is one record: a crash finds all of it, or nothing."""
        client = blocked(confirming=(2,))
        store = RecordingStore(client.world)
        client.call(QueueDeclare(queue="safe", durable=True), channel=2)
        arguments = BLOCK | {"x-max-length": 2}
        client.call(
            QueueDeclare(queue="two", durable=True, arguments=arguments), channel=2
        )
        store.commit()
        client.call(TxSelect())
        persistent = {"delivery_mode": 2}
        client.publish("two", b"1", b"2", **persistent)
        client.publish("safe", b"3", **persistent)
        client.publish("full", b"4")
        client.publish("safe", b"5", **persistent)
        assert client.call(TxCommit()) == []
        assert store.turns == {}
        reader = other(client)
        assert get(reader, "safe") is None
        assert get(reader, "two") is None
        get(reader)
        client.world.advance(0.0)
        store.commit()
        assert client.methods() == [TxCommitOk()]
        assert list(store.turns.values()) == [[b"1", b"2", b"3", b"5"]]

    def test_it_waits_in_its_turn(self) -> None:
        """Who came later to one of its queues does not overtake it."""
        client = self.committing()
        late = client.world.open(channels=(1,))
        late.call(ConfirmSelect())
        late.publish("full", b"late")
        reader = other(client)
        assert get(reader) == b"first"
        assert client.methods() == [TxCommitOk()]
        assert get(reader) == b"result"
        assert late.methods() == [BasicAck(1)]
        assert get(reader) == b"late"

    def test_two_that_want_the_same_queues_do_not_wait_for_each_other(self) -> None:
        client = blocked(confirming=(2,))
        client.call(QueueDeclare(queue="other", arguments=BLOCK), channel=2)
        client.publish("other", b"first", channel=2)
        first, second = other(client), other(client)
        for one, (near, far) in (
            (first, ("full", "other")),
            (second, ("other", "full")),
        ):
            one.call(TxSelect())
            one.publish(near, b"x")
            one.publish(far, b"x")
            assert one.call(TxCommit()) == []
        reader = other(client)
        for _ in range(3):
            for queue in ("full", "other"):
                get(reader, queue)
                client.world.advance(0.0)
        assert first.methods() == second.methods() == [TxCommitOk()]

    def test_one_that_is_larger_than_the_queue_waits_until_it_is_empty(self) -> None:
        client = blocked(confirming=(2,))
        client.call(TxSelect())
        client.publish("full", b"a", b"b", b"c")
        assert client.call(TxCommit()) == []
        reader = other(client)
        bodies = [get(reader)]
        assert client.methods() == [TxCommitOk()]
        bodies += [get(reader) for _ in range(4)]
        assert bodies == [b"first", b"a", b"b", b"c", None]

    @pytest.mark.parametrize("way", ["deleted", "unblocked"])
    def test_a_queue_that_blocks_no_more_is_waited_for_no_more(self, way: str) -> None:
        client = self.committing()
        if way == "deleted":
            client.call(QueueDelete(queue="full"), channel=2)
        else:
            rules = Policy.parse("p", "^full", {"max-length": 5}, is_operator=True)
            client.world.broker.administration.set_policy("/", rules)
            client.call(QueuePurge(queue="full"), channel=2)
        client.world.advance(0.0)
        assert TxCommitOk() in client.methods()
        assert self.unacked(client) == 0

    def test_what_never_fits_is_refused_at_once(self) -> None:
        client = blocked(confirming=(2,))
        arguments = BLOCK | {"x-max-length-bytes": 4}
        client.call(QueueDeclare(queue="small", arguments=arguments), channel=2)
        client.call(TxSelect())
        client.publish("q", b"good")
        client.publish("small", b"too long")
        (close,) = client.call(TxCommit())
        assert isinstance(close, ChannelClose)
        assert close.reply_code == 406
        assert get(other(client), "q") is None

    def test_what_was_checked_is_checked_again(self) -> None:
        client = blocked(confirming=(2,))
        client.call(ExchangeDeclare(exchange="x", type="fanout"), channel=2)
        client.call(TxSelect())
        client.publish("full", b"a")
        client.publish("", b"b", exchange="x")
        assert client.call(TxCommit()) == []
        client.call(ExchangeDelete(exchange="x"), channel=2)
        reader = other(client)
        get(reader)
        (close,) = client.methods()
        assert isinstance(close, ChannelClose)
        assert close.reply_code == 404
        assert get(reader) is None

    def test_what_follows_it_is_the_next_one(self) -> None:
        client = self.committing()
        client.publish("q", b"next")
        get(other(client))
        assert client.methods() == [TxCommitOk()]
        assert get(other(client), "q") is None
        assert client.ask(TxCommit()) == TxCommitOk()
        assert get(other(client), "q") == b"next"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"x-overflow": "blocks"}, "x-overflow|invalid_overflow"),
        ({"x-overflow": "BLOCK"}, "x-overflow|invalid_overflow"),
        ({"x-publish-deadline": 0}, "x-publish-deadline|{value_zero,0}"),
        ({"x-publish-deadline": -1}, "x-publish-deadline|{value_negative,-1}"),
        (
            {"x-publish-deadline": "1s"},
            'x-publish-deadline|"expected integer, got longstr"',
        ),
        (
            {"x-publish-deadline": 1.5},
            'x-publish-deadline|"expected integer, got double"',
        ),
        (
            {"x-publish-deadline": 2**62},
            f"x-publish-deadline|{{value_too_large,{2**62}}}",
        ),
    ],
    ids=str,
)
def test_arguments_that_cannot_be(arguments: Table, text: str) -> None:
    client = World().open()
    before = fingerprint(client.world.broker)
    (close,) = client.call(QueueDeclare(queue="mine", arguments=BLOCK | arguments))
    assert isinstance(close, ChannelClose)
    key, reason = text.split("|")
    assert close.reply_code == 406
    assert close.reply_text == (
        f"PRECONDITION_FAILED - invalid arg '{key}' for queue 'mine' in vhost '/':"
        f" {reason}"
    )
    assert fingerprint(client.world.broker) == before


@pytest.mark.parametrize("how", ["block", "drop-tail"])
def test_it_is_declared_like_anything_else(how: str) -> None:
    client = World().open()
    declare = QueueDeclare(queue="q", arguments=BLOCK | {"x-overflow": how})
    assert client.call(declare, declare) == [QueueDeclareOk("q")] * 2


def test_drop_tail_confirms_what_it_drops() -> None:
    client = World().open()
    arguments = BLOCK | {"x-overflow": "drop-tail"}
    client.call(QueueDeclare(queue="q", arguments=arguments), ConfirmSelect())
    client.publish("q", b"1", b"2", b"3")
    assert client.methods() == [BasicAck(3, multiple=True)]
    assert (get(client, "q"), get(client, "q")) == (b"1", None)


# Nothing is left


def waits(client: RawClient) -> None:
    client.publish("full", b"x", b"y")
    client.publish("q", b"x", b"y")


def waits_with_a_commit(client: RawClient) -> None:
    client.call(ChannelOpen(), channel=3)
    client.call(TxSelect(), BasicGet(queue="full"), BasicAck(1), channel=3)
    client.publish("full", b"x", b"y", channel=3)
    client.call(TxCommit(), channel=3)


def gets_in(client: RawClient) -> None:
    waits(client)
    waits_with_a_commit(client)
    client.call(QueuePurge(queue="full"))
    client.world.advance(0.0)


def gives_up(client: RawClient) -> None:
    waits(client)
    waits_with_a_commit(client)
    client.world.advance(DEADLINE)


def loses_its_queue(client: RawClient) -> None:
    waits(client)
    client.call(QueueDelete(queue="full"))


def consumes(client: RawClient) -> None:
    waits(client)
    client.send(BasicConsume(queue="full", no_ack=True))
    client.world.advance(0.0)
    found = [each.body for each in client.arrivals() if each.method.has_content]
    assert found == [b"first", b"x", b"y"]


def dies_in_a_chain(client: RawClient) -> None:
    for name, following in (("a", "b"), ("b", "c"), ("c", "a")):
        arguments: Table = {
            **BLOCK,
            "x-message-ttl": 100,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": following,
        }
        client.call(QueueDeclare(queue=name, exclusive=True, arguments=arguments))
    for name in "abc":
        client.publish(name, *[b"x"] * 3)
    client.world.advance(0.15)


@pytest.fixture
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("_without_collector")
@pytest.mark.parametrize(
    "scenario",
    [
        waits,
        waits_with_a_commit,
        gets_in,
        gives_up,
        loses_its_queue,
        consumes,
        dies_in_a_chain,
    ],
    ids=lambda each: each.__name__,
)
def test_nothing_is_left(scenario: Callable[[RawClient], None]) -> None:
    world = World()
    scenario(blocked(world))
    world.close()
    world.advance(2 * DEADLINE)
    world.broker.take_notices()
    assert leftovers(world.broker) == []
    assert gc.collect() == 0


def test_deliveries_go_on_while_publishes_wait() -> None:
    client = blocked()
    client.call(BasicConsume(queue="q", consumer_tag="c", no_ack=True))
    client.publish("full", b"x")
    client.publish("q", b"1")
    assert [type(each) for each in client.methods()] == [BasicDeliver, BasicAck]

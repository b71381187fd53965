"""Publisher confirms: each publish is answered once, in order, one frame a batch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.amqp.bad_input import on, published
from tests.pairs import World
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicNack,
    ChannelClose,
    ChannelCloseOk,
    ConfirmSelect,
    ConnectionClose,
    ConnectionCloseOk,
    QueueDeclare,
)

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

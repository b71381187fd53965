"""Direct reply-to: answers go straight to who asked, or to nobody."""

from __future__ import annotations

from typing import Final

from tests.pairs import World
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicReturn,
    ChannelClose,
    ConfirmSelect,
    QueueDeclare,
    QueueDeclareOk,
)

REPLY_TO: Final = "amq.rabbitmq.reply-to"
CONSUME: Final = BasicConsume(queue=REPLY_TO, consumer_tag="r", no_ack=True)


class Call:
    """A requester, a server with the queue `rpc`, and the request that it got."""

    def __init__(self) -> None:
        self.world = World()
        self.requester = self.world.open(channels=(1, 2))
        self.server = self.world.open()
        self.server.call(
            QueueDeclare(queue="rpc"), BasicConsume(queue="rpc", no_ack=True)
        )
        assert self.requester.ask(CONSUME) == BasicConsumeOk("r")
        self.requester.publish("rpc", b"2 + 2", reply_to=REPLY_TO, correlation_id="7")
        (request,) = self.server.arrivals()
        assert request.properties is not None
        assert request.properties.correlation_id == "7"
        assert request.properties.reply_to is not None
        self.address = request.properties.reply_to

    def reply(self, **options: bool) -> None:
        self.server.publish(self.address, b"4", correlation_id="7", **options)


def test_there_and_back() -> None:
    call = Call()
    assert call.address.startswith(REPLY_TO + ".")
    call.reply()
    (arrival,) = call.requester.arrivals()
    assert arrival.method == BasicDeliver("r", 1, False, "", call.address)
    assert arrival.body == b"4"
    assert arrival.channel == 1


def test_an_address_is_a_channels_own() -> None:
    call = Call()
    call.requester.call(CONSUME, channel=2)
    publish = {"reply_to": REPLY_TO}
    call.requester.publish("rpc", b"1", channel=1, **publish)
    call.requester.publish("rpc", b"2", channel=2, **publish)
    first, second = call.server.arrivals()
    assert first.properties is not None
    assert second.properties is not None
    assert first.properties.reply_to == call.address
    assert second.properties.reply_to != call.address


def test_other_addresses_are_left_alone() -> None:
    call = Call()
    call.requester.publish("rpc", b"1", reply_to="my queue")
    (request,) = call.server.arrivals()
    assert request.properties is not None
    assert request.properties.reply_to == "my queue"


def test_a_server_may_ask_whether_anybody_waits() -> None:
    call = Call()
    ask = QueueDeclare(queue=call.address, passive=True)
    assert call.server.ask(ask) == QueueDeclareOk(call.address, 0, 1)
    call.requester.call(ChannelClose())
    (close,) = call.server.call(ask)
    assert isinstance(close, ChannelClose)
    assert close.reply_code == 404


def test_a_reply_to_nobody_is_dropped() -> None:
    call = Call()
    call.requester.hang_up()
    call.server.call(ConfirmSelect())
    call.reply()
    assert call.server.methods() == [BasicAck(1)]
    call.reply(mandatory=True)
    back, ack = call.server.methods()
    assert isinstance(back, BasicReturn)
    assert ack == BasicAck(2)


def test_a_cancelled_consumer_gets_nothing_and_may_begin_again() -> None:
    call = Call()
    assert call.requester.ask(BasicCancel("r")) == BasicCancelOk("r")
    call.reply()
    assert call.requester.methods() == []
    assert call.requester.ask(CONSUME) == BasicConsumeOk("r")
    call.reply()
    assert call.requester.methods() == []  # the address was another
    call.requester.call(BasicCancel("r"))
    consume = BasicConsume(queue="rpc", consumer_tag="r")
    assert call.requester.ask(consume) == BasicConsumeOk("r")


def test_replies_are_not_acked() -> None:
    call = Call()
    call.reply()
    call.requester.arrivals()
    (close,) = call.requester.call(BasicAck(1))
    assert isinstance(close, ChannelClose)
    assert close.reply_code == 406


def test_a_reply_too_large_for_the_requester_is_the_requesters_trouble() -> None:
    world = World()
    requester, server = world.open(frame_max=4096), world.open()
    server.call(QueueDeclare(queue="rpc"), BasicConsume(queue="rpc", no_ack=True))
    requester.call(CONSUME)
    requester.publish("rpc", b"?", reply_to=REPLY_TO)
    (request,) = server.arrivals()
    assert request.properties is not None
    assert request.properties.reply_to is not None
    server.publish(request.properties.reply_to, b"!", headers={"k": "v" * 5000})
    assert server.methods() == []
    world.advance(0)  # the channel closes in a turn of its own
    (close,) = requester.methods()
    assert isinstance(close, ChannelClose)
    assert close.reply_code == 311
    assert not world.broker.vhosts["/"].replies


def test_nothing_is_left_of_a_requester() -> None:
    call = Call()
    assert len(call.world.broker.vhosts["/"].replies) == 1
    call.requester.hang_up()
    assert not call.world.broker.vhosts["/"].replies

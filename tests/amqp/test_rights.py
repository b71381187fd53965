"""What permissions mean for names that the server makes, and for bounds that hold."""

from __future__ import annotations

import pytest

from tests.pairs import World
from warren.errors import AccessRefused
from warren.wire.methods import (
    BasicConsume,
    BasicGet,
    ChannelClose,
    ConfirmSelect,
    QueueDeclare,
    QueueDeclareOk,
    TxCommit,
    TxSelect,
)
from warren.wire.outbox import HIGH_WATER
from warren_broker.core.access import Access, Permissions
from warren_broker.core.limits import Limits
from warren_broker.core.reply_to import REPLY_TO


@pytest.mark.parametrize(
    ("pattern", "is_allowed"),
    [("", False), ("^$", False), (r"^amq\.gen.*", True), (".*", True)],
)
def test_a_name_of_the_servers_is_permitted_like_any_other(
    pattern: str, is_allowed: bool
) -> None:
    access = Access()
    access.set_permissions(
        "guest", "/", Permissions(configure=pattern, write=".*", read=".*")
    )
    client = World(access=access).open()
    answer = client.ask(QueueDeclare(queue="", exclusive=True))
    assert isinstance(answer, QueueDeclareOk if is_allowed else ChannelClose)


def test_a_certificate_does_not_let_guest_in_from_elsewhere() -> None:
    access = Access()
    assert access.identify("guest", from_loopback=True).name == "guest"
    with pytest.raises(AccessRefused):
        access.identify("guest", from_loopback=False)
    with pytest.raises(AccessRefused):
        access.identify("nobody", from_loopback=True)


def test_a_commit_that_a_full_queue_refuses_is_no_commit() -> None:
    client = World().open()
    limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
    client.call(QueueDeclare(queue="other"), QueueDeclare(queue="q", arguments=limits))
    client.publish("other", b"held")
    client.call(TxSelect(), BasicGet(queue="other"))
    client.publish("q", b"1", b"2")
    close = client.ask(TxCommit())
    assert isinstance(close, ChannelClose)
    assert close.reply_text == "PRECONDITION_FAILED - partial tx completion"


def test_gets_without_acks_are_bounded() -> None:
    client = World(Limits(unacked_per_channel_max=2)).open()
    client.call(QueueDeclare(queue="q"))
    client.publish("q", b"1", b"2", b"3")
    client.send(BasicGet(queue="q"), BasicGet(queue="q"))
    assert client.bodies() == [b"1", b"2"]
    close = client.ask(BasicGet(queue="q"))
    assert isinstance(close, ChannelClose)
    assert close.reply_code == 406


def test_replies_to_one_who_does_not_read_are_dropped() -> None:
    world = World()
    requester, server = world.open(), world.open()
    server.call(QueueDeclare(queue="rpc"), BasicConsume(queue="rpc", no_ack=True))
    requester.call(BasicConsume(queue=REPLY_TO, no_ack=True))
    requester.publish("rpc", b"?", reply_to=REPLY_TO)
    (request,) = server.arrivals()
    assert request.properties is not None
    assert request.properties.reply_to is not None
    server.call(ConfirmSelect())
    for _ in range(40):
        server.publish(request.properties.reply_to, bytes(HIGH_WATER))
    assert requester.outbox.size < 6 * HIGH_WATER
    assert len(server.methods()) == 40


@pytest.mark.parametrize("keys", [["k"] * 65, ["k" * 256]])
def test_too_many_or_too_long_extra_keys(keys: list[str]) -> None:
    client = World().open()
    client.publish("", b"x", exchange="amq.fanout", headers={"CC": keys})
    (close,) = client.methods()
    assert isinstance(close, ChannelClose)
    assert close.reply_code == 406

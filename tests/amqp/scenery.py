"""Scenery: a broker with something in it, and a witness who must notice nothing.

Queues: `kept` (three messages; bound to the exchange `kept.topic`), `empty`, `busy`
(the witness consumes it), `taken` (exclusively), `single` (single active consumer),
`by priority` and `locked` (exclusive to the witness); and the stream `stream`.
Exchanges: `kept.topic`, `super` (a super stream of two partitions) and `inner`
(internal). Users: guest, `limited` (may read) and `outsider` (may nothing).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.pairs import World
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicGetOk,
    BasicNack,
    ConfirmSelect,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
)
from warren_broker.core.access import PasswordHash, Permissions

if TYPE_CHECKING:
    from warren_broker.core.limits import Limits

KEPT: Final = [b"first", b"second", b"third"]
QUEUES: Final = (
    QueueDeclare(queue="kept"),
    QueueDeclare(queue="empty"),
    QueueDeclare(queue="busy"),
    QueueDeclare(queue="taken"),
    QueueDeclare(queue="single", arguments={"x-single-active-consumer": True}),
    QueueDeclare(queue="by priority", arguments={"x-max-priority": 3}),
    QueueDeclare(queue="locked", exclusive=True),
    QueueDeclare(queue="stream", durable=True, arguments={"x-queue-type": "stream"}),
)
USERS: Final = {
    "guest": Permissions(configure=".*", write=".*", read=".*"),
    "limited": Permissions(configure="^$", write="^$", read=".*"),
    "outsider": None,
}


class Scenery:
    """A world and its witness."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.world = World(limits)
        broker = self.world.broker
        for name in USERS:
            if name != "guest":
                broker.access.add_user(name, PasswordHash.of(name.encode()))
        self.grant()
        maximum = broker.limits.channel_max
        self.witness = self.world.open(channels=(1, 2), channel_max=maximum)
        self.witness.call(
            *QUEUES,
            ExchangeDeclare(exchange="kept.topic", type="topic"),
            ExchangeDeclare(
                exchange="super",
                type="x-super-stream",
                durable=True,
                arguments={"partitions": 2},
            ),
            ExchangeDeclare(exchange="inner", type="fanout", internal=True),
            QueueBind(queue="kept", exchange="kept.topic", routing_key="#.kept"),
            ConfirmSelect(),
            BasicConsume(queue="busy", consumer_tag="w"),
        )
        taken = BasicConsume(queue="taken", consumer_tag="t", exclusive=True)
        self.witness.call(taken, channel=2)
        self.fill()

    def grant(self) -> None:
        """Give every user what they may do at first; no decision is remembered."""
        for name, permissions in USERS.items():
            if permissions is not None:
                self.world.broker.access.set_permissions(name, "/", permissions)

    def fill(self) -> None:
        """Make all queues as they are at first, and delete `mine`."""
        purged = ("kept", "empty", "by priority")
        self.witness.call(*(QueuePurge(queue=name) for name in purged))
        self.witness.call(QueueDelete(queue="mine"))
        self.witness.publish("kept", *KEPT)
        assert len(self.witness.methods()) == 1

    def check_witness(self) -> None:
        """The witness publishes, is confirmed, is delivered to, and acks."""
        self.witness.arrivals()  # alarms concern it as well
        self.witness.publish("busy", b"ping")
        delivered, confirmed = self.witness.arrivals()
        assert delivered.body == b"ping"
        assert isinstance(delivered.method, BasicDeliver)
        assert isinstance(confirmed.method, BasicAck)
        self.witness.send(BasicAck(delivered.method.delivery_tag))
        assert not self.world.broker.vhosts["/"].queues["busy"].unacked_count

    def check_kept(self) -> None:
        """The messages that were there are there, in their order."""
        for body in KEPT:
            self.witness.send(BasicGet(queue="kept"))
            (arrival,) = self.witness.arrivals()
            assert isinstance(arrival.method, BasicGetOk)
            assert arrival.body == body
        self.witness.send(BasicNack(0, multiple=True, requeue=True))

"""The machine that does the same things to the broker's core and to the model.

After every command both must agree: who was given what, in which order, what is
still ready and what is unacked, and what was refused with which code. What the model
cannot see (the windows that the core keeps count of, its deadlines) is checked by
itself. The model knows only one order in each queue, that of publishing, and takes
nothing twice from it: so first deliveries are in order (of each priority and key),
nothing is lost or invented, and an entry has one holder. What came in is always what
is ready, delayed or unacked and what has left, each for one reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests import model_parts
from tests.core.comparison import (
    Fates,
    compare,
    due_owners,
    identity_of,
    lease_wishes,
    owners,
    said_of,
    to_core,
)
from tests.core.machine_publishing import TICK, PublishingCommands
from tests.core.machine_topology import TopologyCommands
from tests.core.support import GUEST, Channel, Delivery, fingerprint, new_broker
from tests.model import Model
from tests.model_parts import (
    AMPLE,
    Consumer,
    Delivered,
    Message,
    Refused,
)
from tests.strategies import (
    BIND,
    CHANNELS,
    CONSUME,
    DECLARE_EXCHANGE,
    DECLARE_QUEUE,
    QOS,
    QUEUES,
    arguments,
    commands,
)
from tests.themes import PAIRS, Themes
from warren.errors import AMQPError
from warren_broker.core.limits import Limits
from warren_broker.core.routing import walk
from warren_broker.core.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model_queue import Queue, Room
    from tests.strategies import Arguments, Command
    from tests.themes import Theme

T = TypeVar("T")


class BrokerMachine(TopologyCommands, PublishingCommands, RuleBasedStateMachine):
    """A broker, its model, and three channels of two connections."""

    pairs: ClassVar[list[tuple[Theme, Theme]]] = PAIRS

    def __init__(self) -> None:
        super().__init__()
        self.broker, session = new_broker(Limits(retry_jitter=0.0))
        self.vhost = session.vhost
        self.log: list[Delivery] = []
        self.model = Model(self.broker.limits.ack_timeout_ms / 1000.0)
        self.model.in_order = self.in_order
        self.sessions: dict[str, Session] = {}
        self.channels: dict[str, Channel] = {}
        self.fates = Fates()
        self.identity = 0
        self.consumer_number = 0
        self.is_late = False  # the timer has not fired yet, though it should have
        for name in CHANNELS:
            self.open(name)

    def open(self, name: str) -> None:
        if name[0] not in self.sessions:
            self.sessions[name[0]] = Session(self.vhost, GUEST)
        real = self.channels[name] = Channel(self.sessions[name[0]], name, self.log)
        known = self.model.channels[name] = model_parts.Channel(name, name[0])
        real.knows_cancel = known.knows_cancel = name[0] == "A"

    @initialize(
        pair=st.integers(0, 2**16 - 1),
        queues=st.tuples(*[arguments(DECLARE_QUEUE)] * len(QUEUES)),
        exchanges=st.lists(arguments(DECLARE_EXCHANGE), max_size=4),
        bindings=st.lists(arguments(BIND), max_size=6),
        qualities=st.lists(arguments(QOS), min_size=2, max_size=4),
        consumers=st.lists(arguments(CONSUME), min_size=2, max_size=5),
    )
    def begin(
        self,
        pair: int,
        queues: tuple[Arguments, ...],
        **others: list[Arguments],
    ) -> None:
        self.themes = Themes(self.pairs[pair % len(self.pairs)])
        for name, queue in zip(QUEUES, queues, strict=True):
            self.step(("declare_queue", queue | {"name": name}))
        for name, kind in (
            ("declare_exchange", "exchanges"),
            ("bind", "bindings"),
            ("qos", "qualities"),
            ("consume", "consumers"),
        ):
            for one in others[kind]:
                self.step((name, one))

    @rule(command=commands())
    def step(self, command: Command) -> None:
        name, chosen = command
        if name == "something_special":
            name, chosen = self.themes.command(**chosen)
        self.set_now(self.broker.now + TICK)
        getattr(self, name)(**chosen)
        self.absorb()
        self.model.dispatch()
        if name != "wait" or not self.is_late:
            self.is_late = False
            self.fire(self.broker.now)
        self.compare()

    # Time

    def set_now(self, now: float) -> None:
        self.broker.begin_turn(now)
        self.model.now = now

    def fire(self, until: float) -> None:
        """Let both act on what is due, each deadline at its own moment."""
        while (wake := self.broker.next_deadline()) is not None and wake <= until:
            due = self.model.next_due()
            assert due is None or wake <= due, f"nobody wakes at {due}"
            order = self.in_turn(max(wake, self.broker.now))
            self.broker.on_deadline(wake)
            self.absorb()
            self.model.tick(self.broker.now, order)
            self.model.dispatch()
            self.close_late()
            assert not self.log
        due = self.model.next_due()
        assert due is None or due > until, f"nobody wakes at {due}"

    def wait(self, seconds: float | None) -> None:
        due = self.model.next_due()
        if seconds is not None:
            until = self.broker.now + seconds
            self.fire(until)
            self.set_now(until)
        elif due is not None and self.can_be_late(due):
            self.set_now(due + TICK)
            self.is_late = True

    def can_be_late(self, due: float) -> bool:
        """Not for hours, and not where only the broker knows who comes next.

        That is so with consumers of several queues on one window, and with keys: an
        entry over its time takes the turn of one, or gives it to a consumer.
        """
        soon = self.broker.now < due < self.broker.now + 60
        return (
            soon
            and all(one.window == AMPLE for one in self.model.channels.values())
            and not any(
                one.mode in {"sticky", "fair"} and can_expire(one)
                for one in self.model.queues.values()
            )
        )

    def in_turn(self, now: float) -> list[model_parts.Channel | Queue | Room | str]:
        """What is due at `now`, in the order in which the broker looks at it."""
        known = owners(self.vhost, self.channels, self.model)
        return [
            known[owner] for owner in due_owners(self.broker, now) if owner in known
        ]

    # The two sides

    def both(self, real: Callable[[], T], expected: Callable[[], object]) -> None:
        """Do it to the broker, then to the model; both refuse it or both do it."""
        before = fingerprint(self.broker, *self.channels.values())
        code: int | None = None
        result: T | None = None
        try:
            result = real()
        except AMQPError as error:
            code = error.code
            assert before == fingerprint(self.broker, *self.channels.values())
        self.absorb()
        wanted_code, wanted = outcome(expected)
        assert (code, result) == (wanted_code, wanted)

    def absorb(self) -> None:
        """Tell the model what the broker has handed out; the log is empty then."""
        for one in self.log:
            identity = identity_of(one.message)
            assert one.redelivered == (one.delivery_count > 0)
            self.model.deliveries.append(
                Delivered(
                    one.queue,
                    identity,
                    one.message.route.routing_key,
                    one.delivery_count,
                    one.channel,
                    one.consumer,
                    one.tag,
                )
            )
        self.log.clear()

    def in_order(self, message: Message, names: set[str]) -> list[str]:
        """The order in which the broker visits the queues of a message."""
        exchange = self.vhost.exchanges.get(message.exchange)
        if exchange is None or self.vhost.queues.keys() != self.model.queues.keys():
            return sorted(names)  # the broker is ahead: it has deleted something since
        found = walk(
            self.vhost.exchanges, exchange, to_core(message), AMPLE, self.broker.now
        )[0]
        order = [queue.name for queue in found]
        assert sorted(order) == sorted(names)
        return order

    # Settling

    def tagged(self, channel: str, pick: int) -> tuple[str, int]:
        """A delivery tag, of this channel if it has any; sometimes an unknown one."""
        channels = [self.model.channels[name] for name in (channel, *CHANNELS)]
        busy = [one for one in channels if one.unacked or one.overdue] or channels
        tags = [*busy[0].unacked, *busy[0].overdue, busy[0].tag + 1]
        return busy[0].name, 0 if pick == 19 else tags[pick % len(tags)]

    def ack(self, channel: str, pick: int, *, multiple: bool) -> None:
        name, tag = self.tagged(channel, pick)
        self.both(
            lambda: self.channels[name].unacked.settle(tag, multiple=multiple),
            lambda: self.model.ack(self.model.channels[name], tag, multiple=multiple),
        )

    def requeue(self, channel: str, pick: int, **how: bool) -> None:
        self.refuse(*self.tagged(channel, pick), requeue=True, **how)

    def reject(self, channel: str, pick: int, **how: bool) -> None:
        self.refuse(*self.tagged(channel, pick), requeue=False, failed=True, **how)

    def refuse(self, channel: str, tag: int, **how: bool) -> None:
        self.both(
            lambda: self.channels[channel].unacked.refuse(tag, **how),
            lambda: self.model.refuse(self.model.channels[channel], tag, **how),
        )

    def extend(self, channel: str, pick: int, seconds: float) -> None:
        name, tag = self.tagged(channel, pick)
        self.both(
            lambda: self.channels[name].unacked.extend(tag, seconds),
            lambda: self.model.extend(self.model.channels[name], tag, seconds),
        )

    def hear(self, channel: str) -> None:
        """Any byte will do."""
        self.channels[channel].last_heard = self.broker.now
        self.model.channels[channel].heard_at = self.model.now

    def recover(self, channel: str) -> None:
        known = self.model.channels[channel]
        self.both(
            self.channels[channel].unacked.recover,
            lambda: self.model.give_back(known, known.unacked, failed=False),
        )

    # Consuming

    def consume(
        self,
        channel: str,
        queue: str,
        *,
        has_timeout: bool,
        wishes: int,
        **how: object,
    ) -> None:
        self.consumer_number += 1
        tag = f"c{self.consumer_number}"
        asked = dict(self.themes.wishes(wishes))
        if has_timeout:
            asked["x-consumer-timeout"] = 3000 + 64 * self.consumer_number

        def expected() -> None:
            found = self.model.queue(queue, channel[0])
            terms = self.model.lease_of(found, asked)
            on = self.model.channels[channel]
            self.model.consume(Consumer(tag, on, found, lease=terms, **how))

        def real() -> None:
            self.channels[channel].consume(queue, tag, **lease_wishes(asked), **how)

        self.both(real, expected)

    def cancel(self, channel: str, pick: int) -> None:
        consumers = list(self.model.channels[channel].consumers.values())
        if consumers:
            chosen = consumers[pick % len(consumers)]
            self.both(
                lambda: self.channels[channel].cancel(chosen.tag),
                lambda: self.model.cancel(chosen),
            )

    def get(self, channel: str, queue: str, *, no_ack: bool) -> None:
        said: list[object] = [None]

        def real() -> object:
            entry = self.channels[channel].get(queue, no_ack=no_ack)
            said[0] = entry and said_of(entry)
            return said[0]

        def expected() -> object:
            on = self.model.channels[channel]
            entry = self.model.get(on, queue, *said, no_ack=no_ack)
            return entry and entry.seen

        self.both(real, expected)

    def qos(self, channel: str, count: int, *, whole_channel: bool) -> None:
        known = self.model.channels[channel]

        def expected() -> None:
            name = "window" if whole_channel else "prefetch"
            setattr(known, name, count or AMPLE)
            self.model.dispatch()

        on = self.channels[channel]
        self.both(lambda: on.qos(count, whole_channel=whole_channel), expected)

    def flow(self, channel: str, *, active: bool) -> None:
        def expected() -> None:
            self.model.channels[channel].is_flowing = active
            self.model.dispatch()

        self.both(lambda: self.channels[channel].flow(active=active), expected)

    def close_channel(self, channel: str) -> None:
        known = self.model.channels[channel]
        self.both(self.channels[channel].close, lambda: self.model.close_channel(known))
        self.open(channel)

    def close_late(self) -> None:
        """The channels that held something too long, and end for that."""
        for name in CHANNELS:
            assert bool(self.channels[name].late) == self.model.channels[name].is_late
            if self.channels[name].late:
                self.close_channel(name)
                self.model.dispatch()

    def close_connection(self, connection: str) -> None:
        names = [name for name in CHANNELS if name[0] == connection]

        def real() -> None:
            for name in names:
                self.channels[name].stop()  # or one would get what another gave back
            for name in names:
                self.channels[name].close()
            self.sessions.pop(connection).close()

        self.both(real, lambda: self.model.close_connection(connection))
        for name in names:
            self.open(name)

    def compare(self) -> None:
        compare(self.vhost, self.channels, self.model)
        assert self.fates.known == self.model.fates


def outcome(act: Callable[[], T]) -> tuple[int | None, T | None]:
    """What the model does: the code it refuses with, or its answer."""
    try:
        return None, act()
    except Refused as refusal:
        return refusal.code, None


def can_expire(queue: Queue) -> bool:
    return any(entry.expires_at is not None for entry in queue.ready)

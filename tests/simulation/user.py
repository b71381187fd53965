"""A user: one client with one channel, who tells the ledger what he does and hears.

He waits for each answer before he goes on, as the simplest programs do; others go on
meanwhile. What he does is in the ledger at once, that it is promised when he is told.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.pairs import content
from tests.simulation.history import Violation
from tests.simulation.site import name_of
from warren.wire.frames import encode_method
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pairs import Arrival
    from tests.simulation.history import Fact
    from tests.simulation.ledger import Copy, Ledger, Note, QueueTerms
    from tests.simulation.site import Site
    from warren.wire.methods import Method

    Promised = Callable[[int, bool], None]

PERSISTENT = 2


class User:
    """Somebody with a connection. `mode` is plain, confirm or tx."""

    CHANNELS: tuple[int, ...] = (1,)

    def __init__(
        self, site: Site, ledger: Ledger, mode: str, promised: Promised
    ) -> None:
        """`promised` learns of each step that the broker says is safe.

        True: only what is defined in it.
        """
        self._promised = promised
        self._site = site
        self._ledger = ledger
        self.mode = mode
        self._client = site.open(channels=self.CHANNELS)
        self.consumers: dict[str, tuple[str, bool]] = {}  # queue, no_ack
        self.unacked: dict[int, tuple[Copy, int]] = {}  # by tag; step of delivery
        self._answer: type[Method] | None = None
        self._asked_in = 0  # the step
        self._of_definitions = False  # the answer speaks of these alone
        self._confirms: dict[int, int] = {}  # step, by number of the publish
        self._published = 0
        self.is_busy = False
        self._held_publishes: list[Callable[[], None]] = []  # until tx.commit
        self._held: list[Callable[[], None]] = []  # the settlements, which come after
        self._held_exchanges: set[str] = set()
        self._held_tags: dict[int, Copy] = {}
        self._getting: tuple[str, bool] = "", False
        selects = {"confirm": (ConfirmSelect(), ConfirmSelectOk)}
        selects["tx"] = TxSelect(), TxSelectOk  # type: ignore[assignment]
        if mode in selects:
            assert isinstance(self._client.ask(selects[mode][0]), selects[mode][1])

    @property
    def is_waiting(self) -> bool:
        return (
            self._answer is not None
            or self.is_busy
            or self._client.connection.throttled
        )

    @property
    def owes_answers(self) -> bool:
        """Whether something is not answered that was asked of the broker."""
        return self.is_waiting or bool(self._confirms)

    @property
    def awaits_definitions(self) -> bool:
        """Whether an answer is awaited that speaks of these, and nothing before it."""
        return self._answer is not None and self._of_definitions and not self._confirms

    # --- topology

    def declare_queue(
        self, name: str, terms: QueueTerms, *, then_get: bool = False
    ) -> None:
        """Declare a queue, and with `then_get` do not wait to ask for a message."""
        self._ledger.declare_queue(name, terms)
        method = QueueDeclare(
            queue=name, durable=terms.durable, arguments=terms.arguments
        )
        if then_get:
            self._getting = name, True
            self._send(method, BasicGet(queue=name, no_ack=True))
            self._expect(QueueDeclareOk, ("queue", name))
        else:
            self._ask(method, QueueDeclareOk, ("queue", name))

    def delete_queue(self, name: str) -> None:
        self._ledger.delete_queue(name)
        self._ask(QueueDelete(queue=name), QueueDeleteOk, ("queue", name))

    def purge_queue(self, name: str) -> None:
        self._ledger.purge(name)
        self._ask(QueuePurge(queue=name), QueuePurgeOk)

    def declare_exchange(self, name: str, *, durable: bool) -> None:
        self._ledger.declare_exchange(name, durable=durable)
        method = ExchangeDeclare(exchange=name, type="fanout", durable=durable)
        self._ask(method, ExchangeDeclareOk, ("exchange", name))

    def delete_exchange(self, name: str) -> None:
        self._ledger.delete_exchange(name)
        method = ExchangeDelete(exchange=name)
        self._ask(method, ExchangeDeleteOk, ("exchange", name))

    def bind(self, exchange: str, queue: str) -> None:
        self._ledger.bind(exchange, queue)
        method = QueueBind(queue=queue, exchange=exchange)
        self._ask(method, QueueBindOk, ("binding", exchange, queue))

    def unbind(self, exchange: str, queue: str) -> None:
        self._ledger.unbind(exchange, queue)
        method = QueueUnbind(queue=queue, exchange=exchange)
        self._ask(method, QueueUnbindOk, ("binding", exchange, queue))

    # --- messages

    def publish(self, *notes: Note) -> None:
        """Publish in one go."""
        for note in notes:
            self._published += 1
            if self.mode == "tx":
                self._held_publishes.append(partial(self._ledger.publish, note))
                self._held_exchanges.add(note.exchange)
            else:
                self._ledger.publish(note)
            if self.mode == "confirm":
                self._confirms[self._published] = self._ledger.history.step
        self._send_raw(b"".join(map(_encoded, notes)))

    def consume(self, queue: str, *, no_ack: bool, prefetch: int) -> None:
        tag = f"{queue} {len(self.consumers)} {self._ledger.history.step}"
        self.consumers[tag] = queue, no_ack
        self._send(BasicQos(0, prefetch))
        self._client.send(BasicConsume(queue=queue, consumer_tag=tag, no_ack=no_ack))

    def get(self, queue: str, *, no_ack: bool) -> None:
        self._getting = queue, no_ack
        self._send(BasicGet(queue=queue, no_ack=no_ack))

    def settle(self, tags: list[int], kind: str, *, multiple: bool) -> None:
        """Ack, refuse or give back: one tag, or with `multiple` all up to it."""
        copies = [self.unacked.pop(tag)[0] for tag in tags]
        if self.mode == "tx":
            self._held.append(partial(self._settle_now, copies, kind))
            self._held_tags.update(zip(tags, copies, strict=True))
        else:
            self._settle_now(copies, kind)
        if kind == "ack":
            self._send(BasicAck(tags[-1], multiple))
        else:
            self._send(BasicNack(tags[-1], multiple, requeue=kind == "requeue"))

    @property
    def can_commit(self) -> bool:
        """Whether all exchanges are there to which was published."""
        return self._held_exchanges <= {"", *self._ledger.exchanges}

    def commit(self) -> None:
        self._held_exchanges.clear()
        held, self._held = self._held_publishes + self._held, []
        self._held_publishes = []
        self._held_tags = {}
        for action in held:
            action()
        self._ask(TxCommit(), TxCommitOk)

    def roll_back(self) -> None:
        self._held_publishes, self._held = [], []
        self._held_exchanges.clear()
        held, self._held_tags = self._held_tags, {}
        step = self._ledger.history.step
        for tag, copy in held.items():
            self.unacked[tag] = copy, step
        self.unacked = dict(sorted(self.unacked.items()))
        self._ask(TxRollback(), TxRollbackOk)

    def leave(self, how: str) -> None:
        """Go without a word, or because the broker stops."""
        if how == "stop":
            self._client.connection.shutdown(self._site.now)
            self._site.after_turn()
            self.hear()
        self._client.hang_up()
        self._site.clients.remove(self._client)
        copies = [
            *self._held_tags.values(),
            *(copy for copy, _ in self.unacked.values()),
        ]
        self.unacked, self._held_tags, self.consumers = {}, {}, {}
        self._ledger.give_back(copies)

    # --- hearing

    def hear(self) -> None:
        """Tell the ledger of all that came. Raises Violation."""
        for arrival in self._client.arrivals():
            self._hear(arrival)

    def _hear(self, arrival: Arrival) -> None:
        method = arrival.method
        if self._answer and isinstance(method, BasicGetOk | BasicGetEmpty):
            raise Violation(f"{method} has overtaken {self._answer.name}")
        if isinstance(method, BasicDeliver | BasicGetOk):
            self._hear_message(arrival)
        elif isinstance(method, BasicAck | BasicNack):
            self._hear_confirm(method)
        elif isinstance(method, BasicCancel):
            self.consumers.pop(method.consumer_tag, None)
        elif isinstance(method, BasicGetEmpty):
            if not self._ledger.expects_empty(self._getting[0]):
                raise Violation(f"{self._getting[0]} has no message, says the broker")
        elif self._answer is not None and isinstance(method, self._answer):
            self._answer = None
            self._promised(self._asked_in, self._of_definitions)
        elif not isinstance(method, BasicConsumeOk | BasicQosOk | ConnectionClose):
            raise Violation(f"unexpected: {method}")

    def _hear_message(self, arrival: Arrival) -> None:
        method = arrival.method
        assert isinstance(method, BasicDeliver | BasicGetOk)
        if isinstance(method, BasicDeliver):
            queue, no_ack = self.consumers[method.consumer_tag]
        else:
            queue, no_ack = self._getting
        assert arrival.properties is not None
        name = name_of(arrival.body, arrival.properties.headers or {})
        copy = self._ledger.given(
            queue, name, redelivered=method.redelivered, no_ack=no_ack, holder=self
        )
        self._check_content(copy, arrival)
        if not no_ack:
            self.unacked[method.delivery_tag] = copy, self._ledger.history.step

    def _check_content(self, copy: Copy, arrival: Arrival) -> None:
        method, properties, note = arrival.method, arrival.properties, copy.note
        assert isinstance(method, BasicDeliver | BasicGetOk)
        assert properties is not None
        is_letter = "/" in copy.name
        route = ("", copy.queue) if is_letter else (note.exchange, note.key)
        expiration = str(note.ttl * 1000) if note.ttl and not is_letter else None
        mode = PERSISTENT if note.persistent else 1
        found = (method.exchange, method.routing_key), properties.expiration
        if (*found, properties.delivery_mode) != (route, expiration, mode):
            raise Violation(f"{copy.name} came as {method} {properties}")

    def _hear_confirm(self, method: BasicAck | BasicNack) -> None:
        if isinstance(method, BasicNack):
            raise Violation("a nack, and nothing was wrong")
        tag = method.delivery_tag
        tags = (
            [one for one in self._confirms if one <= tag] if method.multiple else [tag]
        )
        for one in tags:
            self._promised(self._confirms.pop(one), False)

    def _ask(
        self, method: Method, answer: type[Method], fact: Fact | None = None
    ) -> None:
        """Send `method`; its answer says that `fact` is safe, or all of this step."""
        self._send(method)
        self._expect(answer, fact)

    def _expect(self, answer: type[Method], fact: Fact | None) -> None:
        history = self._ledger.history
        self._answer = answer
        self._asked_in = history.step if fact is None else history.since(fact)
        self._of_definitions = fact is not None

    def _send(self, *methods: Method, channel: int = 1) -> None:
        self._send_raw(b"".join(encode_method(channel, each) for each in methods))

    def _send_raw(self, data: bytes) -> None:
        self.is_busy = self._client.connection.receive(data, self._site.now)
        self._site.after_turn()
        self.go_on()

    def go_on(self) -> None:
        """Let the broker act on what it has left, if it may."""
        connection = self._client.connection
        while self.is_busy and not connection.throttled:
            self.is_busy = connection.resume(self._site.now)
            self._site.after_turn()

    def _settle_now(self, copies: list[Copy], kind: str) -> None:
        if kind == "requeue":
            self._ledger.give_back(copies)
            return
        for copy in copies:
            if kind == "ack":
                self._ledger.settle(copy)
            else:
                self._ledger.refuse(copy)


def _encoded(note: Note) -> bytes:
    chunks = content(
        BasicPublish(0, note.exchange, note.key),
        note.body,
        delivery_mode=PERSISTENT if note.persistent else 1,
        expiration=str(note.ttl * 1000) if note.ttl else None,
        headers=note.headers or None,
    )
    return b"".join(chunks)

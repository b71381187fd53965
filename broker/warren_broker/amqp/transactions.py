"""Handlers of confirm.* and tx.*, and what a transaction holds until its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

from warren.errors import ChannelError, PreconditionFailed, ResourceError
from warren.wire.methods import (
    ConfirmSelectOk,
    TxCommit,
    TxCommitOk,
    TxRollbackOk,
    TxSelectOk,
)
from warren_broker.amqp.confirms import ConfirmLedger
from warren_broker.amqp.publish import deliver_to_core
from warren_broker.core.admission import Admission, AdmissionHolder, NeverFits
from warren_broker.core.outcome import REFUSED
from warren_broker.core.returning import return_entries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren.wire.methods import ConfirmSelect, TxRollback, TxSelect
    from warren_broker.amqp.channel import ServerChannel
    from warren_broker.core.message import Message
    from warren_broker.core.queue import Entry


_PARTIAL: Final = "partial tx completion"
_OVERHEAD_BYTES: Final = 256
"""What a held message costs besides its own bytes."""


class _Settlement(NamedTuple):
    """Deliveries that the client settled, and how: None is an ack.

    `failed` is true of basic.reject, see `return_entries`.
    """

    entries: dict[int, Entry]
    requeue: bool | None
    failed: bool = False


class _Held(NamedTuple):
    """What one transaction is: messages with `mandatory`, and settlements."""

    publishes: list[tuple[Message, bool]]
    settlements: list[_Settlement]
    size_bytes: int


_NOTHING: Final = _Held([], [], 0)


@final
class Transaction(AdmissionHolder):
    """Publishes and settlements of one channel that wait for tx.commit.

    Errors that can be seen are raised when they happen, as RabbitMQ does. A commit does
    all of it in one turn, at once or when there is room (`Admission`); only a queue
    that is full and does not block can still refuse its part.
    """

    __slots__ = (
        "_admission",
        "_channel",
        "_committed",
        "_publishes",
        "_settlements",
        "_size_bytes",
    )

    def __init__(self, channel: ServerChannel) -> None:
        self._channel = channel
        self._publishes: list[tuple[Message, bool]] = []
        self._settlements: list[_Settlement] = []
        self._size_bytes = 0
        self._committed = _NOTHING  # what waits for room, or is carried out
        self._admission: Admission | None = None

    def publish(self, message: Message, *, mandatory: bool) -> None:
        """Hold `message` until commit.

        Raises:
            AccessRefused, NotFound, PreconditionFailed: as publishing now would.
            ResourceError: the transaction holds more than a connection may.
        """
        self._channel.session.check_publish(message.route.exchange)
        self._channel.session.vhost.schedule.check((message,))
        connection = self._channel.connection
        size_bytes = message.size_bytes + _OVERHEAD_BYTES
        self._size_bytes += size_bytes
        connection.inflight_bytes += size_bytes
        limit = connection.broker.limits.inflight_max_bytes
        if connection.inflight_bytes > limit:
            raise ResourceError(f"transactions and bodies exceed {limit} bytes")
        self._publishes.append((message, mandatory))

    def ack(self, tag: int, *, multiple: bool) -> None:
        """Hold an ack until commit; PreconditionFailed for an unknown tag."""
        self._hold(tag, multiple=multiple, requeue=None)

    def refuse(self, tag: int, *, multiple: bool, requeue: bool, failed: bool) -> None:
        """Hold a nack or reject until commit; PreconditionFailed for an unknown tag."""
        self._hold(tag, multiple=multiple, requeue=requeue, failed=failed)

    def _hold(
        self, tag: int, *, multiple: bool, requeue: bool | None, failed: bool = False
    ) -> None:
        entries = self._channel.unacked.take(tag, multiple=multiple)
        if entries:  # "all there are" may be none, and would be kept for nothing
            self._settlements.append(_Settlement(entries, requeue, failed))

    def commit(self) -> None:
        """Do everything: first the publishes in their order, then the settlements.

        If one of the messages has to wait for room, all of it waits.

        Raises:
            NotFound, AccessRefused: an exchange was deleted, or made anew as an
                internal one, or may not be published to meanwhile; nothing has been
                done then.
            PreconditionFailed: publishers are blocked for too long, or a queue that
                blocks is too small for a message, or too many wait for it; nothing has
                been done then. Or a queue refused a message; what others took is
                there, and nothing is settled (RabbitMQ's text). Or the last commit
                waits, or as many messages are scheduled as may be; nothing has been
                done then.
        """
        self._check_finished()
        channel, block = self._channel, self._channel.connection.block
        if block is not None and self._publishes:
            block.check_commit()
        self._check(self._publishes)
        admission = Admission(channel.connection.broker, self)
        messages = [message for message, _ in self._publishes]
        try:
            admission.foresee(channel.session.vhost, messages)
            if not admission.is_free:
                admission.stand_in_line()
                self._admission = admission
        except NeverFits:
            raise PreconditionFailed(_PARTIAL) from None
        self._committed = self._hand_over()
        if self._admission is None:
            self._carry_out()

    def on_admitted(self) -> None:
        """Every queue has room for what has waited."""
        self._admission = None
        channel = self._channel
        try:
            self._check(self._committed.publishes)
            self._carry_out()
        except ChannelError as error:
            channel.connection.close_channel(channel, error, TxCommit.index)

    def on_refused(self) -> None:
        """It has waited too long: nothing of it is done."""
        self._admission = None
        error = PreconditionFailed(_PARTIAL)
        self._channel.connection.close_channel(self._channel, error, TxCommit.index)

    def _check(self, publishes: list[tuple[Message, bool]]) -> None:
        """Raise what publishing would raise, before anything is done."""
        session = self._channel.session
        for message, _ in publishes:
            exchange = message.route.exchange
            session.vhost.publishable_exchange(exchange)
            session.check_publish(exchange)
        session.vhost.schedule.check(message for message, _ in publishes)

    def _carry_out(self) -> None:
        """Do it all, in this turn: so it is in the store in one piece."""
        channel = self._channel
        vhost = channel.session.vhost
        vhost.is_committing = True
        try:
            outcomes = [
                deliver_to_core(channel, message, mandatory=mandatory)
                for message, mandatory in self._committed.publishes
            ]
        finally:
            vhost.is_committing = False
        if REFUSED in outcomes:
            self._take_back(self._committed)
            raise PreconditionFailed(_PARTIAL)
        committed, self._committed = self._committed, _NOTHING
        for settlement in committed.settlements:
            _settle(settlement)
        channel.connection.inflight_bytes -= committed.size_bytes
        # What was delivered meanwhile was not the oldest its consumer had.
        channel.unacked.watch(channel.connection.broker.now)
        channel.answer(TxCommitOk(), of_messages=True)

    def held(self) -> Iterator[Entry]:
        """Go through the deliveries that are settled once it is committed."""
        for settlement in (*self._committed.settlements, *self._settlements):
            yield from settlement.entries.values()

    def rollback(self) -> None:
        """Forget the publishes; what was settled is unacked again, not requeued.

        Raises:
            PreconditionFailed: the last commit waits.
        """
        self._check_finished()
        self._take_back(self._hand_over())

    def close(self) -> None:
        """The channel ends: settle nothing, not even what waits for its commit."""
        if self._admission is not None:
            self._admission.close()
            self._admission = None
        self._take_back(self._committed)
        self._take_back(self._hand_over())

    def _check_finished(self) -> None:
        if self._admission is not None:
            raise PreconditionFailed("the last tx.commit is not finished")

    def _hand_over(self) -> _Held:
        """Return what is held; what comes now is the next transaction."""
        held = _Held(self._publishes, self._settlements, self._size_bytes)
        self._publishes, self._settlements, self._size_bytes = [], [], 0
        return held

    def _take_back(self, held: _Held) -> None:
        """Forget the publishes; let what was settled be unacked again.

        All at once: it costs as much as the channel holds, however few they are.
        """
        self._committed = _NOTHING
        self._channel.connection.inflight_bytes -= held.size_bytes
        entries: dict[int, Entry] = {}
        for settlement in held.settlements:
            entries.update(settlement.entries)
        if entries:
            self._channel.unacked.put_back(entries)


def _settle(settlement: _Settlement) -> None:
    entries = settlement.entries.values()
    if settlement.requeue:
        return_entries(entries, failed=settlement.failed)
        return
    for entry in entries:
        if settlement.requeue is None:
            entry.queue.settle(entry)
        else:
            entry.queue.reject(entry)


def confirm_select(channel: ServerChannel, method: ConfirmSelect) -> None:
    """confirm.select: number publishes from now on; a second one changes nothing."""
    if channel.transaction is not None:
        raise PreconditionFailed("cannot switch from tx to confirm mode")
    if channel.confirms is None:
        connection = channel.connection
        channel.confirms = ConfirmLedger(
            channel.number, connection.promises, connection.broker
        )
    if not method.no_wait:
        channel.send(ConfirmSelectOk())


def tx_select(channel: ServerChannel, method: TxSelect) -> None:
    """tx.select: what follows waits for commit; a second one changes nothing."""
    if channel.confirms is not None:
        raise PreconditionFailed("cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction(channel)
    channel.send(TxSelectOk())


def tx_commit(channel: ServerChannel, method: TxCommit) -> None:
    """tx.commit: the answer comes when it is done."""
    _transaction(channel).commit()


def tx_rollback(channel: ServerChannel, method: TxRollback) -> None:
    """tx.rollback."""
    _transaction(channel).rollback()
    channel.send(TxRollbackOk())


def _transaction(channel: ServerChannel) -> Transaction:
    if channel.transaction is None:
        raise PreconditionFailed("channel is not transactional")
    return channel.transaction

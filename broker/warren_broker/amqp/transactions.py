"""Handlers of confirm.* and tx.*, and what a transaction holds until its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

from warren.errors import PreconditionFailed, ResourceError
from warren.wire.methods import (
    ConfirmSelectOk,
    TxCommit,
    TxCommitOk,
    TxRollbackOk,
    TxSelectOk,
)
from warren_broker.amqp.commit import WaitingCommit
from warren_broker.amqp.confirms import ConfirmLedger
from warren_broker.amqp.publish import deliver_to_core
from warren_broker.core.unacked import return_entries
from warren_broker.core.vhost import PENDING, REFUSED

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


@final
class Transaction:
    """Publishes and settlements of one channel that wait for tx.commit.

    Errors that can be seen are raised when they happen, as RabbitMQ does. A commit does
    all of it in one turn; only a queue that is full can still refuse its part, or let
    it wait (`WaitingCommit`).
    """

    __slots__ = (
        "_channel",
        "_committed",
        "_publishes",
        "_settlements",
        "_size_bytes",
        "_waiting",
    )

    def __init__(self, channel: ServerChannel) -> None:
        self._channel = channel
        self._publishes: list[tuple[Message, bool]] = []
        self._settlements: list[_Settlement] = []
        self._size_bytes = 0
        self._committed: list[_Settlement] = []  # what `_waiting` will settle
        self._waiting: WaitingCommit | None = None

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

        If one of the messages has to wait, `finish` follows later.

        Raises:
            NotFound, AccessRefused: an exchange was deleted, or made anew as an
                internal one, or may not be published to meanwhile; nothing has been
                done then.
            PreconditionFailed: publishers are blocked for too long; nothing has been
                done then. Or a queue refused a message; what others took is there,
                and nothing is settled (RabbitMQ's text). Or the last commit waits, or
                as many messages are scheduled as may be; nothing has been done then.
        """
        self._check_finished()
        channel, block = self._channel, self._channel.connection.block
        if block is not None and self._publishes:
            block.check_commit()
        for message, _ in self._publishes:
            exchange = message.route.exchange
            channel.session.vhost.publishable_exchange(exchange)
            channel.session.check_publish(exchange)
        channel.session.vhost.schedule.check(message for message, _ in self._publishes)
        outcomes, receipts = [], []
        for message, mandatory in self._publishes:
            outcome = deliver_to_core(channel, message, mandatory=mandatory)
            outcomes.append(outcome)
            if outcome == PENDING:
                receipts.append(channel.session.vhost.untaken.take_receipt())
        if REFUSED in outcomes:
            self.rollback()
            raise PreconditionFailed(_PARTIAL)
        self._committed = self._settlements
        self._clear()
        if receipts:
            broker = channel.connection.broker
            self._waiting = WaitingCommit(self, broker, receipts)
        else:
            self.finish(taken=True)

    def finish(self, *, taken: bool) -> None:
        """All messages are in their queues, or one was given up: say so."""
        channel = self._channel
        if not taken:
            error = PreconditionFailed(_PARTIAL)
            channel.connection.close_channel(channel, error, TxCommit.index)
            return
        self._waiting = None
        settlements, self._committed = self._committed, []
        for settlement in settlements:
            _settle(settlement)
        # What was delivered meanwhile was not the oldest its consumer had.
        channel.unacked.watch(channel.connection.broker.now)
        channel.answer(TxCommitOk())

    def held(self) -> Iterator[Entry]:
        """Go through the deliveries that are settled once it is committed."""
        for settlement in (*self._committed, *self._settlements):
            yield from settlement.entries.values()

    def rollback(self) -> None:
        """Forget the publishes; what was settled is unacked again, not requeued.

        Raises:
            PreconditionFailed: the last commit waits.
        """
        self._check_finished()
        self._put_back(self._settlements)
        self._clear()

    def close(self) -> None:
        """The channel ends: settle nothing, not even what waits for its commit."""
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None
        self._put_back(self._committed)
        self.rollback()

    def _check_finished(self) -> None:
        if self._waiting is not None:
            raise PreconditionFailed("the last tx.commit is not finished")

    def _put_back(self, settlements: list[_Settlement]) -> None:
        """All at once: it costs as much as the channel holds, however few they are."""
        entries: dict[int, Entry] = {}
        for settlement in settlements:
            entries.update(settlement.entries)
        if entries:
            self._channel.unacked.put_back(entries)

    def _clear(self) -> None:
        self._publishes = []
        self._settlements = []
        self._channel.connection.inflight_bytes -= self._size_bytes
        self._size_bytes = 0


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

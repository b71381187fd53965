"""Handlers of confirm.* and tx.*, and what a transaction holds until its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

from warren.errors import PreconditionFailed, ResourceError
from warren.wire.methods import (
    ConfirmSelectOk,
    TxCommitOk,
    TxRollbackOk,
    TxSelectOk,
)
from warren_broker.amqp.confirms import ConfirmLedger
from warren_broker.amqp.publish import deliver_to_core
from warren_broker.core.unacked import return_entries
from warren_broker.core.vhost import REFUSED

if TYPE_CHECKING:
    from warren.wire.methods import ConfirmSelect, TxCommit, TxRollback, TxSelect
    from warren_broker.amqp.channel import ServerChannel
    from warren_broker.core.message import Message
    from warren_broker.core.queue import Entry


_OVERHEAD_BYTES: Final = 256
"""What a held message costs besides its own bytes."""


class _Settlement(NamedTuple):
    """Deliveries that the client settled, and how: None is an ack."""

    entries: dict[int, Entry]
    requeue: bool | None


@final
class Transaction:
    """Publishes and settlements of one channel that wait for tx.commit.

    Errors that can be seen are raised when they happen, as RabbitMQ does. A commit does
    all of it in one turn; only a queue that is full can still refuse its part.
    """

    __slots__ = ("_channel", "_publishes", "_settlements", "_size_bytes")

    def __init__(self, channel: ServerChannel) -> None:
        self._channel = channel
        self._publishes: list[tuple[Message, bool]] = []
        self._settlements: list[_Settlement] = []
        self._size_bytes = 0

    def publish(self, message: Message, *, mandatory: bool) -> None:
        """Hold `message` until commit.

        Raises:
            AccessRefused, NotFound: as publishing now would.
            ResourceError: the transaction holds more than a connection may.
        """
        self._channel.session.check_publish(message.route.exchange)
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

    def refuse(self, tag: int, *, multiple: bool, requeue: bool) -> None:
        """Hold a nack until commit; PreconditionFailed for an unknown tag."""
        self._hold(tag, multiple=multiple, requeue=requeue)

    def commit(self) -> None:
        """Do everything: first the publishes in their order, then the settlements.

        Raises:
            NotFound, AccessRefused: an exchange was deleted, or made anew as an
                internal one, or may not be published to meanwhile; nothing has been
                done then.
            PreconditionFailed: a queue refused a message; what others took is there,
                and nothing is settled (RabbitMQ's text).
        """
        channel = self._channel
        for message, _ in self._publishes:
            exchange = message.route.exchange
            channel.session.vhost.publishable_exchange(exchange)
            channel.session.check_publish(exchange)
        outcomes = [
            deliver_to_core(channel, message, mandatory=mandatory)
            for message, mandatory in self._publishes
        ]
        if REFUSED in outcomes:
            self.rollback()
            raise PreconditionFailed("partial tx completion")
        settlements = self._settlements
        self._clear()
        for settlement in settlements:
            _settle(settlement)
        # What was delivered meanwhile was not the oldest its consumer had.
        channel.unacked.watch(channel.connection.broker.now)

    def rollback(self) -> None:
        """Forget the publishes; what was settled is unacked again, not requeued."""
        for settlement in self._settlements:
            self._channel.unacked.put_back(settlement.entries)
        self._clear()

    def _hold(self, tag: int, *, multiple: bool, requeue: bool | None) -> None:
        entries = self._channel.unacked.take(tag, multiple=multiple)
        self._settlements.append(_Settlement(entries, requeue))

    def _clear(self) -> None:
        self._publishes = []
        self._settlements = []
        self._channel.connection.inflight_bytes -= self._size_bytes
        self._size_bytes = 0


def _settle(settlement: _Settlement) -> None:
    entries = settlement.entries.values()
    if settlement.requeue:
        return_entries(entries)
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
        channel.confirms = ConfirmLedger(channel.number, channel.connection.outbox)
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
    """tx.commit."""
    _transaction(channel).commit()
    channel.send(TxCommitOk())


def tx_rollback(channel: ServerChannel, method: TxRollback) -> None:
    """tx.rollback."""
    _transaction(channel).rollback()
    channel.send(TxRollbackOk())


def _transaction(channel: ServerChannel) -> Transaction:
    if channel.transaction is None:
        raise PreconditionFailed("channel is not transactional")
    return channel.transaction

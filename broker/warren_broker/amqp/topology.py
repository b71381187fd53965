"""Handlers of exchange.* and queue.*: each asks the session and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warren.wire.methods import (
    ExchangeBindOk,
    ExchangeDeclareOk,
    ExchangeDeleteOk,
    ExchangeUnbindOk,
    QueueBindOk,
    QueueDeclareOk,
    QueueDeleteOk,
    QueuePurgeOk,
    QueueUnbindOk,
)

if TYPE_CHECKING:
    from warren.wire.methods import (
        ExchangeBind,
        ExchangeDeclare,
        ExchangeDelete,
        ExchangeUnbind,
        QueueBind,
        QueueDeclare,
        QueueDelete,
        QueuePurge,
        QueueUnbind,
    )
    from warren_broker.amqp.channel import ServerChannel

_COUNT_MAX: Final = 2**32 - 1
"""What a count has room for; a stream may keep more."""


def exchange_declare(channel: ServerChannel, method: ExchangeDeclare) -> None:
    """exchange.declare, passive or not."""
    if method.passive:
        channel.session.check_exchange(method.exchange)
    else:
        channel.session.declare_exchange(
            method.exchange,
            method.type,
            durable=method.durable,
            auto_delete=method.auto_delete,
            internal=method.internal,
            arguments=method.arguments,
        )
    if not method.no_wait:
        channel.answer(ExchangeDeclareOk())


def exchange_delete(channel: ServerChannel, method: ExchangeDelete) -> None:
    """exchange.delete."""
    channel.session.delete_exchange(method.exchange, if_unused=method.if_unused)
    if not method.no_wait:
        channel.answer(ExchangeDeleteOk())


def exchange_bind(channel: ServerChannel, method: ExchangeBind) -> None:
    """exchange.bind."""
    channel.session.bind_exchange(
        method.destination, method.source, method.routing_key, method.arguments
    )
    if not method.no_wait:
        channel.answer(ExchangeBindOk())


def exchange_unbind(channel: ServerChannel, method: ExchangeUnbind) -> None:
    """exchange.unbind."""
    channel.session.unbind_exchange(
        method.destination, method.source, method.routing_key, method.arguments
    )
    if not method.no_wait:
        channel.answer(ExchangeUnbindOk())


def queue_declare(channel: ServerChannel, method: QueueDeclare) -> None:
    """queue.declare, passive or not; its name becomes the channel's last queue."""
    if method.passive:
        summary = channel.session.check_queue(channel.queue_name(method.queue))
    else:
        summary = channel.session.declare_queue(
            method.queue,
            durable=method.durable,
            exclusive=method.exclusive,
            auto_delete=method.auto_delete,
            arguments=method.arguments,
        )
    channel.last_queue = summary.name
    if not method.no_wait:
        ready_count = min(summary.ready_count, _COUNT_MAX)
        channel.answer(
            QueueDeclareOk(summary.name, ready_count, summary.consumer_count)
        )


def queue_bind(channel: ServerChannel, method: QueueBind) -> None:
    """queue.bind; with neither queue nor key named, the key is the queue's name."""
    queue = channel.queue_name(method.queue)
    key = method.routing_key
    if not method.queue and not key:
        key = queue
    channel.session.bind_queue(queue, method.exchange, key, method.arguments)
    if not method.no_wait:
        channel.answer(QueueBindOk())


def queue_unbind(channel: ServerChannel, method: QueueUnbind) -> None:
    """queue.unbind, which has no no-wait."""
    queue = channel.queue_name(method.queue)
    key = method.routing_key
    if not method.queue and not key:
        key = queue
    channel.session.unbind_queue(queue, method.exchange, key, method.arguments)
    channel.answer(QueueUnbindOk())


def queue_purge(channel: ServerChannel, method: QueuePurge) -> None:
    """queue.purge."""
    count = channel.session.purge_queue(channel.queue_name(method.queue))
    if not method.no_wait:
        channel.answer(QueuePurgeOk(count), of_messages=True)


def queue_delete(channel: ServerChannel, method: QueueDelete) -> None:
    """queue.delete."""
    count = channel.session.delete_queue(
        channel.queue_name(method.queue),
        if_unused=method.if_unused,
        if_empty=method.if_empty,
    )
    if not method.no_wait:
        channel.answer(QueueDeleteOk(min(count, _COUNT_MAX)))

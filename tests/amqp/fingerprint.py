"""Fingerprints: the state of a broker as a value that can be compared.

A refused operation must leave it as it was. What the refusal itself ends (the channel,
its consumers, who holds which entry) is left out: an entry counts where it is, ready or
unacked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren_broker.core.arguments.canonical import canonical
from warren_broker.core.queue import Queue
from warren_broker.core.stream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Hashable

    from warren_broker.core.broker import Broker
    from warren_broker.core.exchange import Exchange
    from warren_broker.core.named_queue import NamedQueue
    from warren_broker.core.vhost import VHost


def fingerprint(broker: Broker) -> Hashable:
    """Return what a refused operation may not change."""
    return (
        topology(broker),
        tuple(repr(account) for account in broker.access.accounts()),
        tuple(
            (account.user.name, repr(broker.access.permissions(account.user.name)))
            for account in broker.access.accounts()
        ),
        broker.alarms.reason,
    )


def topology(broker: Broker) -> Hashable:
    """Return what is declared and bound, and how much is in it."""
    return tuple(_vhost(vhost) for vhost in broker.vhosts.values())


def leftovers(broker: Broker) -> list[str]:
    """Name what is still there though no client is."""
    found = [f"{len(broker.sessions)} connections"] * bool(broker.sessions)
    found += [f"{len(broker.deadlines)} deadlines"] * bool(len(broker.deadlines))
    found += ["alarm listeners"] * bool(broker.alarms._listeners)
    for vhost in broker.vhosts.values():
        found += [f"reply queue {name}" for name in vhost.replies]
        for queue in vhost.queues.values():
            if isinstance(queue, Queue):
                found += [f"unacked in {queue}"] * bool(queue.unacked_count)
            found += [f"consumers of {queue}"] * bool(queue.consumer_count)
            found += [f"{queue} is exclusive"] * (queue.owner is not None)
    return found


def _vhost(vhost: VHost) -> Hashable:
    exchanges = vhost.exchanges.values()
    return (
        vhost.name,
        frozenset(map(_exchange, exchanges)),
        frozenset(
            (exchange.name, each.destination.name, each.key, canonical(each.arguments))
            for exchange in exchanges
            for each in exchange.bindings()
        ),
        vhost.binding_count,
        frozenset(map(_queue, vhost.queues.values())),
    )


def _exchange(exchange: Exchange) -> Hashable:
    return (
        exchange.name,
        exchange.type,
        exchange.durable,
        exchange.auto_delete,
        exchange.internal,
        canonical(exchange.arguments),
    )


def _queue(queue: NamedQueue) -> Hashable:
    if isinstance(queue, Stream):
        count = sequence = queue.next_offset
    else:
        assert isinstance(queue, Queue)
        count, sequence = queue.backlog.count + queue.unacked_count, queue.sequence
    return (
        queue.name,
        queue.durable,
        queue.auto_delete,
        queue.owner is not None,
        canonical(queue.arguments),
        sequence,
        count,
    )

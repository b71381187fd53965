"""Survey: a broker's state as values, and what it still has to do as text.

Called in the broker's loop, between two turns; nothing here changes anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren_broker.amqp.channel import ServerChannel
from warren_broker.core.named_queue import NamedQueue
from warren_broker.core.queue import Queue
from warren_broker.core.stream.reader import Reader
from warren_broker.core.stream.stream import Stream
from warren_broker.testing.values import ConnectionState, QueuedMessage, QueueState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warren_broker.amqp.connection import ServerConnection
    from warren_broker.core.broker import Broker
    from warren_broker.core.queue import Entry

    Held = dict[NamedQueue, list[Entry]]


def queue_states(
    queues: Iterable[NamedQueue], connections: Iterable[ServerConnection]
) -> dict[str, QueueState]:
    """Return queues as tests see them, by name."""
    held = _held(connections)
    return {queue.name: _queue_state(queue, held.get(queue, [])) for queue in queues}


def connection_state(connection: ServerConnection) -> ConnectionState:
    """Return an open connection as tests see it."""
    properties = connection.client.properties
    return ConnectionState(
        address=connection.peer.address,
        name=str(properties.get("connection_name") or ""),
        product=str(properties.get("product") or ""),
        user=connection.user.name,
        vhost=connection.session.vhost.name,
        channel_count=len(list(channels(connection))),
        consumer_count=connection.consumer_count,
        unacked_count=sum(each.unacked.count for each in channels(connection)),
    )


def channels(connection: ServerConnection) -> Iterator[ServerChannel]:
    """Go through the open channels of a connection."""
    for channel in list(connection.channels.values()):
        if isinstance(channel, ServerChannel):
            yield channel


def remaining(
    broker: Broker, connections: Iterable[ServerConnection], *, scheduled: bool
) -> list[str]:
    """Return what there is to do: a line a queue, schedule or connection.

    Whatever waits for its time counts only if `scheduled`.
    """
    lines: list[str] = []
    for vhost in broker.vhosts.values():
        for queue in vhost.queues.values():
            if isinstance(queue, Queue):
                lines += _left_in_queue(queue, scheduled=scheduled)
            elif isinstance(queue, Stream):
                lines += _left_in_stream(queue)
        if scheduled and len(vhost.schedule):
            lines.append(f"vhost '{vhost.name}': {len(vhost.schedule)} scheduled")
    for connection in connections:
        if connection.outbox.size:
            size = connection.outbox.size
            lines.append(f"connection {connection.peer.address}: {size} bytes to send")
    return lines


def _left_in_queue(queue: Queue, *, scheduled: bool) -> Iterator[str]:
    ready_count, unacked_count = queue.backlog.count, queue.unacked_count
    delayed_count, consumer_count = queue.times.delayed_count, len(queue.roster)
    if (
        (ready_count and consumer_count)
        or unacked_count
        or (scheduled and delayed_count)
    ):
        yield (
            f"{queue}: {ready_count} ready, {unacked_count} unacked,"
            f" {delayed_count} delayed, {consumer_count} consumers"
        )


def _left_in_stream(stream: Stream) -> Iterator[str]:
    """What is read at present, and what is not safe yet."""
    for subscription in stream.subscriptions:
        reader = subscription.readers.get(stream)
        if reader is not None and (reader.out_count or not reader.is_waiting):
            yield f"{stream}: {reader.out_count} unacked by a reader"
    if stream.subscriptions and stream.log.end < stream.next_offset:
        yield f"{stream}: {stream.next_offset - stream.log.end} not safe yet"


def _held(connections: Iterable[ServerConnection]) -> Held:
    """Return the unacked entries, by their queues."""
    held: Held = {}
    for connection in connections:
        for channel in channels(connection):
            entries = list(channel.unacked.unpack().values())
            if channel.transaction is not None:
                entries += channel.transaction.held()
            for entry in entries:
                lender = entry.queue
                source = lender.stream if isinstance(lender, Reader) else lender
                if isinstance(source, NamedQueue):
                    held.setdefault(source, []).append(entry)
    return held


def _queue_state(queue: NamedQueue, unacked: Iterable[Entry]) -> QueueState:
    ready: Iterable[Entry] = ()
    delayed: Iterable[Entry] = ()
    record_count = 0
    if isinstance(queue, Queue):
        ready, delayed = queue.backlog, sorted(queue.times.delayed())
    else:
        record_count = queue.ready_count
    return QueueState(
        name=queue.name,
        vhost=queue.vhost.name,
        durable=queue.durable,
        arguments=dict(queue.arguments),
        consumer_count=queue.consumer_count,
        ready=tuple(map(_queued_message, ready)),
        unacked=tuple(map(_queued_message, sorted(unacked))),
        delayed=tuple(map(_queued_message, delayed)),
        record_count=record_count,
    )


def _queued_message(entry: Entry) -> QueuedMessage:
    message = entry.message
    return QueuedMessage(
        exchange=message.route.exchange,
        routing_key=message.route.routing_key,
        body=message.body,
        header=message.header.payload,
        sequence=entry.sequence,
        delivery_count=entry.delivery_count,
        consumer_tag=None if entry.consumer is None else entry.consumer.tag,
    )

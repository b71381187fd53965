"""basic.consume: from the method to a consumer of a queue, or of streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from warren.errors import PreconditionFailed
from warren_broker.amqp.deliver import AMQPConsumer
from warren_broker.amqp.stream_deliver import StreamConsumer
from warren_broker.core.arguments import QueueType, parse_consumer_arguments, resource
from warren_broker.core.bridge import SourcedQueue
from warren_broker.core.exchange import SuperStreamExchange
from warren_broker.core.lease import lease_terms
from warren_broker.core.queue.consumer import UNLIMITED
from warren_broker.core.stream.leases import stream_lease
from warren_broker.core.stream.stream import Stream
from warren_broker.core.stream.subscribing import subscribe

if TYPE_CHECKING:
    from warren.wire.methods import BasicConsume
    from warren_broker.amqp.channel import ServerChannel
    from warren_broker.core.queue import Consumer, Queue


def attach_consumer(channel: ServerChannel, tag: str, method: BasicConsume) -> Consumer:
    """Return a new consumer `tag` of what `method` names, which is to be dispatched.

    Raises what `Session.consumable`, the arguments, and attaching raise.
    """
    found = channel.session.consumable(channel.queue_name(method.queue))
    if isinstance(found, Stream | SuperStreamExchange):
        return _attach_to_stream(channel, tag, method, found)
    queue = cast("Queue", found)
    arguments = parse_consumer_arguments(
        method.arguments, queue.name, queue.vhost.name, queue.rules.queue_type
    )
    kind = StreamConsumer if isinstance(queue, SourcedQueue) else AMQPConsumer
    consumer = kind(
        queue,
        tag,
        channel,
        no_ack=method.no_ack,
        exclusive=method.exclusive,
        priority=arguments.priority,
    )
    broker = channel.connection.broker
    consumer.take_lease(lease_terms(broker, queue.rules, arguments))
    _take_limits(consumer, channel)
    queue.attach(consumer)
    return consumer


def _attach_to_stream(
    channel: ServerChannel,
    tag: str,
    method: BasicConsume,
    found: Stream | SuperStreamExchange,
) -> Consumer:
    """Attach a consumer of a stream, or of a super stream.

    Raises:
        PreconditionFailed: its records are to be acked, and nothing limits how many
            it gets before it acks one.
    """
    broker, vhost = channel.connection.broker, channel.session.vhost
    arguments = parse_consumer_arguments(
        method.arguments, found.name, vhost.name, QueueType.STREAM
    )
    is_limited = (
        channel.prefetch != UNLIMITED
        or channel.window.limit < broker.limits.unacked_per_channel_max
    )
    if not (is_limited or method.no_ack):
        raise PreconditionFailed(
            "consumer prefetch count is not set for stream"
            f" {resource('queue', found.name, vhost.name)}"
        )
    subscription = subscribe(found, arguments, method.consumer_tag)
    consumer = StreamConsumer(
        subscription,
        tag,
        channel,
        no_ack=method.no_ack,
        exclusive=method.exclusive,
        priority=arguments.priority,
    )
    consumer.take_lease(stream_lease(broker, arguments))
    _take_limits(consumer, channel)
    subscription.attach(consumer)
    return consumer


def _take_limits(consumer: Consumer, channel: ServerChannel) -> None:
    consumer.prefetch = channel.prefetch
    consumer.paused = not channel.is_flowing or channel.connection.is_congested

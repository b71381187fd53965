"""Handlers of channel.*, access.* and basic.*, but for publish (see `publish`)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from warren.errors import (
    ChannelNotOpen,
    ContentTooLarge,
    NotAllowed,
    NotImplemented_,
    PreconditionFailed,
)
from warren.wire.constants import FRAME_OVERHEAD
from warren.wire.methods import (
    AccessRequestOk,
    BasicCancelOk,
    BasicConsumeOk,
    BasicGetEmpty,
    BasicGetOk,
    BasicQosOk,
    BasicRecoverOk,
    ChannelCloseOk,
    ChannelFlowOk,
    ChannelOpen,
)
from warren.wire.outbox import HIGH_WATER
from warren_broker.amqp.consuming import attach_consumer
from warren_broker.amqp.deliver import check_header
from warren_broker.core.queue import resume_all
from warren_broker.core.queue.consumer import UNLIMITED
from warren_broker.core.reply_to import REPLY_TO, ReplyQueue

if TYPE_CHECKING:
    from warren.wire.methods import (
        AccessRequest,
        BasicAck,
        BasicCancel,
        BasicConsume,
        BasicGet,
        BasicNack,
        BasicQos,
        BasicRecover,
        BasicRecoverAsync,
        BasicReject,
        ChannelClose,
        ChannelFlow,
        Method,
    )
    from warren_broker.amqp.channel import ServerChannel
    from warren_broker.core.message import Message


_BYTES_OF_WORK: Final = 1024
_REPLIES_WAITING_MAX_BYTES: Final = 4 * HIGH_WATER


def ignore(channel: ServerChannel, method: Method) -> None:
    """An answer to what the server announced: nothing to do."""


def channel_open(channel: ServerChannel, method: ChannelOpen) -> None:
    """channel.open on an open channel.

    Raises:
        ChannelNotOpen: always; the code's name is CHANNEL_ERROR.
    """
    raise ChannelNotOpen("second 'channel.open' seen")


def channel_close(channel: ServerChannel, method: ChannelClose) -> None:
    """channel.close: forget the channel first, its number may be used at once."""
    channel.connection.forget_channel(channel.number)
    channel.close()
    promises = channel.connection.promises
    if promises.send(channel.number, ChannelCloseOk()):  # after its last confirms
        promises.hold()


def channel_flow(channel: ServerChannel, method: ChannelFlow) -> None:
    """channel.flow: pause or resume the deliveries of the channel."""
    channel.send(ChannelFlowOk(active=method.active))
    channel.is_flowing = method.active
    _resume(channel)


def access_request(channel: ServerChannel, method: AccessRequest) -> None:
    """access.request: only very old clients ask; the ticket means nothing."""
    channel.send(AccessRequestOk(1))


def qos(channel: ServerChannel, method: BasicQos) -> None:
    """basic.qos.

    With global=0 it holds for new consumers and for those that run: Celery changes
    the window of a running consumer like that. RabbitMQ changes new ones only.

    Raises:
        NotImplemented_: a limit in bytes was asked, which RabbitMQ has not either.
    """
    if method.prefetch_size:
        raise NotImplemented_(f"prefetch_size!=0 ({method.prefetch_size})")
    count = method.prefetch_count
    if method.global_:
        maximum = channel.connection.broker.limits.unacked_per_channel_max
        channel.window.limit = min(count or maximum, maximum)
    else:
        channel.prefetch = count or UNLIMITED
        for consumer in channel.consumers.values():
            consumer.prefetch = channel.prefetch
    channel.send(BasicQosOk())
    channel.window.reopen()
    _resume(channel)


def _resume(channel: ServerChannel) -> None:
    """Serve the consumers of a channel whose limits have changed."""
    consumers = channel.set_paused()
    channel.connection.broker.work += len(channel.consumers)
    resume_all(consumers)


def consume(channel: ServerChannel, method: BasicConsume) -> None:
    """basic.consume.

    Raises:
        NotAllowed: the tag is in use, or there are too many consumers.
        and what `attach_consumer` raises.
    """
    tag = method.consumer_tag or f"amq.ctag-{secrets.token_urlsafe(16)}"
    if tag in channel.consumers or tag == channel.reply_tag:
        raise NotAllowed(f"attempt to reuse consumer tag '{tag}'")
    _check_consumer_limits(channel)
    if method.queue == REPLY_TO:
        _consume_replies(channel, tag, method)
        return
    consumer = attach_consumer(channel, tag, method)
    channel.consumers[tag] = consumer
    channel.connection.consumer_count += 1
    if not method.no_wait:
        channel.send(BasicConsumeOk(tag))
    consumer.queue.dispatch()


def _check_consumer_limits(channel: ServerChannel) -> None:
    limits = channel.connection.broker.limits
    if len(channel.consumers) >= limits.consumers_per_channel_max:
        maximum = limits.consumers_per_channel_max
        raise NotAllowed(f"reached maximum ({maximum}) of consumers per channel")
    if channel.connection.consumer_count >= limits.consumers_per_connection_max:
        maximum = limits.consumers_per_connection_max
        raise NotAllowed(f"reached maximum ({maximum}) of consumers per connection")


def _consume_replies(channel: ServerChannel, tag: str, method: BasicConsume) -> None:
    """Consume from the pseudo-queue of direct reply-to."""
    if channel.reply_queue is not None:
        raise PreconditionFailed("reply consumer already set")
    if not method.no_ack:
        raise PreconditionFailed("reply consumer cannot acknowledge")
    encoder = channel.encoder(tag)
    unacked = channel.unacked

    outbox = channel.connection.outbox

    def deliver(message: Message) -> None:
        if outbox.size > _REPLIES_WAITING_MAX_BYTES:
            return  # its requester does not read, and replies wait in no queue
        unacked.tag += 1
        try:
            encoder.write(unacked.tag, message, redelivered=False)
        except ContentTooLarge as error:
            channel.fail(error)

    channel.reply_queue = ReplyQueue(deliver)
    channel.reply_tag = tag
    channel.session.vhost.replies[channel.reply_queue.name] = channel.reply_queue
    if not method.no_wait:
        channel.send(BasicConsumeOk(tag))


def cancel(channel: ServerChannel, method: BasicCancel) -> None:
    """basic.cancel; a tag that is not known is no error."""
    consumer = channel.consumers.get(method.consumer_tag)
    if consumer is not None:
        channel.cancel_consumer(consumer)
    elif method.consumer_tag == channel.reply_tag:
        channel.cancel_replies()
    if not method.no_wait:
        channel.send(BasicCancelOk(method.consumer_tag))


def get(channel: ServerChannel, method: BasicGet) -> None:
    """basic.get; prefetch does not limit it."""
    queue = channel.session.readable_queue(channel.queue_name(method.queue))
    maximum = channel.connection.broker.limits.unacked_per_channel_max
    if channel.unacked.count >= maximum:
        raise PreconditionFailed(f"{maximum} deliveries of the channel are not acked")
    entry = queue.take_one()
    if entry is None:
        channel.send(BasicGetEmpty())
        return
    message, redelivered = entry.message, entry.redelivered
    if redelivered or entry.marks:
        message = channel.marked_message(entry)
    try:
        check_header(message.header, channel.connection.frame_size_max - FRAME_OVERHEAD)
    except ContentTooLarge:
        channel.unacked.add(entry)  # as the channel closes, it goes back
        raise
    if method.no_ack:
        channel.unacked.tag += 1
        entry.queue.settle(entry)
    else:
        channel.unacked.add(entry)
    # A large message is much work, or one batch of gets could fill the memory.
    channel.connection.broker.work += message.size_bytes // _BYTES_OF_WORK
    route = message.route
    answer = BasicGetOk(
        channel.unacked.tag,
        redelivered,
        route.exchange,
        route.routing_key,
        queue.ready_count,
    )
    channel.send_content(answer, message)


def ack(channel: ServerChannel, method: BasicAck) -> None:
    """basic.ack, off the hot path: PreconditionFailed for an unknown tag."""
    tag, multiple = method.delivery_tag, method.multiple
    if channel.transaction is None:
        channel.unacked.settle(tag, multiple=multiple)
    else:
        channel.transaction.ack(tag, multiple=multiple)


def nack(channel: ServerChannel, method: BasicNack) -> None:
    """basic.nack (RabbitMQ's extension): PreconditionFailed for an unknown tag."""
    _refuse(
        channel,
        method.delivery_tag,
        multiple=method.multiple,
        requeue=method.requeue,
        failed=False,
    )


def reject(channel: ServerChannel, method: BasicReject) -> None:
    """basic.reject: PreconditionFailed for an unknown tag.

    A nack says "not me", a reject "it failed": see `return_entries`.
    """
    _refuse(
        channel,
        method.delivery_tag,
        multiple=False,
        requeue=method.requeue,
        failed=True,
    )


def _refuse(channel: ServerChannel, tag: int, **how: bool) -> None:
    if channel.transaction is None:
        channel.unacked.refuse(tag, **how)
    else:
        channel.transaction.refuse(tag, **how)


def recover(channel: ServerChannel, method: BasicRecover) -> None:
    """basic.recover: everything unacked goes back to its queue.

    Raises:
        NotImplemented_: redelivery to the same consumer was asked (requeue=0).
    """
    _recover(channel, requeue=method.requeue)
    channel.send(BasicRecoverOk())


def recover_async(channel: ServerChannel, method: BasicRecoverAsync) -> None:
    """basic.recover-async: as recover, without an answer."""
    _recover(channel, requeue=method.requeue)


def _recover(channel: ServerChannel, *, requeue: bool) -> None:
    if not requeue:
        raise NotImplemented_("requeue=false")
    channel.unacked.recover()

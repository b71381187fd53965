"""ServerChannel: one channel of a connection, as the server sees it.

It routes frames: acks and publishes straight to the core, everything else decoded to
the handler that the table has for it. What a channel holds is released in `close`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from struct import Struct
from typing import TYPE_CHECKING, Final, NoReturn, final

from warren.errors import ChannelError, CommandInvalid, NotFound
from warren.wire.constants import FRAME_METHOD
from warren.wire.faults import header_expected, unknown_frame
from warren.wire.frames import METHOD_INDEX_SIZE, encode_content, encode_method
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    Method,
    decode_method,
)
from warren_broker.amqp.deliver import DeliveryEncoder
from warren_broker.amqp.handlers import HANDLERS
from warren_broker.amqp.lease import ChannelHolder
from warren_broker.amqp.publish import Content, Publication, deliver_to_core, prepared
from warren_broker.core.lease import LEASE_EXCHANGE
from warren_broker.core.message import Message
from warren_broker.core.queue import Entry, Window
from warren_broker.core.queue.consumer import UNLIMITED
from warren_broker.core.unacked import Unacked

if TYPE_CHECKING:
    from warren_broker.amqp.confirms import ConfirmLedger
    from warren_broker.amqp.connection import ServerConnection
    from warren_broker.amqp.content_header import ContentHeader
    from warren_broker.amqp.transactions import Transaction
    from warren_broker.core.queue import Consumer
    from warren_broker.core.reply_to import ReplyQueue
    from warren_broker.core.session import Session

_ACK: Final = Struct(">IQB")
_ACK_INDEX: Final = BasicAck.index
_PUBLISH: Final = BasicPublish.index.to_bytes(4, "big")
_CLOSE: Final = ChannelClose.index.to_bytes(4, "big")
_CLOSE_OK: Final = ChannelCloseOk.index.to_bytes(4, "big")
_MULTIPLE: Final = 1


class FrameTaker(ABC):
    """Whatever stands behind a channel number."""

    __slots__ = ()

    @abstractmethod
    def on_method(self, payload: bytes) -> None:
        """Take a method frame."""

    @abstractmethod
    def on_header(self, payload: bytes) -> None:
        """Take a content header frame."""

    @abstractmethod
    def on_body(self, payload: bytes) -> None:
        """Take a content body frame."""


@final
class ClosingChannel(FrameTaker):
    """A channel that the server has closed and the client has not yet.

    What the client sent before it knew is dropped; only close and close-ok count.
    """

    __slots__ = ("_connection", "_number")

    def __init__(self, connection: ServerConnection, number: int) -> None:
        self._connection = connection
        self._number = number

    def on_method(self, payload: bytes) -> None:
        if len(payload) < METHOD_INDEX_SIZE:
            raise unknown_frame(FRAME_METHOD, payload)
        if payload.startswith(_CLOSE_OK):
            self._connection.forget_channel(self._number)
        elif payload.startswith(_CLOSE):
            self._connection.send(self._number, ChannelCloseOk())

    def on_header(self, payload: bytes) -> None:
        """Drop it."""

    def on_body(self, payload: bytes) -> None:
        """Drop it."""


@final
class ServerChannel(FrameTaker):
    """An open channel.

    Attributes:
        content: the message that is being received.
        unacked: what was delivered and is not settled.
        window: what its consumers may hold together.
        prefetch: what a consumer may hold (basic.qos).
        confirms: set once the channel is in confirm mode.
        transaction: set once the channel is transactional.
        last_queue: the name that an empty queue name stands for.
        is_flowing: the client takes deliveries (channel.flow).
        reply_queue: where direct replies to this channel go, and their consumer tag.
        method_index: the method in hand, for the close method if it fails.
    """

    __slots__ = (
        "confirms",
        "connection",
        "consumers",
        "content",
        "is_flowing",
        "last_queue",
        "method_index",
        "number",
        "prefetch",
        "reply_queue",
        "reply_tag",
        "session",
        "transaction",
        "unacked",
        "window",
    )

    def __init__(self, connection: ServerConnection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.session: Session = connection.session
        self.consumers: dict[str, Consumer] = {}
        self.unacked = Unacked(connection.broker, ChannelHolder(self))
        self.window = Window(connection.broker.limits.unacked_per_channel_max)
        self.prefetch = UNLIMITED
        self.confirms: ConfirmLedger | None = None
        self.transaction: Transaction | None = None
        self.last_queue = ""
        self.is_flowing = True
        self.reply_queue: ReplyQueue | None = None
        self.reply_tag = ""
        self.method_index = 0
        self.content = Content()

    # Frames

    def on_method(self, payload: bytes) -> None:
        """Act on a method frame. Hot: once a publish and once an ack."""
        content = self.content
        if content.publication is not None:
            self._refuse_method(payload)
        if len(payload) == _ACK.size and self.transaction is None:
            index, tag, bits = _ACK.unpack(payload)
            if index == _ACK_INDEX:
                entry = None
                if not bits & _MULTIPLE:
                    entry = self.unacked.entries.pop(tag, None)
                if entry is None:
                    self._on_ack(tag, multiple=bool(bits & _MULTIPLE))
                else:
                    entry.queue.settle(entry)
                return
        publication = self.connection.cache.publications.get(payload)
        if publication is not None:
            content.publication = publication
        else:
            self._on_other_method(payload)

    def on_header(self, payload: bytes) -> None:
        """Act on a content header frame."""
        self.method_index = BasicPublish.index
        self.content.on_header(self, payload)

    def on_body(self, payload: bytes) -> None:
        """Act on a content body frame."""
        self.content.on_body(self, payload)

    def _on_ack(self, tag: int, *, multiple: bool) -> None:
        """Act on an ack of many, of what timed out, or of what never was."""
        self.method_index = BasicAck.index
        self.unacked.settle(tag, multiple=multiple)

    def _on_other_method(self, payload: bytes) -> None:
        if payload.startswith(_PUBLISH):
            self.method_index = BasicPublish.index
            self.content.publication = self.connection.cache.publication(payload)
            return
        if len(payload) < METHOD_INDEX_SIZE:
            self.method_index = 0
            raise unknown_frame(FRAME_METHOD, payload)
        self.method_index = int.from_bytes(payload[:METHOD_INDEX_SIZE], "big")
        self.connection.broker.work += 1
        method = decode_method(payload)
        handler = HANDLERS.get(method.index)
        if handler is None:
            raise CommandInvalid(f"unimplemented method: {method.name}")
        handler(self, method)

    def _refuse_method(self, payload: bytes) -> NoReturn:
        """A method came where the content of a publish should be."""
        self.method_index = BasicPublish.index
        if len(payload) < METHOD_INDEX_SIZE:
            raise unknown_frame(FRAME_METHOD, payload)
        raise header_expected()

    # Publishing

    def publish(
        self, publication: Publication, header: ContentHeader, body: bytes
    ) -> None:
        """Act on a message that is whole. Hot: once a message."""
        self.method_index = BasicPublish.index
        connection = self.connection
        if header.is_special:
            header = prepared(self, header)
        if (
            not connection.is_publisher
            and publication.route.exchange != LEASE_EXCHANGE  # it adds nothing
            and not connection.admits(self, publication.route.exchange)
        ):
            return
        message = Message(publication.route, header, body)
        if self.transaction is not None:
            self.transaction.publish(message, mandatory=publication.mandatory)
        else:
            deliver_to_core(self, message, mandatory=publication.mandatory)

    # Consuming

    def encoder(self, consumer_tag: str) -> DeliveryEncoder:
        """Return what writes the deliveries of a consumer tag."""
        connection = self.connection
        return DeliveryEncoder(
            self.number, consumer_tag, connection.outbox, connection.frame_size_max
        )

    def marked_message(self, entry: Entry) -> Message:
        """Return the message of an entry that was delivered before, or has marks.

        The consumer is told how many attempts there were (`x-delivery-count`,
        RabbitMQ's for quorum queues).
        """
        message = entry.message
        headers = {**message.header.headers(), **entry.marks}
        if entry.delivery_count:
            headers["x-delivery-count"] = entry.delivery_count
        header = message.header.rewritten(headers, keep_expiration=True)
        return Message(message.route, header, message.body)

    def forget_consumer(self, consumer: Consumer) -> None:
        """The consumer's queue is gone."""
        self.consumers.pop(consumer.tag, None)
        self.connection.consumer_count -= 1
        if self.connection.client.hears_cancel:
            self.send(BasicCancel(consumer.tag, no_wait=True))

    def set_paused(self) -> list[Consumer]:
        """Let consumers work, or not, as flow and congestion have it now.

        Return those that may, for `resume_all`.
        """
        paused = not self.is_flowing or self.connection.is_congested
        consumers = list(self.consumers.values())
        for consumer in consumers:
            consumer.paused = paused
        return [] if paused else consumers

    # Answers

    def send(self, method: Method) -> None:
        """Send a method on this channel."""
        self.connection.outbox.write(encode_method(self.number, method))

    def answer(self, method: Method, *, of_messages: bool = False) -> None:
        """Send the answer to a change, when that is safe; until then nothing goes on.

        What the client sends meanwhile may need the change to be there. And what was
        declared already is not safe before somebody else's turn, who declared it, is.
        `of_messages`: it speaks of messages, and not of what is defined.
        """
        promises = self.connection.promises
        if of_messages:
            must_wait = promises.send(self.number, method, is_late=True)
        else:
            must_wait = promises.send_defined(self.number, method)
        if must_wait:
            promises.hold()

    def send_content(self, method: Method, message: Message) -> None:
        """Send a method with a message."""
        connection = self.connection
        for chunk in encode_content(
            self.number,
            method,
            message.header.payload,
            message.body,
            connection.frame_size_max,
        ):
            connection.outbox.write(chunk)

    def queue_name(self, name: str) -> str:
        """Return the queue that `name` means: an empty one is the last declared.

        Raises:
            NotFound: no queue was declared on this channel.
        """
        if name or self.last_queue:
            return name or self.last_queue
        raise NotFound("no previously declared queue")

    # The end

    def fail(self, error: ChannelError) -> None:
        """Close the channel because of `error`, but not in this turn.

        The turn is somebody else's, who has just had something delivered here.
        """
        self.is_flowing = False
        self.set_paused()
        self.connection.close_later(self, error)

    def close(self) -> None:
        """Let go of everything: consumers, unacked entries, what is half received.

        What is safe is confirmed first. What one consumer lets go of, no other one of
        the channel gets: that would be one more delivery for nothing.
        """
        if self.confirms is not None:
            self.confirms.close()
        self.is_flowing = False
        self.set_paused()
        self.content.drop(self)
        self.connection.cache.lane = None
        if self.transaction is not None:
            self.transaction.close()
            self.transaction = None
        self.unacked.close()  # first: who takes over gets what is oldest first
        self.window.waiting.clear()
        for consumer in list(self.consumers.values()):
            self.cancel_consumer(consumer)
        self.cancel_replies()

    def cancel_consumer(self, consumer: Consumer) -> None:
        """End a consumer of this channel; what it holds stays unacked."""
        del self.consumers[consumer.tag]
        self.connection.consumer_count -= 1
        consumer.queue.detach(consumer)

    def cancel_replies(self) -> None:
        """Take no direct replies any more."""
        if self.reply_queue is not None:
            del self.session.vhost.replies[self.reply_queue.name]
            self.reply_queue = None
            self.reply_tag = ""

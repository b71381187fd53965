"""Channel: the requests, publishes and consumers of one channel, each awaitable."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar, final

from warren._client.batch import Batch
from warren._client.consumer import Consumer
from warren._client.slot import Slot
from warren.protocol.events import (
    ChannelEnded,
    ConsumerCancelled,
    Delivered,
    Replied,
    Returned,
    Settled,
)
from warren.protocol.failures import ChannelClosed
from warren.wire.methods import (
    BasicConsume,
    BasicConsumeOk,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
)
from warren.wire.properties import Properties

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from warren._client.connection import Connection
    from warren.errors import WarrenError
    from warren.protocol.channel import ClientChannel
    from warren.protocol.events import ChannelEvent
    from warren.wire.table import Table

Reply = TypeVar("Reply", bound=Method)
Value = TypeVar("Value")

PREFETCH_DEFAULT: Final = 100
"""Deliveries that a consumer may hold unacknowledged."""


@final
class Channel:
    """One open channel with confirms on. Made by `Connection.channel`."""

    def __init__(self, connection: Connection, protocol: ClientChannel) -> None:
        self.number = protocol.number
        self._connection = connection
        self._protocol = protocol
        opened: Slot[Method] = Slot()
        self._calls: deque[Slot[Method]] = deque([opened])
        self._publishes: dict[int, Slot[None]] = {}
        self._consumers: dict[str, Consumer] = {}
        self._consumers_made = 0
        self._ended: Slot[None] = Slot()

    # --- requests

    async def call(self, method: Method, reply: type[Reply]) -> Reply:
        """Send a request and return its answer.

        Raises the error that closes the channel, be it by this request or by another.
        """
        slot: Slot[Method] = Slot()
        self.send(method)
        self._calls.append(slot)
        answer = await self._answer(slot)
        if not isinstance(answer, reply):
            raise TypeError(f"{method.name} is answered by {answer.name}")
        return answer

    def send(self, method: Method) -> None:
        """Send what nobody answers. Raises the error that closed the channel."""
        self._protocol.send(method)
        self._connection.flush()

    async def declare_queue(
        self,
        name: str = "",
        *,
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Table | None = None,
    ) -> QueueDeclareOk:
        """Declare a queue, or look at it (passive). The server names a nameless one."""
        return await self.call(
            QueueDeclare(
                queue=name,
                passive=passive,
                durable=durable,
                exclusive=exclusive,
                auto_delete=auto_delete,
                arguments=arguments or {},
            ),
            QueueDeclareOk,
        )

    async def declare_exchange(
        self,
        name: str,
        type_: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        arguments: Table | None = None,
    ) -> None:
        """Declare an exchange."""
        await self.call(
            ExchangeDeclare(
                exchange=name,
                type=type_,
                durable=durable,
                auto_delete=auto_delete,
                arguments=arguments or {},
            ),
            ExchangeDeclareOk,
        )

    async def bind_queue(self, queue: str, exchange: str, key: str = "") -> None:
        """Bind a queue to an exchange."""
        await self.call(
            QueueBind(queue=queue, exchange=exchange, routing_key=key), QueueBindOk
        )

    # --- publishing

    def publish_nowait(
        self,
        body: bytes,
        *,
        exchange: str = "",
        routing_key: str = "",
        properties: Properties | None = None,
    ) -> Slot[None]:
        """Publish a mandatory message; the slot tells when it was confirmed, or fails.

        It fails with `NoRoute`, `PublishRefused`, or what ended the channel before it
        was known. Raises the error that closed the channel.
        """
        method = BasicPublish(
            exchange=exchange, routing_key=routing_key, mandatory=True
        )
        sequence = self._protocol.publish(method, properties or Properties(), body)
        slot: Slot[None] = Slot()
        if sequence is not None:
            self._publishes[sequence] = slot
        self._connection.flush()
        return slot

    async def publish(
        self,
        body: bytes,
        *,
        exchange: str = "",
        routing_key: str = "",
        properties: Properties | None = None,
    ) -> None:
        """Publish a mandatory message and wait until the server has taken it.

        Raises what the slot of `publish_nowait` fails with.
        """
        slot = self.publish_nowait(
            body, exchange=exchange, routing_key=routing_key, properties=properties
        )
        await self._answer(slot)

    async def wait_settled(self, slot: Slot[None]) -> None:
        """Wait until the fate of one publish is known; read it from the slot."""
        with self._connection.awaiting_answer():
            await slot.wait_filled()

    async def wait_room(self) -> None:
        """Wait while the connection has too much to send."""
        await self._connection.wait_room()

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[Batch]:
        """Publish many messages and wait for them together, at the end of the block.

        Raises `BatchFailed` there if some of them failed.
        """
        batch = Batch(self)
        yield batch
        await batch.finish()

    # --- consuming

    @asynccontextmanager
    async def consume(
        self,
        queue: str,
        *,
        prefetch: int = PREFETCH_DEFAULT,
        no_ack: bool = False,
        exclusive: bool = False,
    ) -> AsyncIterator[Consumer]:
        """Consume a queue: iterate over the consumer in the block.

        Leaving the block cancels the consumer and gives back what was not yet taken
        from it. What was taken is the caller's to acknowledge, while the channel lasts.
        """
        if not no_ack:
            await self.call(BasicQos(prefetch_count=prefetch), BasicQosOk)
        self._consumers_made += 1
        tag = f"warren-{self.number}-{self._consumers_made}"
        consumer = Consumer(self, tag, queue, no_ack=no_ack)
        self._consumers[tag] = consumer
        request = BasicConsume(
            queue=queue, consumer_tag=tag, no_ack=no_ack, exclusive=exclusive
        )
        try:
            await self.call(request, BasicConsumeOk)
            yield consumer
        finally:
            await consumer.aclose()
            del self._consumers[tag]

    def count_buffered(self, change: int) -> None:
        """Consumers tell how many deliveries they got, or gave away."""
        self._connection.count_buffered(change)

    # --- the life of it

    @property
    def has_ended(self) -> bool:
        """Nothing can be sent any more."""
        return self._ended.is_filled

    async def start(self) -> None:
        """Wait until it is open, and turn confirms on."""
        opened = self._calls[0]
        await self.call(ConfirmSelect(), ConfirmSelectOk)
        await opened.wait()

    async def aclose(self) -> None:
        """Close it and wait until it is; nothing if it is over already."""
        self._protocol.close()
        self._connection.flush()
        with self._connection.awaiting_answer():
            await self._ended.wait()

    def on_event(self, event: ChannelEvent) -> None:
        """Tell whoever waits for it. Called by the connection."""
        match event:
            case Delivered(_, method, _, _):
                if consumer := self._consumers.get(method.consumer_tag):
                    consumer.on_delivered(event)
            case Settled(_, settlements):
                for each in settlements:
                    self._settle(each.sequence, each.error)
            case Replied(_, method):
                self._calls.popleft().put(method)
            case ConsumerCancelled(_, tag):
                if consumer := self._consumers.get(tag):
                    consumer.on_cancelled()
            case ChannelEnded():
                self._on_ended(event)
            case Returned():
                pass  # its settlement says the same

    async def _answer(self, slot: Slot[Value]) -> Value:
        with self._connection.awaiting_answer():
            return await slot.wait()

    def _settle(self, sequence: int, error: WarrenError | None) -> None:
        slot = self._publishes.pop(sequence)
        if error is None:
            slot.put(None)
        else:
            slot.fail(error)

    def _on_ended(self, event: ChannelEnded) -> None:
        error = event.error or ChannelClosed(f"channel {self.number} was closed")
        for call in self._calls:
            call.fail(error)
        for sequence in event.unsettled:
            self._publishes.pop(sequence).fail(error)
        for consumer in self._consumers.values():
            consumer.on_ended(error)
        self._calls.clear()
        self._ended.put(None)

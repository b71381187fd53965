"""Channel: the requests, publishes and consumers of one channel, each awaitable.

A channel has one life: it ends with its block, with its link, or with the first request
that the server refuses. What outlives that is a matter of the connection.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

from warren._client.closing import closing_scope
from warren._client.consumer import Consumer, Listener
from warren._client.consuming import Consuming
from warren._client.declaring import Declaring
from warren._client.delivery import Delivery, Source
from warren._client.publishing import Publishing
from warren._client.slot import Outgoing, Slot
from warren.errors import WarrenError
from warren.protocol.events import (
    ChannelEnded,
    ConsumerCancelled,
    Delivered,
    Replied,
    Returned,
    Settled,
)
from warren.protocol.failures import ChannelClosed, Unsupported
from warren.wire.methods import (
    BasicGet,
    BasicGetOk,
    ConfirmSelect,
    ConfirmSelectOk,
    Method,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from warren._client.consuming import Subscription
    from warren._client.link import Link
    from warren.protocol.channel import ClientChannel
    from warren.protocol.events import ChannelEvent
    from warren.wire.methods import BasicDeliver, BasicNack, BasicReject
    from warren.wire.table import Table

Reply = TypeVar("Reply", bound=Method)
Value = TypeVar("Value")

LEASE_EXCHANGE: Final = "amq.lease"
LEASE_CAPABILITY: Final = "lease_extension"
_MS: Final = 1000


class Heir(ABC):
    """Who cares for the publishes of a channel that has ended."""

    @abstractmethod
    def inherit(self, outgoings: list[Outgoing], error: WarrenError) -> None:
        """These were not settled. Publish them again, or fail them."""


@final
class Channel(Declaring, Publishing, Consuming):
    """One open channel. Made by `Connection.channel`.

    Confirms are on, unless it was opened without, for transactions.
    """

    def __init__(self, link: Link, protocol: ClientChannel) -> None:
        self.number = protocol.number
        self.common = link.common
        self.end_reason: WarrenError | None = None
        """Why nothing can be sent any more, or None; set when it begins to close."""
        self.heir: Heir | None = None
        self.held_count = 0
        """Deliveries that came by `get` and are not settled."""
        self._link = link
        self._protocol = protocol
        opened: Slot[Replied] = Slot()
        self._calls: deque[Slot[Replied]] = deque([opened])
        self._publishes: dict[int, Outgoing] = {}
        self._listeners: dict[str, Listener] = {}
        self._tags_made = 0
        self._is_transactional = False
        self._undoable: list[Delivery[Any]] | None = None  # in a transaction
        self._ended: Slot[None] = Slot()

    # --- requests

    async def call(self, method: Method, reply: type[Reply]) -> Reply:
        """Send a request and return its answer.

        Raises the error that closes the channel, be it by this request or by another.
        """
        answer = (await self._answer(self.request(method))).method
        if not isinstance(answer, reply):
            raise TypeError(f"{method.name} is answered by {answer.name}")
        self.common.topology.note(method)
        return answer

    def request(self, method: Method) -> Slot[Replied]:
        """Send a request; the slot will have its answer, or what ended the channel."""
        slot: Slot[Replied] = Slot()
        self._send(method)
        self._calls.append(slot)
        return slot

    async def get_one(
        self, queue: str, kind: object, *, no_ack: bool
    ) -> Delivery[Any] | None:
        """Take one message, see `get`."""
        request = self.request(BasicGet(queue=queue, no_ack=no_ack))
        try:
            answer = await self._answer(request)
        except BaseException:
            if not no_ack:
                request.then(self._give_back)
            raise
        return self._gotten(answer, Source(self, kind, no_ack, "reject"))

    def _gotten(self, answer: Replied, source: Source) -> Delivery[Any] | None:
        method, content = answer.method, answer.content
        if content is None or not isinstance(method, BasicGetOk):
            return None
        self.held_count += not source.no_ack
        return Delivery(source, content)

    def _give_back(self, answer: Replied) -> None:
        """Nobody waits for what a get has brought: he was cancelled."""
        gotten = self._gotten(answer, Source(self, None, False, "reject"))
        if gotten is not None:
            with suppress(WarrenError):  # the channel's end may have come with it
                gotten.requeue()

    # --- publishing

    def publish_nowait(self, outgoing: Outgoing) -> None:
        """Publish a message; its slot tells when it was confirmed, or fails.

        It fails with `Unroutable`, `Nacked`, or what ended the channel before it was
        known. Raises the error that closed the channel, and `ValueError` for properties
        that cannot be encoded.
        """
        self._publish(outgoing)

    def _publish(self, outgoing: Outgoing) -> Slot[Replied] | None:
        sequence = self._protocol.publish(
            outgoing.method, outgoing.properties, outgoing.body
        )
        if sequence is None:
            outgoing.put(None)  # without confirms this is all that can be known
        else:
            self._publishes[sequence] = outgoing
        committed = self._commit_if_outside()
        self._link.flush()
        return committed

    async def send_outgoing(self, outgoing: Outgoing) -> None:
        """Publish as `publish_nowait` does, and outside of a transaction commit it."""
        committed = self._publish(outgoing)
        if committed is not None:
            await self._answer(committed)

    async def wait_settled(self, outgoing: Outgoing) -> None:
        """Wait until the fate of one publish is known; read it from the slot."""
        with self._link.gate.awaiting_answer():
            await outgoing.wait_filled()

    async def wait_room(self) -> None:
        """Wait while the connection has too much to send."""
        await self._link.wait_room()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """What is published and settled in the block happens at its end, or not at all.

        If the block raises it is undone: nothing was published, and the deliveries are
        unsettled again. Needs a channel without confirms, where what is published and
        settled outside of a block happens at once. Raises `RuntimeError` with confirms
        or within a transaction, and what closes the channel.

        ::

            async with connection.channel(confirms=False) as channel:
                async with channel.transaction():
                    await channel.publish(b"one", routing_key="q")
                    await channel.publish(b"two", routing_key="q")
        """
        if self._protocol.confirms:
            raise RuntimeError("transactions need connection.channel(confirms=False)")
        if self._undoable is not None:
            raise RuntimeError("one transaction at a time on a channel")
        self._is_transactional = True
        await self.call(TxSelect(), TxSelectOk)
        settled: list[Delivery[Any]] = []
        self._undoable = settled
        try:
            yield
        except BaseException:
            self._undoable = None
            with closing_scope():
                await self._roll_back(settled)
            raise
        self._undoable = None
        await self.call(TxCommit(), TxCommitOk)

    def _commit_if_outside(self) -> Slot[Replied] | None:
        """From ``tx.select`` on all is in some transaction, and stays there (AMQP)."""
        if self._is_transactional and self._undoable is None:
            return self.request(TxCommit())
        return None

    async def _roll_back(self, settled: list[Delivery[Any]]) -> None:
        if not self.has_ended:
            await self.call(TxRollback(), TxRollbackOk)
            for delivery in settled:
                delivery.reopen()

    # --- consuming

    @asynccontextmanager
    async def subscribe(
        self, subscription: Subscription
    ) -> AsyncIterator[Consumer[Any]]:
        """Consume, see `consume`.

        What was taken is the caller's to acknowledge, while the channel lasts.
        """
        consumer: Consumer[Any] = Consumer(subscription, self._link.gate)
        try:
            await consumer.attach(self)
            yield consumer
        finally:
            await consumer.aclose()

    def next_tag(self) -> str:
        """Return a consumer tag that no other has on this channel."""
        self._tags_made += 1
        return f"warren-{self.number}-{self._tags_made}"

    def listen(self, tag: str, listener: Listener) -> None:
        """Tell a listener what comes for a consumer tag."""
        self._listeners[tag] = listener

    def forget(self, tag: str) -> None:
        """Tell nobody any more."""
        self._listeners.pop(tag, None)

    def ack(self, delivery: Delivery[Any]) -> None:
        """Accept a delivery. Called by it."""
        self._protocol.ack(delivery.delivery_tag)
        self._note_settled(delivery)

    def settle(self, delivery: Delivery[Any], method: BasicReject | BasicNack) -> None:
        """Refuse a delivery. Called by it."""
        self._send(method)
        self._note_settled(delivery)

    def _note_settled(self, delivery: Delivery[Any]) -> None:
        self._commit_if_outside()
        self._link.flush()
        if delivery.was_got:
            self.held_count -= 1
        if self._undoable is not None:
            self._undoable.append(delivery)

    async def extend_lease(self, tag: int, seconds: float) -> None:
        """Have the lease of a delivery end that many seconds from now.

        Raises `Unroutable` or `Nacked` if there is none, `Unsupported` if the broker
        has no leases.
        """
        if not self.is_warren:
            raise Unsupported("the broker has no leases that can be extended")
        headers: Table = {"delivery-tag": tag, "ms": round(seconds * _MS)}
        await self.publish(
            b"", exchange=LEASE_EXCHANGE, routing_key="extend", headers=headers
        )

    # --- the life of it

    @property
    def is_warren(self) -> bool:
        """Whether the broker has what only Warren has."""
        capabilities = self._link.server_properties.get("capabilities")
        return isinstance(capabilities, dict) and LEASE_CAPABILITY in capabilities

    @property
    def has_ended(self) -> bool:
        """Nothing can be sent any more."""
        return self.end_reason is not None

    @property
    def unsettled_count(self) -> int:
        """How many publishes wait for their confirm."""
        return len(self._publishes)

    async def start(self, *, confirms: bool) -> None:
        """Wait until it is open, and turn confirms on."""
        opened = self._calls[0]
        self._link.flush()
        if confirms:
            await self.call(ConfirmSelect(), ConfirmSelectOk)
        await self._answer(opened)

    async def aclose(self) -> None:
        """Close it and wait until it is; nothing if it is over already."""
        self.discard()
        with self._link.gate.awaiting_answer():
            await self._ended.wait()

    def discard(self) -> None:
        """Close it, and do not wait."""
        self.end_reason = self.end_reason or self._closed()
        self._protocol.close()
        self._link.flush()

    def on_delivered(self, event: Delivered) -> None:
        """Tell whoever consumes. Called by the link."""
        method: BasicDeliver = event.content.method  # type: ignore[assignment]
        if listener := self._listeners.get(method.consumer_tag):
            listener.on_delivered(event)

    def on_event(self, event: ChannelEvent) -> None:
        """Tell whoever waits for it. Called by the link."""
        match event:
            case Settled(_, settlements):
                for each in settlements:
                    self._settle(each.sequence, each.error)
            case Replied(place=place):
                call = self._calls[place]
                del self._calls[place]
                call.put(event)
            case ConsumerCancelled(_, tag):
                if listener := self._listeners.get(tag):
                    listener.on_cancelled()
            case ChannelEnded():
                self._on_ended(event)
            case Delivered():
                self.on_delivered(event)
            case Returned():
                pass  # its settlement says the same

    def _send(self, method: Method) -> None:
        self._protocol.send(method)
        self._link.flush()

    async def _answer(self, slot: Slot[Value]) -> Value:
        with self._link.gate.awaiting_answer():
            return await slot.wait()

    def _settle(self, sequence: int, error: WarrenError | None) -> None:
        outgoing = self._publishes.pop(sequence)
        if error is None:
            outgoing.put(None)
        else:
            outgoing.fail(error)

    def _closed(self) -> ChannelClosed:
        return ChannelClosed(f"channel {self.number} was closed")

    def _on_ended(self, event: ChannelEnded) -> None:
        error = event.error or self._closed()
        self.end_reason = error
        self._ended.put(None)
        for call in self._calls:
            call.fail(error)
        self._calls.clear()
        unsettled = list(self._publishes.values())
        self._publishes.clear()
        if self.heir is not None:
            self.heir.inherit(unsettled, error)
        else:
            for outgoing in unsettled:
                outgoing.fail(error)
        for listener in list(self._listeners.values()):
            listener.on_ended(error)
        self._listeners.clear()

"""Connection: what a program holds on to, through link after link.

One task lives the lives: it dials, opens, declares again what was declared, sends again
what is to be sent again, attaches the consumers, lets all others go on, and waits for
the end. Requests lend a hidden channel each, so that a failure is nobody else's;
publishes have one for each exchange, consumers one each, and `get` one for each queue.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar, final, overload

import trio

from warren._client.closing import closing_scope
from warren._client.consumer import Consumer
from warren._client.consuming import Consuming
from warren._client.declaring import Declaring
from warren._client.publisher import Publisher
from warren._client.publishing import Publishing
from warren._client.reconnect import TRY_AGAIN, Reconnect, is_loss
from warren._client.requester import Requester
from warren.errors import ResourceLocked, WarrenError
from warren.protocol.failures import ChannelClosed, ConnectionLost, again
from warren.wire.methods import BasicPublish, Method

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from typing import Unpack

    from warren._client.channel import Channel
    from warren._client.common import Common
    from warren._client.consuming import Subscription
    from warren._client.delivery import Delivery
    from warren._client.gate import ReadGate
    from warren._client.link import Link
    from warren._client.publishing import MessageOptions
    from warren._client.slot import Outgoing
    from warren.bodies.codecs import Codecs
    from warren.wire.properties import Properties
    from warren.wire.table import Table

    Dial = Callable[[], AbstractAsyncContextManager[Link]]

Reply = TypeVar("Reply", bound=Method)
Value = TypeVar("Value")

HIDDEN_MAX: Final = 64
"""Channels of one kind: more exchanges or queues, and the idle ones are closed."""


@final
class Connection(Declaring, Publishing, Consuming):
    """A connection to a broker. Made by `connect`, over with its block.

    Any number of tasks may use it at once. When it is lost its user gets
    `ConnectionLost`, or waits until it is there again, see `Reconnect`.
    """

    def __init__(self, dial: Dial, common: Common, reconnect: Reconnect | None) -> None:
        self.common = common
        self.connects = 0
        """How often it was opened: 1 as long as it never was lost."""
        self.gate: ReadGate = common.gate
        self._dial = dial
        self._reconnect = reconnect
        self._link: Link | None = None
        self._error: WarrenError | OSError | None = None
        self._changed = trio.Event()  # a link has come, or none will any more
        self._scope = trio.CancelScope(shield=True)  # goodbyes are said when cancelled
        self._finished = trio.Event()
        self._consumers: set[Consumer[Any]] = set()
        self._publishers: dict[str, Publisher] = {}
        self._getters: dict[str, Channel] = {}
        self._requester = Requester(self)

    @property
    def codecs(self) -> Codecs:
        """How bodies travel; others can be registered at any time."""
        return self.common.codecs

    @property
    def is_connected(self) -> bool:
        """Whether it can be used at once."""
        return self._link is not None and not self._link.has_ended

    @property
    def blocked_reason(self) -> str | None:
        """Why the broker reads no publishes at present (an alarm), or None."""
        return self._link.blocked_reason if self._link else None

    @property
    def server_properties(self) -> Table:
        """What the broker says of itself; empty while it is not connected."""
        return self._link.server_properties if self._link else {}

    async def wait_connected(self) -> None:
        """Wait until it can be used. Raises the error that it was given up for."""
        await self.wait_link()

    # --- asking

    async def call(self, method: Method, reply: type[Reply]) -> Reply:
        """Send a request on a channel of its own and return the answer.

        Raises the error the server closes that channel with. A request whose answer is
        lost with the connection is repeated after a reconnect: all are idempotent.
        """
        while True:
            link = await self.wait_link()
            try:
                async with link.spare_channel() as channel:
                    return await channel.call(method, reply)
            except WarrenError:
                if not self.is_lost(link):
                    raise

    @asynccontextmanager
    async def channel(self, *, confirms: bool = True) -> AsyncIterator[Channel]:
        """Open a channel of one's own; close it with the block.

        For transactions (`confirms=False`), for several consumers that share a
        prefetch, or to have publishes apart from all others. It ends with the first
        request that the broker refuses, and when the connection is lost.
        """
        link = await self.wait_link()
        async with link.channel(confirms=confirms) as channel:
            yield channel

    @overload
    async def request(
        self,
        body: object,
        *,
        exchange: str = "",
        routing_key: str,
        properties: Properties | None = None,
        **options: Unpack[MessageOptions],
    ) -> Delivery[Any]: ...
    @overload
    async def request(
        self,
        body: object,
        kind: type[Value],
        *,
        exchange: str = "",
        routing_key: str,
        properties: Properties | None = None,
        **options: Unpack[MessageOptions],
    ) -> Delivery[Value]: ...
    async def request(
        self,
        body: object,
        kind: type | None = None,
        *,
        exchange: str = "",
        routing_key: str,
        properties: Properties | None = None,
        **options: Unpack[MessageOptions],
    ) -> Delivery[Any]:
        """Publish a question and return its answer, a delivery that needs no ack.

        Whoever consumes it answers with `Delivery.reply`. Waits for ever: put a
        `trio.fail_after` around it. Raises what `publish` raises, `Unroutable` where
        nobody could answer, and `ConnectionLost` when the way back is cut.

        ::

            with trio.fail_after(2):
                price = (await connection.request("tea", routing_key="prices")).value
        """
        method = BasicPublish(0, exchange, routing_key, mandatory=True)
        outgoing = self.compose(body, method, properties, options)
        return await self._requester.request(outgoing, kind)

    # --- publishing

    @property
    def resends(self) -> bool:
        """Whether what was not confirmed is sent once more after a reconnect."""
        policy = self._reconnect
        return self._goes_on and policy is not None and policy.unconfirmed == "resend"

    async def send_outgoing(self, outgoing: Outgoing) -> None:
        """Have it sent; waits for a connection. See `Publishing`."""
        publisher = self._publishers.get(outgoing.method.exchange)
        if publisher is None:
            publisher = self._new_publisher(outgoing.method.exchange)
        await publisher.send(outgoing)

    def _new_publisher(self, exchange: str) -> Publisher:
        if len(self._publishers) >= HIDDEN_MAX:
            for name, other in list(self._publishers.items()):
                if other.is_idle:
                    self._publishers.pop(name).close()
        return self._publishers.setdefault(exchange, Publisher(self))

    async def wait_settled(self, outgoing: Outgoing) -> None:
        """Wait until the fate of one publish is known; read it from the slot."""
        with self.gate.awaiting_answer():
            await outgoing.wait_filled()

    async def wait_room(self) -> None:
        """Wait while the connection has too much to send."""
        if self._link is not None:
            await self._link.wait_room()

    # --- consuming

    @asynccontextmanager
    async def subscribe(
        self, subscription: Subscription
    ) -> AsyncIterator[Consumer[Any]]:
        """Consume on a hidden channel, see `consume`.

        Leaving the block gives back what was not settled.
        """
        consumer: Consumer[Any] = Consumer(
            subscription, self.gate, resumes=lambda _: self._goes_on
        )
        self._consumers.add(consumer)
        try:
            await self._attach_first(consumer)
            yield consumer
        finally:
            self._consumers.discard(consumer)
            with closing_scope():
                await self._detach(consumer)

    async def _detach(self, consumer: Consumer[Any]) -> None:
        async with consumer.attaching:
            channel = consumer.channel
            await consumer.aclose()
        if channel is not None:
            await channel.aclose()
        queue = consumer.subscription.queue
        if all(other.subscription.queue != queue for other in self._consumers):
            self.common.topology.forget_queue(queue, only_auto_delete=True)

    async def _attach_first(self, consumer: Consumer[Any]) -> None:
        while consumer.channel is None:
            if consumer.error is not None:
                raise again(consumer.error)
            link = await self.wait_link()
            try:
                await _attach(consumer, link)
            except WarrenError:
                if not self.is_lost(link):
                    raise

    async def get_one(
        self, queue: str, kind: object, *, no_ack: bool
    ) -> Delivery[Any] | None:
        """Take one message on a channel for the queue, see `get`.

        What closes that channel concerns the queue, and so all that came from it.
        """
        while True:
            link = await self.wait_link()
            try:
                channel = await self._getter(queue, link)
                return await channel.get_one(queue, kind, no_ack=no_ack)
            except WarrenError:
                if not self.is_lost(link):
                    raise

    async def _getter(self, queue: str, link: Link) -> Channel:
        channel = self._getters.get(queue)
        if channel is None or channel.has_ended:
            if len(self._getters) >= HIDDEN_MAX:
                for name, other in list(self._getters.items()):
                    if not other.held_count:
                        self._getters.pop(name).discard()
            channel = self._getters[queue] = await link.open_channel()
        return channel

    # --- living

    async def wait_link(self) -> Link:
        """Wait until there is a link. Raises why there will be none any more."""
        while self._link is None or self._link.has_ended:
            if self._error is not None:
                raise self._again()
            if self._link is not None and self._reconnect is None:
                await self._finished.wait()
            else:
                await self._changed.wait()
        return self._link

    def is_lost(self, link: Link) -> bool:
        """Whether a link has ended and another will come."""
        return link.has_ended and is_loss(link.error) and self._goes_on

    @property
    def _goes_on(self) -> bool:
        return (
            self._reconnect is not None
            and self._error is None
            and not self._scope.cancel_called
        )

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Live until `close`, or until the last life is over."""
        error: WarrenError | OSError = ChannelClosed("the connection was closed")
        try:
            with self._scope:
                error = await self._live()
        finally:
            self._end(error)

    def close(self) -> None:
        """Say goodbye; `run` is over when that is done."""
        self._scope.cancel()

    async def wait_finished(self) -> None:
        """Wait until `run` is over."""
        await self._finished.wait()

    async def _live(self) -> WarrenError | OSError:
        """Live link after link. Return why there is no further one."""
        failures = 0
        error: WarrenError | OSError
        while True:
            connects = self.connects
            try:
                async with self._dial() as link:
                    await self._resume(link)
                    await link.wait_ended()
                error = link.error or ChannelClosed("the connection was closed")
                retry = True
            except (WarrenError, OSError) as caught:
                error = caught
                retry = isinstance(caught, (*TRY_AGAIN, ResourceLocked))
            policy = self._reconnect
            failures = 0 if self.connects > connects else failures + 1
            if policy is None or not retry or policy.gives_up(failures):
                return error
            if not self.connects and not policy.at_start:
                return error
            await trio.sleep(policy.wait_seconds(failures))

    async def _resume(self, link: Link) -> None:
        """Bring back all that was there, and then let everybody go on."""
        async with link.spare_channel() as channel:
            methods = self.common.topology.methods()
            for answer in [channel.request(method) for method in methods]:
                await answer.wait()
        for publisher in list(self._publishers.values()):
            await publisher.resume(link)
        for consumer in list(self._consumers):
            await self._attach_again(consumer, link)
        self._link = link
        self.connects += 1
        self._tell_changed()

    async def _attach_again(self, consumer: Consumer[Any], link: Link) -> None:
        """What the server refuses now ends one consumer and nothing else."""
        try:
            await _attach(consumer, link)
        except WarrenError as error:
            if link.has_ended:
                raise
            consumer.end(error)

    def _tell_changed(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _end(self, error: WarrenError | OSError) -> None:
        self._error = error
        ended = self._again()
        reason = ended if isinstance(ended, WarrenError) else ConnectionLost(str(ended))
        for publisher in self._publishers.values():
            publisher.end(reason)
        for consumer in self._consumers:
            consumer.end(reason)
        self._tell_changed()
        self._finished.set()

    def _again(self) -> WarrenError | OSError:
        if isinstance(self._error, WarrenError):
            return again(self._error)
        assert self._error is not None
        return self._error


async def _attach(consumer: Consumer[Any], link: Link) -> None:
    """Attach a consumer, unless somebody else has done so or it is over."""
    async with consumer.attaching:
        if consumer.channel is not None or consumer.is_stopped:
            return
        channel = await link.open_channel()
        try:
            await consumer.attach(channel)
        except BaseException:
            channel.discard()
            raise

"""Connection: what a program holds on to, through link after link.

On each new link it declares again what was declared, sends again what is to be sent
again, and attaches the consumers; then all others go on, see `Life`. Requests lend a
hidden channel each, so that a failure is nobody else's; publishes have one for each
exchange, questions too, consumers one each, and `get` one for each queue.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, final, overload

from warren._client.closing import closing_scope
from warren._client.consumer import Consumer
from warren._client.consuming import Consuming
from warren._client.declaring import Declaring
from warren._client.getter import Getter
from warren._client.hidden import HiddenByName
from warren._client.publisher import Publisher
from warren._client.publishing import Publishing
from warren._client.requester import Requester
from warren.errors import PreconditionFailed, WarrenError
from warren.protocol.failures import ConnectionLost, again
from warren.wire.methods import BasicPublish, Method

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Unpack

    from warren._client.channel import Channel
    from warren._client.common import Common
    from warren._client.consuming import Subscription
    from warren._client.delivery import Delivery
    from warren._client.gate import ReadGate
    from warren._client.life import Life
    from warren._client.link import Link
    from warren._client.publishing import MessageOptions
    from warren._client.slot import Outgoing
    from warren.bodies.codecs import Codecs
    from warren.wire.properties import Properties
    from warren.wire.table import Table

Reply = TypeVar("Reply", bound=Method)
Value = TypeVar("Value")


@final
class Connection(Declaring, Publishing, Consuming):
    """A connection to a broker. Made by `connect`, over with its block.

    Any number of tasks may use it at once. When it is lost its user gets
    `ConnectionLost`, or waits until it is there again, see `Reconnect`.
    """

    def __init__(self, life: Life, common: Common) -> None:
        self.common = common
        self.gate: ReadGate = common.gate
        self._life = life
        self._consumers: set[Consumer[Any]] = set()
        self._publishers = HiddenByName(lambda _: Publisher(life))
        self._getters = HiddenByName(lambda queue: Getter(queue, life))
        self._requesters = HiddenByName(lambda _: Requester(life, self.gate))

    @property
    def connects(self) -> int:
        """How often it was opened: 1 as long as it never was lost."""
        return self._life.connects

    @property
    def codecs(self) -> Codecs:
        """How bodies travel; others can be registered at any time."""
        return self.common.codecs

    @property
    def is_connected(self) -> bool:
        """Whether it can be used at once."""
        link = self._life.link
        return link is not None and not link.has_ended

    @property
    def blocked_reason(self) -> str | None:
        """Why the broker reads no publishes at present (an alarm), or None."""
        link = self._life.link
        return link.blocked_reason if link else None

    @property
    def server_properties(self) -> Table:
        """What the broker says of itself; empty while it is not connected."""
        link = self._life.link
        return link.server_properties if link else {}

    async def wait_connected(self) -> None:
        """Wait until it can be used. Raises the error that it was given up for."""
        await self._life.wait_link()

    # --- asking

    async def call(self, method: Method, reply: type[Reply]) -> Reply:
        """Send a request on a channel of its own and return the answer.

        Raises the error the server closes that channel with. A request whose answer is
        lost with the connection is repeated after a reconnect: all are idempotent.
        """
        while True:
            link = await self._life.wait_link()
            try:
                async with link.spare_channel() as channel:
                    return await channel.call(method, reply)
            except WarrenError:
                if not self._life.is_lost(link):
                    raise

    @asynccontextmanager
    async def channel(self, *, confirms: bool = True) -> AsyncIterator[Channel]:
        """Open a channel of one's own; close it with the block.

        For transactions (`confirms=False`), for several consumers that share a
        prefetch, or to have publishes apart from all others. It ends with the first
        request that the broker refuses, and when the connection is lost.
        """
        link = await self._life.wait_link()
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
        return await self._requesters.of(exchange).request(outgoing, kind)

    # --- publishing

    async def send_outgoing(self, outgoing: Outgoing) -> None:
        """Have it sent; waits for a connection. See `Publishing`."""
        await self._publishers.of(outgoing.method.exchange).send(outgoing)

    async def wait_settled(self, outgoing: Outgoing) -> None:
        """Wait until the fate of one publish is known; read it from the slot."""
        with self.gate.awaiting_answer():
            await outgoing.wait_filled()

    async def wait_room(self) -> None:
        """Wait while the connection has too much to send."""
        if self._life.link is not None:
            await self._life.link.wait_room()

    # --- consuming

    @asynccontextmanager
    async def subscribe(
        self, subscription: Subscription
    ) -> AsyncIterator[Consumer[Any]]:
        """Consume on a hidden channel, see `consume`.

        Leaving the block gives back what was not settled.
        """
        consumer: Consumer[Any] = Consumer(
            subscription, self.gate, resumes=lambda: self._life.goes_on
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
            link = await self._life.wait_link()
            try:
                await _attach(consumer, link)
            except WarrenError:
                if not self._life.is_lost(link):
                    raise

    async def get_one(
        self, queue: str, kind: object, *, no_ack: bool
    ) -> Delivery[Any] | None:
        """Take one message on a channel for the queue, see `get`."""
        return await self._getters.of(queue).get_one(kind, no_ack=no_ack)

    # --- living

    async def run(self) -> None:
        """Live until `close`, or until there will be no further link."""
        await self._life.run(self._resume, self._end)

    def close(self) -> None:
        """Say goodbye; `run` is over when that is done."""
        self._life.close()

    async def wait_finished(self) -> None:
        """Wait until `run` is over."""
        await self._life.wait_finished()

    async def _resume(self, link: Link) -> None:
        """Bring back all that was there, before anybody goes on."""
        async with link.spare_channel() as channel:
            methods = self.common.topology.methods()
            for answer in [channel.request(method) for method in methods]:
                await answer.wait()
        for publisher in self._publishers.all():
            await publisher.resume(link)
        for consumer in list(self._consumers):
            await self._attach_again(consumer, link)

    async def _attach_again(self, consumer: Consumer[Any], link: Link) -> None:
        """What the server refuses now ends one consumer and nothing else."""
        try:
            await _attach(consumer, link)
        except WarrenError as error:
            if link.has_ended:
                raise
            consumer.end(error)

    def _end(self, error: WarrenError | OSError) -> None:
        reason = error if isinstance(error, WarrenError) else ConnectionLost(str(error))
        for publisher in self._publishers.all():
            publisher.end(reason)
        for consumer in self._consumers:
            consumer.end(reason)


async def _attach(consumer: Consumer[Any], link: Link) -> None:
    """Attach a consumer, unless somebody else has done so or it is over."""
    async with consumer.attaching:
        if consumer.channel is not None or consumer.is_stopped:
            return
        try:
            await _attach_on(consumer, await link.open_channel())
        except PreconditionFailed:
            if not consumer.place.forget():
                raise
            await _attach_on(consumer, await link.open_channel())


async def _attach_on(consumer: Consumer[Any], channel: Channel) -> None:
    try:
        await consumer.attach(channel)
    except BaseException:
        channel.discard()
        raise

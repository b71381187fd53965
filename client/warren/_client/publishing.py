"""Publishing: what a channel and a connection have in common about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from copy import copy
from typing import TYPE_CHECKING, Any, Final, TypedDict

from warren._client.batch import Batch
from warren._client.slot import Outgoing
from warren.protocol.failures import again
from warren.wire.methods import BasicPublish
from warren.wire.properties import Properties

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime
    from typing import Unpack

    from warren._client.common import Common
    from warren.wire.table import Table

PERSISTENT: Final = 2
TRANSIENT: Final = 1
_MS: Final = 1000


class MessageOptions(TypedDict, total=False):
    """Properties of a message by name. `ttl` is seconds.

    `persistent` is True unless it is said otherwise: a durable queue keeps the message
    through a restart of the broker, and other queues do not care.
    """

    content_type: str
    content_encoding: str
    headers: Table
    persistent: bool
    priority: int
    correlation_id: str
    reply_to: str
    ttl: float
    message_id: str
    timestamp: datetime
    type: str
    user_id: str
    app_id: str


_CONVERTED: Final[dict[str, tuple[str, Callable[[Any], object]]]] = {
    "persistent": ("delivery_mode", lambda yes: PERSISTENT if yes else TRANSIENT),
    "ttl": ("expiration", lambda seconds: str(round(seconds * _MS))),
}


class Publishing(ABC):
    """Publishes: one message and its confirm, or many and theirs."""

    common: Common

    @abstractmethod
    async def send_outgoing(self, outgoing: Outgoing) -> None:
        """Have it sent, soon; its slot tells the rest. Waits for a connection."""

    @abstractmethod
    async def wait_settled(self, outgoing: Outgoing) -> None:
        """Wait until the fate of one publish is known; read it from the slot."""

    @abstractmethod
    async def wait_room(self) -> None:
        """Wait while the connection has too much to send."""

    async def publish(
        self,
        body: object,
        *,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = True,
        properties: Properties | None = None,
        **options: Unpack[MessageOptions],
    ) -> None:
        """Publish a message, and wait until the broker has taken it.

        `body` is bytes, text, or whatever the codecs know, see `Codecs`. Without an
        exchange the routing key is the name of a queue. `properties` and `options` say
        what the message is, the options above the properties.

        Raises `Unroutable` if no queue wants it and it is `mandatory`; `Nacked` if the
        broker refuses it; `Unconfirmed` if the connection was lost first; `NotFound`,
        `AccessRefused` or `PreconditionFailed` as the broker says; `BodyError`.

        ::

            await connection.publish(order, exchange="orders", routing_key="eu.new")
        """
        method = BasicPublish(0, exchange, routing_key, mandatory)
        outgoing = self.compose(body, method, properties, options)
        await self.send_outgoing(outgoing)
        await self.wait_settled(outgoing)
        if outgoing.error is not None:
            raise again(outgoing.error)

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[Batch]:
        """Publish many messages and wait for them together, at the end of the block.

        Raises `BatchFailed` there if some of them failed.

        ::

            async with connection.batch() as batch:
                for order in orders:
                    await batch.publish(order, routing_key="orders")
        """
        batch = Batch(self)
        yield batch
        await batch.finish()

    def compose(
        self,
        body: object,
        method: BasicPublish,
        properties: Properties | None,
        options: MessageOptions,
    ) -> Outgoing:
        """Return a message. Raises `BodyError`; `TypeError` for an unknown option.

        A mandatory one has a message id, by which it is known if it comes back.
        """
        if properties is None:
            properties = Properties(delivery_mode=PERSISTENT)
        else:
            properties = copy(properties)
        for name, value in options.items():
            if name not in MessageOptions.__annotations__:
                raise TypeError(f"a message has no property {name!r}")
            field, convert = _CONVERTED.get(name, (name, None))
            setattr(properties, field, convert(value) if convert else value)
        if type(body) is not bytes:
            encoded = self.common.codecs.encode(
                body, properties.content_type, properties.content_encoding
            )
            body = encoded.body
            properties.content_type = encoded.content_type
            properties.content_encoding = encoded.content_encoding
        if method.mandatory and properties.message_id is None:
            properties.message_id = next(self.common.message_ids)
        return Outgoing(method, properties, body)

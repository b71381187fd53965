"""Consuming: what a channel and a connection have in common about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    TypeAlias,
    TypedDict,
    TypeVar,
    overload,
)

import attrs

from warren._client.declaring import name_of
from warren._client.place import OFFSET

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from typing import Unpack

    from warren._client.consumer import Consumer
    from warren._client.declaring import QueueName
    from warren._client.delivery import Delivery, OnError
    from warren.wire.table import FieldValue, Table

Value = TypeVar("Value")

PREFETCH_DEFAULT: Final = 100
"""Deliveries that a consumer may hold unacknowledged."""

Offset: TypeAlias = int | datetime | timedelta | str
"""Where in a stream to begin: at a number, at a moment, so long ago, or as text: a
named place ("first", "last", "next") or a duration with its unit ("1h")."""


class ConsumeOptions(TypedDict, total=False):
    """How to consume.

    `prefetch` is how many deliveries may be unsettled, 0 for any number. `on_error` is
    what happens to a delivery whose block raises, see `Delivery`. `priority`: higher
    ones are served first. `offset`: where to begin in a stream. `tag`: how operators
    see the consumer. `arguments` takes any.
    """

    prefetch: int
    no_ack: bool
    exclusive: bool
    on_error: OnError
    priority: int
    offset: Offset
    tag: str
    arguments: Table


def offset_argument(offset: Offset) -> FieldValue:
    """Return an offset as brokers read it (RabbitMQ, "Streams")."""
    if isinstance(offset, timedelta):
        return f"{max(round(offset.total_seconds()), 1)}s"
    return offset


@attrs.frozen
class Subscription:
    """What a consumer asks for, each time it is attached."""

    queue: str
    kind: Any
    prefetch: int = PREFETCH_DEFAULT
    no_ack: bool = False
    exclusive: bool = False
    on_error: OnError = "reject"
    tag: str = ""
    arguments: Table = attrs.field(factory=dict)

    @classmethod
    def of(
        cls, queue: QueueName, kind: object, options: ConsumeOptions
    ) -> Subscription:
        """Read the options. Raises `TypeError` for one that there is not."""
        rest: dict[str, Any] = dict(options)
        arguments: Table = {}
        if (priority := rest.pop("priority", None)) is not None:
            arguments["x-priority"] = priority
        if (offset := rest.pop("offset", None)) is not None:
            arguments[OFFSET] = offset_argument(offset)
        rest["arguments"] = arguments | rest.pop("arguments", {})
        return cls(name_of(queue), kind, **rest)


class Consuming(ABC):
    """Takes messages: as they come, or one by one."""

    @overload
    def consume(
        self, queue: QueueName, **options: Unpack[ConsumeOptions]
    ) -> AbstractAsyncContextManager[Consumer[Any]]: ...
    @overload
    def consume(
        self,
        queue: QueueName,
        kind: type[Value],
        **options: Unpack[ConsumeOptions],
    ) -> AbstractAsyncContextManager[Consumer[Value]]: ...
    def consume(
        self,
        queue: QueueName,
        kind: type | None = None,
        **options: Unpack[ConsumeOptions],
    ) -> AbstractAsyncContextManager[Consumer[Any]]:
        """Consume a queue: iterate over the consumer in the block.

        `kind` is what the `value` of a delivery shall be. Leaving the block cancels the
        consumer and gives back what was not taken from it. Entering raises `NotFound`,
        `AccessRefused` or `ResourceLocked` as the broker says.

        ::

            async with connection.consume("orders", Order, prefetch=50) as orders:
                async for delivery in orders:
                    async with delivery:
                        ship(delivery.value)
        """
        return self.subscribe(Subscription.of(queue, kind, options))

    @overload
    async def get(
        self, queue: QueueName, *, no_ack: bool = False
    ) -> Delivery[Any] | None: ...
    @overload
    async def get(
        self, queue: QueueName, kind: type[Value], *, no_ack: bool = False
    ) -> Delivery[Value] | None: ...
    async def get(
        self, queue: QueueName, kind: type | None = None, *, no_ack: bool = False
    ) -> Delivery[Any] | None:
        """Take one message, if one is ready; None if there is none.

        It is to be settled as any delivery. A consumer is much quicker.
        """
        return await self.get_one(name_of(queue), kind, no_ack=no_ack)

    @abstractmethod
    def subscribe(
        self, subscription: Subscription
    ) -> AbstractAsyncContextManager[Consumer[Any]]:
        """Consume as a subscription says."""

    @abstractmethod
    async def get_one(
        self, queue: str, kind: object, *, no_ack: bool
    ) -> Delivery[Any] | None:
        """Take one message as `get` does."""

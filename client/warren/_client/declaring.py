"""Declaring: what can be asked of a broker's exchanges and queues.

The same methods for a channel, which sends the request itself, and for a connection,
which lends a hidden channel to each. All of them raise the error that the server closes
the channel with: `NotFound`, `PreconditionFailed`, `AccessRefused`, `ResourceLocked`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypedDict, TypeVar
from uuid import uuid4

import attrs

from warren.wire.methods import (
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Unpack

    from warren.wire.table import FieldValue, Table

Reply = TypeVar("Reply", bound=Method)


@attrs.frozen
class Queue:
    """A queue as it was when it was declared; stands for its name everywhere."""

    name: str
    message_count: int = 0
    """Messages that are ready."""
    consumer_count: int = 0


QueueName: TypeAlias = Queue | str


def name_of(queue: QueueName) -> str:
    """Return the name of a queue."""
    return queue.name if isinstance(queue, Queue) else queue


class QueueOptions(TypedDict, total=False):
    """Arguments of a queue by their Python names; durations are seconds."""

    queue_type: Literal["classic", "quorum", "stream"]
    message_ttl: float
    expires: float
    max_length: int
    max_length_bytes: int
    overflow: Literal[
        "drop-head", "drop-tail", "reject-publish", "reject-publish-dlx", "block"
    ]
    dead_letter_exchange: str
    dead_letter_routing_key: str
    delivery_limit: int
    max_priority: int
    single_active_consumer: bool
    consumer_timeout: float
    group_by: str
    max_age: str


_MS: Final = 1000


def _milliseconds(seconds: Any) -> FieldValue:  # noqa: ANN401
    milliseconds: int = round(seconds * _MS)
    return milliseconds


_CONVERTED: Final[dict[str, Callable[[Any], FieldValue]]] = {
    "message_ttl": _milliseconds,
    "expires": _milliseconds,
    "consumer_timeout": _milliseconds,
}


def queue_arguments(options: QueueOptions, arguments: Table | None) -> Table:
    """Return the ``x-`` arguments of these options, and `arguments` over them."""
    table: Table = {}
    for name, value in options.items():
        if name not in QueueOptions.__annotations__:
            raise TypeError(f"a queue has no option {name!r}; arguments= takes any")
        convert = _CONVERTED.get(name)
        table[f"x-{name.replace('_', '-')}"] = (
            convert(value) if convert else value  # type: ignore[assignment]
        )
    return table | (arguments or {})


class Declaring(ABC):
    """Declares, binds, deletes."""

    @abstractmethod
    async def call(self, method: Method, reply: type[Reply]) -> Reply:
        """Send a request and return its answer."""

    # --- queues

    async def declare_queue(
        self,
        name: str = "",
        *,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        passive: bool = False,
        arguments: Table | None = None,
        **options: Unpack[QueueOptions],
    ) -> Queue:
        """Declare a queue; with `passive` only look whether it is there.

        A nameless queue gets a name from this side, so that it is the same one after a
        reconnect. `options` are arguments by name, durations in seconds; `arguments`
        takes any. Raises `PreconditionFailed` if there is a queue of that name with
        other ones, `NotFound` with `passive`, `ResourceLocked` if it is exclusive to
        another connection.

        ::

            jobs = await connection.declare_queue(
                "jobs", durable=True, message_ttl=60, dead_letter_exchange="dead"
            )
        """
        method = QueueDeclare(
            queue=name or f"warren.gen-{uuid4().hex}",
            passive=passive,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=queue_arguments(options, arguments),
        )
        answer = await self.call(method, QueueDeclareOk)
        return Queue(answer.queue, answer.message_count, answer.consumer_count)

    async def delete_queue(
        self, queue: QueueName, *, if_unused: bool = False, if_empty: bool = False
    ) -> int:
        """Delete a queue; return how many messages went with it.

        One that is not there counts as deleted. Raises `PreconditionFailed` if it is
        used, or not empty, and that was asked for.
        """
        method = QueueDelete(
            queue=name_of(queue), if_unused=if_unused, if_empty=if_empty
        )
        return (await self.call(method, QueueDeleteOk)).message_count

    async def purge_queue(self, queue: QueueName) -> int:
        """Drop the messages of a queue that are ready; return how many there were."""
        method = QueuePurge(queue=name_of(queue))
        return (await self.call(method, QueuePurgeOk)).message_count

    async def bind_queue(
        self,
        queue: QueueName,
        exchange: str,
        routing_key: str = "",
        *,
        arguments: Table | None = None,
    ) -> None:
        """Have an exchange's messages with this key, or pattern, come to a queue."""
        method = QueueBind(
            queue=name_of(queue),
            exchange=exchange,
            routing_key=routing_key,
            arguments=arguments or {},
        )
        await self.call(method, QueueBindOk)

    async def unbind_queue(
        self,
        queue: QueueName,
        exchange: str,
        routing_key: str = "",
        *,
        arguments: Table | None = None,
    ) -> None:
        """Take away the binding that was made with these arguments, if it is there."""
        method = QueueUnbind(
            queue=name_of(queue),
            exchange=exchange,
            routing_key=routing_key,
            arguments=arguments or {},
        )
        await self.call(method, QueueUnbindOk)

    # --- exchanges

    async def declare_exchange(
        self,
        name: str,
        type: str = "direct",  # noqa: A002 - the specification's word
        *,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        passive: bool = False,
        alternate: str = "",
        arguments: Table | None = None,
    ) -> None:
        """Declare an exchange; with `passive` only look whether it is there.

        What it can route nowhere goes to the exchange `alternate`. Raises as
        `declare_queue` does.
        """
        extra: Table = {"alternate-exchange": alternate} if alternate else {}
        method = ExchangeDeclare(
            exchange=name,
            type=type,
            passive=passive,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=extra | (arguments or {}),
        )
        await self.call(method, ExchangeDeclareOk)

    async def delete_exchange(self, exchange: str, *, if_unused: bool = False) -> None:
        """Delete an exchange and its bindings; one that is not there counts as deleted.

        Raises `PreconditionFailed` if it has bindings and `if_unused` was asked for.
        """
        method = ExchangeDelete(exchange=exchange, if_unused=if_unused)
        await self.call(method, ExchangeDeleteOk)

    async def bind_exchange(
        self,
        destination: str,
        source: str,
        routing_key: str = "",
        *,
        arguments: Table | None = None,
    ) -> None:
        """Have the messages of `source` with this key, or pattern, go on elsewhere."""
        method = ExchangeBind(
            destination=destination,
            source=source,
            routing_key=routing_key,
            arguments=arguments or {},
        )
        await self.call(method, ExchangeBindOk)

    async def unbind_exchange(
        self,
        destination: str,
        source: str,
        routing_key: str = "",
        *,
        arguments: Table | None = None,
    ) -> None:
        """Take away the binding that was made with the same arguments."""
        method = ExchangeUnbind(
            destination=destination,
            source=source,
            routing_key=routing_key,
            arguments=arguments or {},
        )
        await self.call(method, ExchangeUnbindOk)

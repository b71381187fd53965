"""Delivery, Consumer and Batch without `await`."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final

import trio

from warren.blocking.portal import Facade

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self, Unpack

    from warren._client.batch import Batch as AsyncBatch
    from warren._client.consumer import Consumer as AsyncConsumer
    from warren._client.delivery import Delivery as AsyncDelivery
    from warren._client.publishing import MessageOptions
    from warren.blocking.portal import Portal
    from warren.wire.properties import Properties

Value = TypeVar("Value")

TAKEN_AT_ONCE: Final = 64
"""Deliveries that one call into the other thread brings."""

SENT_AT_ONCE: Final = 64
"""Publishes of a batch that one call into the other thread takes along."""


@final
class Delivery(Generic[Value]):
    """A message that was delivered, see `warren.Delivery`. `with` settles it."""

    __slots__ = ("_inner", "_portal")

    def __init__(self, portal: Portal, inner: AsyncDelivery[Value]) -> None:
        self._portal = portal
        self._inner = inner

    @property
    def body(self) -> bytes:
        """As it came, whatever it is."""
        return self._inner.body

    @property
    def value(self) -> Value:
        """The body, decoded. Raises `BodyError`."""
        return self._inner.value

    @property
    def properties(self) -> Properties:
        """All that the message says of itself."""
        return self._inner.properties

    @property
    def headers(self) -> dict[str, Any]:
        """The headers; empty if there are none."""
        return self._inner.headers

    @property
    def redelivered(self) -> bool:
        """It was delivered before, and not acknowledged."""
        return self._inner.redelivered

    @property
    def exchange(self) -> str:
        """Where it was published."""
        return self._inner.exchange

    @property
    def routing_key(self) -> str:
        """With which key it was published."""
        return self._inner.routing_key

    @property
    def is_settled(self) -> bool:
        """Nothing need, or can, be done with it any more."""
        return self._inner.is_settled

    @property
    def is_stale(self) -> bool:
        """Its channel is over: it is back in its queue."""
        return self._inner.is_stale

    def ack(self) -> None:
        """It is done: the queue may forget it."""
        self._portal.run_sync(self._inner.ack)

    def reject(self, *, requeue: bool = False) -> None:
        """It has failed: have it dropped or dead-lettered, or put it back."""
        self._portal.run_sync(partial(self._inner.reject, requeue=requeue))

    def requeue(self) -> None:
        """Give it back as if it had not come."""
        self._portal.run_sync(self._inner.requeue)

    def extend(self, seconds: float) -> None:
        """Have its lease end that many seconds from now."""
        self._portal.run(partial(self._inner.extend, seconds))

    def reply(self, body: object, **options: Unpack[MessageOptions]) -> None:
        """Answer whoever asked."""
        self._portal.run(partial(self._inner.reply, body, **options))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        leave = partial(self._inner.__exit__, kind, error, trace)
        self._portal.run_sync(leave)


@final
class Consumer(Generic[Value]):
    """An iterator over deliveries, see `warren.Consumer`."""

    def __init__(self, portal: Portal, inner: AsyncConsumer[Value]) -> None:
        self._portal = portal
        self._inner = inner
        self._taken: deque[AsyncDelivery[Value]] = deque()

    def __iter__(self) -> Consumer[Value]:
        return self

    def __next__(self) -> Delivery[Value]:
        found = self._next(float("inf"))
        if found is None:
            raise StopIteration
        return found

    def next(self, timeout: float) -> Delivery[Value] | None:
        """Return the next delivery, or None if none comes in so many seconds."""
        return self._next(timeout)

    def stop(self) -> None:
        """Have nothing more delivered; what has come can still be taken."""
        self._portal.run(self._inner.stop)

    def _next(self, seconds: float) -> Delivery[Value] | None:
        """Several threads may do so: whoever goes there keeps the first for himself."""
        try:
            found = self._taken.popleft()
        except IndexError:
            taken = self._portal.run(partial(self._take, seconds))
            if not taken:
                return None
            found = taken[0]
            self._taken.extend(taken[1:])
        return Delivery(self._portal, found)

    async def _take(self, seconds: float) -> list[AsyncDelivery[Value]]:
        await self._inner.wait_buffered(1, trio.current_time() + seconds)
        return self._inner.take(TAKEN_AT_ONCE)


@final
class Batch(Facade):
    """The publishes of one `batch` block. They leave some at a time."""

    _inner: AsyncBatch

    def __init__(self, portal: Portal, inner: AsyncBatch) -> None:
        super().__init__(portal, inner)
        self._waiting: deque[Callable[[], Awaitable[None]]] = deque()

    @property
    def confirmed_count(self) -> int:
        """How many are known to be confirmed."""
        return self._inner.confirmed_count

    def publish(
        self,
        body: object,
        *,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = True,
        properties: Properties | None = None,
        **options: Unpack[MessageOptions],
    ) -> None:
        """Publish a message as `Connection.publish` does, and do not wait for it."""
        self._waiting.append(
            partial(
                self._inner.publish,
                body,
                exchange=exchange,
                routing_key=routing_key,
                mandatory=mandatory,
                properties=properties,
                **options,
            )
        )
        if len(self._waiting) >= SENT_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Have all sent that was published."""
        self._portal.run(self._publish_all)

    async def _publish_all(self) -> None:
        """Other threads may add to it meanwhile, and flush it as well."""
        while self._waiting:
            await self._waiting.popleft()()

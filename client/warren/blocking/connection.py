"""Connection and Channel without `await`."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar, final, overload

import trio

from warren._client.connect import connect as connect_async
from warren._client.declaring import Declaring
from warren._client.publishing import Publishing
from warren.blocking.messages import Batch, Consumer, Delivery
from warren.blocking.portal import Facade, Portal, blocking

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager as Entered
    from typing import Unpack

    from warren._client.channel import Channel as AsyncChannel
    from warren._client.connection import Connection as AsyncConnection
    from warren._client.consuming import ConsumeOptions
    from warren._client.declaring import QueueName
    from warren._client.delivery import Delivery as AsyncDelivery
    from warren._client.publishing import MessageOptions
    from warren._client.reconnect import Reconnect
    from warren.bodies.codecs import Codecs

Value = TypeVar("Value")


class Using(Facade):
    """What a connection and a channel have in common."""

    _inner: AsyncConnection | AsyncChannel

    declare_queue = blocking(Declaring.declare_queue)
    delete_queue = blocking(Declaring.delete_queue)
    purge_queue = blocking(Declaring.purge_queue)
    bind_queue = blocking(Declaring.bind_queue)
    unbind_queue = blocking(Declaring.unbind_queue)
    declare_exchange = blocking(Declaring.declare_exchange)
    delete_exchange = blocking(Declaring.delete_exchange)
    bind_exchange = blocking(Declaring.bind_exchange)
    unbind_exchange = blocking(Declaring.unbind_exchange)
    publish = blocking(Publishing.publish)

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Publish many messages and wait for them together, at the end of the block.

        Raises `BatchFailed` there if some of them failed.
        """
        with self._portal.within(self._inner.batch()) as inner:
            batch = Batch(self._portal, inner)
            yield batch
            batch.flush()

    @overload
    def consume(
        self, queue: QueueName, **options: Unpack[ConsumeOptions]
    ) -> Entered[Consumer[Any]]: ...
    @overload
    def consume(
        self, queue: QueueName, kind: type[Value], **options: Unpack[ConsumeOptions]
    ) -> Entered[Consumer[Value]]: ...
    def consume(
        self,
        queue: QueueName,
        kind: type | None = None,
        **options: Unpack[ConsumeOptions],
    ) -> Entered[Consumer[Any]]:
        """Consume a queue: iterate over the consumer in the block.

        Leaving the block cancels the consumer and gives back what was not settled.
        """
        return self._consume(queue, kind, options)

    @contextmanager
    def _consume(
        self,
        queue: QueueName,
        kind: Any,  # noqa: ANN401
        options: ConsumeOptions,
    ) -> Iterator[Consumer[Any]]:
        with self._portal.within(self._inner.consume(queue, kind, **options)) as inner:
            yield Consumer(self._portal, inner)

    @overload
    def get(
        self, queue: QueueName, *, no_ack: bool = False
    ) -> Delivery[Any] | None: ...
    @overload
    def get(
        self, queue: QueueName, kind: type[Value], *, no_ack: bool = False
    ) -> Delivery[Value] | None: ...
    def get(
        self, queue: QueueName, kind: Any = None, *, no_ack: bool = False
    ) -> Delivery[Any] | None:
        """Take one message, if one is ready; None if there is none."""
        get = partial(self._inner.get, queue, kind, no_ack=no_ack)
        found: AsyncDelivery[Any] | None = self._portal.run(get)
        return None if found is None else Delivery(self._portal, found)


@final
class Channel(Using):
    """A channel of one's own, see `warren.Channel`."""

    _inner: AsyncChannel

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is published and settled in the block happens at its end, or not at all.

        Needs a channel without confirms.
        """
        with self._portal.within(self._inner.transaction()):
            yield


@final
class Connection(Using):
    """A connection to a broker, see `warren.Connection`."""

    _inner: AsyncConnection

    @property
    def is_connected(self) -> bool:
        """Whether it can be used at once."""
        return self._inner.is_connected

    @property
    def blocked_reason(self) -> str | None:
        """Why the broker reads no publishes at present, or None."""
        return self._inner.blocked_reason

    @contextmanager
    def channel(self, *, confirms: bool = True) -> Iterator[Channel]:
        """Open a channel of one's own; close it with the block."""
        manager = self._inner.channel(confirms=confirms)
        with self._portal.within(manager) as inner:
            yield Channel(self._portal, inner)

    def request(
        self,
        body: object,
        kind: Any = None,  # noqa: ANN401
        *,
        exchange: str = "",
        routing_key: str,
        timeout: float | None = None,
        **options: Unpack[MessageOptions],
    ) -> Delivery[Any]:
        """Publish a question and return its answer, a delivery that needs no ack.

        Raises `TimeoutError` if there is none after `timeout` seconds.
        """

        async def ask() -> AsyncDelivery[Any]:
            seconds = float("inf") if timeout is None else timeout
            with trio.move_on_after(seconds):
                return await self._inner.request(
                    body, kind, exchange=exchange, routing_key=routing_key, **options
                )
            raise TimeoutError(f"no answer in {timeout} s")

        return Delivery(self._portal, self._portal.run(ask))


@contextmanager
def connect(
    url: str | Sequence[str],
    *,
    reconnect: Reconnect | None = None,
    codecs: Codecs | None = None,
    ssl_context: ssl.SSLContext | None = None,
    name: str = "",
) -> Iterator[Connection]:
    """Connect as `warren.connect` does; close with the block.

    Raises as it does, and `RuntimeError` in a trio loop.
    """
    if trio.lowlevel.in_trio_run():
        raise RuntimeError("in trio use warren.connect, or a thread")
    opened: Future[tuple[AsyncConnection, trio.lowlevel.TrioToken]] = Future()
    stop = trio.Event()

    async def live() -> None:
        async with connect_async(
            url,
            reconnect=reconnect,
            codecs=codecs,
            ssl_context=ssl_context,
            name=name,
        ) as connection:
            opened.set_result((connection, trio.lowlevel.current_trio_token()))
            await stop.wait()

    def run() -> None:
        try:
            trio.run(live)
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)

    thread = Thread(target=run, name="warren", daemon=True)
    thread.start()
    try:
        connection, token = opened.result()
        portal = Portal(token)
        try:
            yield Connection(portal, connection)
        finally:
            portal.stop(stop.set)
    finally:
        thread.join()

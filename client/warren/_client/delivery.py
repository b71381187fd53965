"""Delivery: a message that has come, and how it is settled."""

from __future__ import annotations

from contextlib import suppress
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    final,
)

import attrs

from warren.protocol.failures import (
    AlreadySettled,
    Nacked,
    SettleFailed,
    StaleDelivery,
    Unroutable,
)
from warren.wire.methods import BasicGetOk, BasicNack, BasicReject

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, Unpack

    from warren._client.channel import Channel
    from warren._client.place import Place
    from warren._client.publishing import MessageOptions
    from warren.wire.content import Content
    from warren.wire.methods import BasicDeliver
    from warren.wire.properties import Properties

Value = TypeVar("Value")

OnError: TypeAlias = Literal["reject", "requeue", "leave"]

_NOT_DECODED: Final = object()


@attrs.frozen
class Source:
    """Where deliveries come from, and what is to be done with them."""

    channel: Channel
    kind: Any
    no_ack: bool
    on_error: OnError
    place: Place | None = None
    """Of a consumer that reads a stream, or may."""


@final
class Delivery(Generic[Value]):
    """A message that was delivered. Without no-ack it must be settled, once.

    ::

        async with delivery:
            handle(delivery.value)

    Leaving the block acks it. If the block raises, the consumer's `on_error` says what
    happens: "reject" has it dropped or dead-lettered, "requeue" has it delivered again
    (a failure, as far as Warren's delayed retries are concerned), "leave" does nothing.
    A block that is cancelled gives the message back. `with` does the same as
    `async with`: to settle never waits.

    All that settles raises `StaleDelivery` if the channel it came on is over, by a
    reconnect for example: then it is back in its queue; and `AlreadySettled`.
    """

    __slots__ = (
        "_content",
        "_is_settled",
        "_source",
        "_value",
        "body",
    )

    def __init__(
        self,
        source: Source,
        content: Content,
    ) -> None:
        self._source = source
        self._content = content
        self._is_settled = source.no_ack
        self._value: Any = _NOT_DECODED
        self.body: bytes = content.body
        """As it came, whatever it is."""

    @property
    def value(self) -> Value:
        """The body, decoded as its content type says, and of the kind asked for.

        Raises `BodyError` if it is not that. An unknown content type gives the bytes.
        """
        if self._value is _NOT_DECODED:
            source = self._source
            content_type = self.properties.content_type
            self._value = source.channel.common.codecs.decode(
                self.body, content_type, source.kind
            )
        value: Value = self._value
        return value

    @property
    def properties(self) -> Properties:
        """All that the message says of itself."""
        return self._content.properties

    @property
    def _method(self) -> BasicDeliver | BasicGetOk:
        method: BasicDeliver | BasicGetOk = self._content.method  # type: ignore[assignment]
        return method

    @property
    def redelivered(self) -> bool:
        """It was delivered before, and not acknowledged."""
        return self._method.redelivered

    @property
    def exchange(self) -> str:
        """Where it was published."""
        return self._method.exchange

    @property
    def routing_key(self) -> str:
        """With which key it was published."""
        return self._method.routing_key

    @property
    def headers(self) -> dict[str, Any]:
        """The headers; empty if there are none. Not to be changed."""
        return self.properties.headers or {}

    @property
    def is_settled(self) -> bool:
        """Nothing need, or can, be done with it any more."""
        return self._is_settled

    @property
    def is_stale(self) -> bool:
        """Its channel is over: it is back in its queue, and cannot be settled here."""
        return self._source.channel.has_ended

    # --- settling

    def ack(self) -> None:
        """It is done: the queue may forget it."""
        self._settle()
        self._source.channel.ack(self)
        self._leave()

    def reject(self, *, requeue: bool = False) -> None:
        """It has failed: have it dropped or dead-lettered, or put it back."""
        self._settle()
        tag = self._method.delivery_tag
        self._source.channel.settle(self, BasicReject(tag, requeue))
        if not requeue:
            self._leave()

    def requeue(self) -> None:
        """Give it back as if it had not come: nothing was wrong with it."""
        self._settle()
        tag = self._method.delivery_tag
        self._source.channel.settle(self, BasicNack(tag, requeue=True))

    async def extend(self, seconds: float) -> None:
        """Have its lease end that many seconds from now, see docs/queues.md.

        Raises `StaleDelivery` if the lease was over: somebody else has the message
        then; `Unsupported` if the broker does not have leases.
        """
        self._check()
        try:
            await self._source.channel.extend_lease(self._method.delivery_tag, seconds)
        except (Unroutable, Nacked):
            raise StaleDelivery("the lease of this delivery is over") from None

    async def reply(self, body: object, **options: Unpack[MessageOptions]) -> None:
        """Answer whoever asked; see `Connection.request`.

        Nothing happens if he waits no more. Raises `ValueError` if this is no request,
        and what `publish` raises.
        """
        if self.properties.reply_to is None:
            raise ValueError("a message without reply_to cannot be answered")
        if self.properties.correlation_id is not None:
            options.setdefault("correlation_id", self.properties.correlation_id)
        await self._source.channel.publish(
            body, routing_key=self.properties.reply_to, mandatory=False, **options
        )

    def reopen(self) -> None:
        """Its settlement was undone, by a transaction that was rolled back."""
        self._is_settled = False

    @property
    def was_got(self) -> bool:
        """It was asked for by `get`."""
        return isinstance(self._method, BasicGetOk)

    @property
    def delivery_tag(self) -> int:
        """Its number on its channel, from 1."""
        return self._method.delivery_tag

    def _check(self) -> None:
        if self._source.no_ack:
            raise AlreadySettled("a delivery of a no-ack consumer needs no settling")
        if self._is_settled:
            raise AlreadySettled("this delivery was settled before")
        if self._source.channel.has_ended:
            reason = self._source.channel.end_reason
            raise StaleDelivery(f"its channel is over: {reason}")

    def _settle(self) -> None:
        self._check()
        self._is_settled = True

    def _leave(self) -> None:
        if self._source.place is not None:
            self._source.place.leave(self)

    # --- by context

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_settled:
            return
        if error is None:
            self.ack()
            return
        with suppress(SettleFailed):  # the block's own error says more
            self._fail(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, Exception):
            self.requeue()  # cancelled, or Ctrl-C
        elif self._source.on_error != "leave":
            self.reject(requeue=self._source.on_error == "requeue")

"""Consumer: deliveries of one queue, to iterate over, one by one or in windows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final

import attrs
import trio

from warren._client.closing import closing_scope
from warren._client.delivery import Delivery, Source
from warren._client.pace import Pace
from warren._client.place import Place
from warren._client.windows import Windows
from warren.errors import ChannelError, WarrenError
from warren.protocol.failures import ConsumerLost, again
from warren.wire.methods import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicQos,
    BasicQosOk,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren._client.channel import Channel
    from warren._client.consuming import Subscription
    from warren._client.gate import ReadGate
    from warren.protocol.events import Delivered

Value = TypeVar("Value")

FOREVER: Final = float("inf")


class Listener(ABC):
    """What a channel tells about one consumer tag."""

    @abstractmethod
    def on_delivered(self, event: Delivered) -> None:
        """A delivery has come."""

    @abstractmethod
    def on_cancelled(self) -> None:
        """The server has cancelled it."""

    @abstractmethod
    def on_ended(self, error: WarrenError) -> None:
        """The channel is over."""


@final
class Consumer(Listener, Generic[Value]):
    """An asynchronous iterator over deliveries. Made by `consume`.

    It ends after `stop`, when all that had come is taken. It raises what ended the
    channel, and `ConsumerLost` if the server cancelled it. A consumer of a connection
    that reconnects goes on there; deliveries from before are stale. In a stream it goes
    on at the first record that was not settled, or behind the last one that came: what
    was not settled comes again, nothing is missed. If none had come it begins as it did
    at first. Places that the broker stores are left to it: in Warren those of groups,
    and of consumers with a `tag` or ``x-stream-reference`` and without `offset`. It
    alone has those of super streams: without a name their consumers begin again.
    """

    def __init__(
        self,
        subscription: Subscription,
        gate: ReadGate,
        *,
        resumes: Callable[[], bool] = lambda: False,
    ) -> None:
        """`resumes` tells whether it will be attached again after a loss."""
        self.subscription = subscription
        self.error: WarrenError | None = None
        """Why no more will come, or None."""
        self.attaching = trio.Lock()
        self.place = Place(subscription)
        self._gate = gate
        self._resumes = resumes
        self._source: Source | None = None
        self._tag = ""
        self._buffer: deque[Delivery[Value]] = deque()
        self._arrival = trio.lowlevel.ParkingLot()
        self._pace = Pace()
        self._is_stopped = False
        self._is_left = False

    # --- taking

    def __aiter__(self) -> Consumer[Value]:
        return self

    async def __anext__(self) -> Delivery[Value]:
        await self._pace.step()
        if not self._buffer and not await self.wait_buffered(1, FOREVER):
            raise StopAsyncIteration
        return self._take()

    def windows(self, max: int, wait: float) -> Windows[Value]:  # noqa: A002
        """Return an iterator over lists: `max` deliveries, or what came in `wait` s.

        The time runs from the first delivery of each. More than the prefetch cannot
        come without a settlement, so that is another bound. See `Window` for how to
        settle all of one at once.

        ::

            async for window in consumer.windows(max=500, wait=0.2):
                async with window:
                    await store([each.value for each in window])
        """
        prefetch = 0 if self.subscription.no_ack else self.subscription.prefetch
        return Windows(self, min(max, prefetch or max), wait)

    async def wait_buffered(self, count: int, deadline: float) -> bool:
        """Wait for so many deliveries, but not beyond the deadline nor for ever.

        Returns whether there is any. Raises what ended the consumer, if there is none.
        """
        with trio.CancelScope(deadline=deadline):
            while len(self._buffer) < count and not self._is_stopped:
                await self._arrival.park()
        if not self._buffer and self.error is not None:
            raise again(self.error)
        return bool(self._buffer)

    def take(self, count: int) -> list[Delivery[Value]]:
        """Take as many as there are, `count` at most."""
        return [self._take() for _ in range(min(count, len(self._buffer)))]

    def _take(self) -> Delivery[Value]:
        self._gate.count(-1)
        return self._buffer.popleft()

    # --- attaching

    @property
    def channel(self) -> Channel | None:
        """Where it is attached, or None."""
        return self._source.channel if self._source else None

    @property
    def is_stopped(self) -> bool:
        """Nothing more will come; something may still be there to be taken."""
        return self._is_stopped

    async def attach(self, channel: Channel) -> None:
        """Begin to consume on a channel. Raises what closes the channel instead."""
        asked = self.subscription
        if not asked.no_ack:
            qos = BasicQos(prefetch_count=asked.prefetch)
            await channel.call(qos, BasicQosOk)
        self._tag = asked.tag or channel.next_tag()
        self._source = Source(
            channel, asked.kind, asked.no_ack, asked.on_error, self.place
        )
        channel.listen(self._tag, self)
        request = BasicConsume(
            queue=asked.queue,
            consumer_tag=self._tag,
            no_ack=asked.no_ack,
            exclusive=asked.exclusive,
            arguments=self.place.arguments(is_warren=channel.is_warren),
        )
        await channel.call(request, BasicConsumeOk)

    async def stop(self) -> None:
        """Have nothing more delivered; what has come can still be taken."""
        if self._is_stopped:
            return
        if (channel := self.channel) is not None:
            await channel.call(BasicCancel(consumer_tag=self._tag), BasicCancelOk)
        self.end(None)

    async def aclose(self) -> None:
        """Stop, and give back what was not taken.

        That is said in one breath, and what still comes before the answer is given back
        when it comes: a server may be slow, and a channel may go on without us.
        """
        self._is_left = True
        with closing_scope(), suppress(WarrenError):  # it is over: all went back
            channel = self.channel
            stopping = None
            if channel is not None and not self._is_stopped:
                stopping = channel.request(BasicCancel(consumer_tag=self._tag))
            self._give_back()
            if stopping is not None:
                with self._gate.awaiting_answer():
                    await stopping.wait()
            if channel is not None:
                channel.forget(self._tag)
        self.end(None)
        self._clear()

    # --- what the channel tells

    def on_delivered(self, event: Delivered) -> None:
        """A delivery has come."""
        assert self._source is not None
        delivery: Delivery[Value] = Delivery(self._source, event.content)
        if self._source.place is not None and not self.place.note(delivery):
            self._source = attrs.evolve(self._source, place=None)
        if self._is_left:
            with suppress(WarrenError):  # the channel's end may have come with it
                _give_back(delivery)
            return
        self._buffer.append(delivery)
        self._gate.count(1)
        self._arrival.unpark_all()

    def on_cancelled(self) -> None:
        """The server cancelled it; what has come can still be taken."""
        self.end(ConsumerLost(f"server cancelled the consumer of {self._queue!r}"))

    def on_ended(self, error: WarrenError) -> None:
        """The channel is over. What awaits an acknowledgement is back in its queue."""
        self._source = None
        if not self.subscription.no_ack:
            self._clear()
        if not self._goes_on_after(error):
            self.end(error)

    def _goes_on_after(self, error: WarrenError) -> bool:
        """Whether it will be attached again; while it is, who attaches it decides.

        A channel may end alone, as the broker sees fit: nobody opens another then.
        """
        is_alone = isinstance(error, ChannelError) and not self.attaching.locked()
        return self._resumes() and not is_alone

    def end(self, error: WarrenError | None) -> None:
        """Nothing more will come."""
        self._is_stopped = True
        self.error = self.error or error
        self._arrival.unpark_all()

    @property
    def _queue(self) -> str:
        return self.subscription.queue

    def _give_back(self) -> None:
        for delivery in self._buffer:
            _give_back(delivery)

    def _clear(self) -> None:
        self._gate.count(-len(self._buffer))
        self._buffer.clear()


def _give_back(delivery: Delivery[Any]) -> None:
    if not delivery.is_settled:
        delivery.requeue()

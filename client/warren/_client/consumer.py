"""Consumer: deliveries of one queue, to iterate over; Delivery: one of them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, final

import trio

from warren._client.closing import closing_scope
from warren._client.pace import Pace
from warren.errors import WarrenError
from warren.protocol.failures import ConsumerLost, again
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicReject,
)

if TYPE_CHECKING:
    from warren._client.channel import Channel
    from warren.protocol.events import Delivered
    from warren.wire.properties import Properties


@final
class Delivery:
    """A message that was delivered. Without no-ack it must be settled, once.

    To settle never waits. It raises the error that closed the channel, if one did: then
    the message is back in its queue.
    """

    __slots__ = ("_channel", "_method", "body", "properties")

    def __init__(self, channel: Channel, event: Delivered) -> None:
        self._channel = channel
        self._method = event.method
        self.body: bytes = event.body
        self.properties: Properties = event.properties

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

    def ack(self) -> None:
        """It is done: the queue may forget it."""
        self._channel.send(BasicAck(delivery_tag=self._method.delivery_tag))

    def reject(self, *, requeue: bool) -> None:
        """It is not done: put it back, or have it dropped or dead-lettered."""
        self._channel.send(
            BasicReject(delivery_tag=self._method.delivery_tag, requeue=requeue)
        )


@final
class Consumer:
    """An asynchronous iterator over deliveries. Made by `Channel.consume`.

    It ends after `stop`, when all that had come is taken. It raises what ended the
    channel, and `ConsumerLost` if the server cancelled it.
    """

    def __init__(self, channel: Channel, tag: str, queue: str, *, no_ack: bool) -> None:
        self._channel = channel
        self._tag = tag
        self._queue = queue
        self._no_ack = no_ack
        self._buffer: deque[Delivery] = deque()
        self._arrival = trio.lowlevel.ParkingLot()
        self._pace = Pace()
        self._is_stopped = False
        self._error: WarrenError | None = None

    def __aiter__(self) -> Consumer:
        return self

    async def __anext__(self) -> Delivery:
        await self._pace.step()
        while not self._buffer:
            if self._error is not None:
                raise again(self._error)
            if self._is_stopped:
                raise StopAsyncIteration
            await self._arrival.park()
        self._channel.count_buffered(-1)
        return self._buffer.popleft()

    async def stop(self) -> None:
        """Have nothing more delivered; what has come can still be taken."""
        if not self._is_stopped and self._error is None:
            await self._channel.call(BasicCancel(consumer_tag=self._tag), BasicCancelOk)
            self._end(None)

    async def aclose(self) -> None:
        """Stop, and give back what was not taken."""
        with closing_scope():
            try:
                await self.stop()
                self._give_back()
            except WarrenError:
                pass  # the channel is over: all went back
        self._clear()

    def on_delivered(self, event: Delivered) -> None:
        """A delivery has come."""
        self._buffer.append(Delivery(self._channel, event))
        self._channel.count_buffered(1)
        self._arrival.unpark_all()

    def on_cancelled(self) -> None:
        """The server cancelled it; what has come can still be taken."""
        self._end(ConsumerLost(f"server cancelled the consumer of {self._queue!r}"))

    def on_ended(self, error: WarrenError) -> None:
        """The channel is over. What awaits an acknowledgement is back in its queue."""
        if not self._no_ack:
            self._clear()
        self._end(error)

    def _end(self, error: WarrenError | None) -> None:
        self._is_stopped = True
        self._error = self._error or error
        self._arrival.unpark_all()

    def _give_back(self) -> None:
        if self._no_ack or self._channel.has_ended:
            return
        for delivery in self._buffer:
            delivery.reject(requeue=True)

    def _clear(self) -> None:
        self._channel.count_buffered(-len(self._buffer))
        self._buffer.clear()

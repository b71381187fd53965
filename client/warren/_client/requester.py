"""Requester: questions and their answers, by direct reply-to.

A hidden channel consumes RabbitMQ's pseudo-queue ``amq.rabbitmq.reply-to``; a publish
on the same channel that names it gets a reply address made of it. Which answer belongs
to which question is told by the correlation id (RabbitMQ, "Direct Reply-to").

Each exchange has such a channel, for the same reason that publishes have: a question
that the broker refuses closes it, and with it the way back of all others on it.
"""

from __future__ import annotations

from copy import copy
from itertools import count
from typing import TYPE_CHECKING, Any, Final, final

import trio

from warren._client.consumer import Listener
from warren._client.delivery import Delivery, Source
from warren._client.hidden import Hidden
from warren._client.slot import Slot
from warren.protocol.failures import ConsumerLost, again
from warren.wire.methods import BasicConsume, BasicConsumeOk

if TYPE_CHECKING:
    from warren._client.channel import Channel
    from warren._client.gate import ReadGate
    from warren._client.life import Life
    from warren._client.link import Link
    from warren._client.slot import Outgoing
    from warren.errors import WarrenError
    from warren.protocol.events import Delivered

REPLY_TO: Final = "amq.rabbitmq.reply-to"
TAG: Final = "warren-replies"


@final
class Requester(Listener, Hidden):
    """Made by a connection, one for each exchange that it asks through."""

    def __init__(self, life: Life, gate: ReadGate) -> None:
        self._life = life
        self._gate = gate
        self._channel: Channel | None = None
        self._waiting: dict[str, Slot[Delivered]] = {}
        self._ids = (f"warren-{number}" for number in count(1))
        self._opening = trio.Lock()
        self._users = 0

    @property
    def is_idle(self) -> bool:
        """Nobody asks."""
        return not self._users

    async def request(self, outgoing: Outgoing, kind: object) -> Delivery[Any]:
        """Publish a question and return its answer."""
        self._users += 1
        try:
            return await self._request(outgoing, kind)
        finally:
            self._users -= 1

    async def _request(self, outgoing: Outgoing, kind: object) -> Delivery[Any]:
        channel = await self._open()
        name = outgoing.properties.correlation_id or next(self._ids)
        if name in self._waiting:
            raise ValueError(f"a request with the correlation id {name!r} is waiting")
        outgoing.properties = copy(outgoing.properties)  # it may be the caller's
        outgoing.properties.correlation_id = name
        outgoing.properties.reply_to = REPLY_TO
        answer: Slot[Delivered] = Slot()
        self._waiting[name] = answer
        try:
            channel.publish_nowait(outgoing)
            await channel.wait_settled(outgoing)
            if outgoing.error is not None:
                raise again(outgoing.error)
            with self._gate.awaiting_answer():
                event = await answer.wait()
        finally:
            del self._waiting[name]
        source = Source(channel, kind, no_ack=True, on_error="leave")
        return Delivery(source, event.content)

    async def _open(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.has_ended:
                link = await self._life.wait_link()
                self._channel = await self._listen(link)
            return self._channel

    async def _listen(self, link: Link) -> Channel:
        channel = await link.open_channel()
        try:
            channel.listen(TAG, self)
            request = BasicConsume(queue=REPLY_TO, consumer_tag=TAG, no_ack=True)
            await channel.call(request, BasicConsumeOk)
        except BaseException:
            channel.discard()
            raise
        return channel

    def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            self._channel.discard()

    def on_delivered(self, event: Delivered) -> None:
        """An answer; those that nobody waits for any more are dropped."""
        if waiting := self._waiting.get(event.content.properties.correlation_id or ""):
            waiting.put(event)

    def on_cancelled(self) -> None:
        """No answers come any more."""
        self.on_ended(ConsumerLost("the server cancelled the consumer of replies"))

    def on_ended(self, error: WarrenError) -> None:
        """The channel is over, and the reply addresses with it."""
        self._channel = None
        for waiting in self._waiting.values():
            waiting.fail(error)

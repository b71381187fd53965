"""Getter: the messages that a connection takes from one queue by `get`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import trio

from warren._client.hidden import Hidden
from warren.errors import WarrenError

if TYPE_CHECKING:
    from warren._client.channel import Channel
    from warren._client.delivery import Delivery
    from warren._client.life import Life
    from warren._client.link import Link


@final
class Getter(Hidden):
    """Made by a connection, one for each queue that it gets from.

    What closes its channel concerns the queue, and so all that came from it.
    """

    def __init__(self, queue: str, life: Life) -> None:
        self._queue = queue
        self._life = life
        self._channel: Channel | None = None
        self._opening = trio.Lock()
        self._users = 0

    @property
    def is_idle(self) -> bool:
        """Nobody gets, and all that was got is settled."""
        channel = self._channel
        return not self._users and (channel is None or not channel.held_count)

    async def get_one(self, kind: object, *, no_ack: bool) -> Delivery[Any] | None:
        """Take one message, see `Consuming.get`."""
        self._users += 1
        try:
            while True:
                link = await self._life.wait_link()
                try:
                    channel = await self._open(link)
                    return await channel.get_one(self._queue, kind, no_ack=no_ack)
                except WarrenError:
                    if not self._life.is_lost(link):
                        raise
        finally:
            self._users -= 1

    async def _open(self, link: Link) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.has_ended:
                self._channel = await link.open_channel()
            return self._channel

    def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            self._channel.discard()

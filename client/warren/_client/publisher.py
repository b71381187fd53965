"""Publisher: the publishes of a connection to one exchange, through all its lives.

Each exchange has a hidden channel, because a publish that the broker refuses closes its
channel: that is felt by other publishes to the same exchange, and by nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio

from warren._client.channel import Heir
from warren._client.hidden import Hidden
from warren._client.reconnect import is_loss
from warren.errors import WarrenError
from warren.protocol.failures import Unconfirmed

if TYPE_CHECKING:
    from warren._client.channel import Channel
    from warren._client.life import Life
    from warren._client.link import Link
    from warren._client.slot import Outgoing


@final
class Publisher(Heir, Hidden):
    """Made by a connection, one for each exchange that is published to."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._channel: Channel | None = None
        self._unsent: list[Outgoing] = []  # to be sent again, before all others
        self._opening = trio.Lock()
        self._waiting = 0  # for a channel

    @property
    def is_idle(self) -> bool:
        """Nothing waits for it."""
        channel = self._channel
        if self._unsent or self._waiting:
            return False
        return channel is None or not channel.unsettled_count

    async def send(self, outgoing: Outgoing) -> None:
        """Publish, as soon as there is a channel.

        Raises what ended the connection, or keeps a channel from being opened.
        """
        channel = self._channel
        if channel is None or channel.has_ended:
            channel = await self._wait_channel()
        channel.publish_nowait(outgoing)

    async def _wait_channel(self) -> Channel:
        self._waiting += 1
        try:
            while self._channel is None or self._channel.has_ended:
                link = await self._life.wait_link()
                try:
                    await self.open(link)
                except WarrenError:
                    if not self._life.is_lost(link):
                        raise
            return self._channel
        finally:
            self._waiting -= 1

    async def open(self, link: Link) -> None:
        """Open a channel, if there is none; what waits is sent at once."""
        async with self._opening:
            if self._channel is None or self._channel.has_ended:
                channel = await link.open_channel()
                channel.heir = self
                self._channel = channel
                unsent, self._unsent = self._unsent, []
                for outgoing in unsent:
                    channel.publish_nowait(outgoing)

    async def resume(self, link: Link) -> None:
        """The connection lives again: send what it was asked to send again."""
        if self._unsent:
            await self.open(link)

    def inherit(self, outgoings: list[Outgoing], error: WarrenError) -> None:
        """The channel has ended, and these were not confirmed."""
        if is_loss(error) and self._life.resends:
            self._unsent += outgoings
            return
        if is_loss(error):
            error = Unconfirmed(f"no confirm before the connection ended: {error}")
        for outgoing in outgoings:
            outgoing.fail(error)

    def end(self, error: WarrenError) -> None:
        """The connection lives no more."""
        for outgoing in self._unsent:
            outgoing.fail(error)
        self._unsent.clear()

    def close(self) -> None:
        """Close the channel, which is idle."""
        if self._channel is not None:
            self._channel.discard()

"""Batch: many publishes, one wait."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, final

from warren._client.pace import Pace
from warren.errors import NoRoute, WarrenError
from warren.protocol.failures import PublishRefused, again

if TYPE_CHECKING:
    from warren._client.channel import Channel
    from warren._client.slot import Slot
    from warren.wire.properties import Properties

UNSETTLED_MAX: Final = 2000
"""Publishes: more than this unconfirmed, and the next one waits for the oldest."""


class BatchFailed(WarrenError):
    """Some messages of a batch came back or were refused; the others were confirmed.

    `failures` has the number of each in the batch, from 0, and its error.
    """

    def __init__(self, failures: list[tuple[int, WarrenError]], count: int) -> None:
        super().__init__(failures, count)
        self.failures = failures
        self.count = count

    def __str__(self) -> str:
        return f"{len(self.failures)} of {self.count} messages failed"


@final
class Batch:
    """The publishes of one `Channel.batch` block."""

    def __init__(self, channel: Channel) -> None:
        self.count = 0
        """Messages published so far."""
        self.failures: list[tuple[int, WarrenError]] = []
        """Those that are known to have failed: number in the batch, error."""
        self._channel = channel
        self._unsettled: deque[Slot[None]] = deque()
        self._pace = Pace()

    @property
    def confirmed_count(self) -> int:
        """How many are known to be confirmed."""
        return self.count - len(self.failures) - len(self._unsettled)

    async def publish(
        self,
        body: bytes,
        *,
        exchange: str = "",
        routing_key: str = "",
        properties: Properties | None = None,
    ) -> None:
        """Publish a mandatory message, without waiting for its confirm.

        Waits while the connection has too much to send, or too much is unconfirmed.
        Raises the error that closed the channel.
        """
        slot = self._channel.publish_nowait(
            body, exchange=exchange, routing_key=routing_key, properties=properties
        )
        self.count += 1
        self._unsettled.append(slot)
        await self._pace.step()
        await self._channel.wait_room()
        self._take_settled()
        while len(self._unsettled) > UNSETTLED_MAX:
            await self._channel.wait_settled(self._unsettled[0])
            self._take_settled()

    async def finish(self) -> None:
        """Wait for all. Raises `BatchFailed`, or what ended the channel before."""
        for slot in self._unsettled:
            await self._channel.wait_settled(slot)
        self._take_settled()
        if self.failures:
            raise BatchFailed(self.failures, self.count)

    def _take_settled(self) -> None:
        """Take from the front what is settled. Raises what ended the channel."""
        while self._unsettled and self._unsettled[0].is_filled:
            number = self.count - len(self._unsettled)
            error = self._unsettled[0].error
            if isinstance(error, NoRoute | PublishRefused):
                self.failures.append((number, error))
            elif error is not None:
                raise again(error)
            self._unsettled.popleft()

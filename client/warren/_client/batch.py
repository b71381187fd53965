"""Batch: many publishes, one wait."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, final

from warren._client.pace import Pace
from warren.errors import WarrenError
from warren.protocol.failures import PublishFailed, again
from warren.wire.methods import BasicPublish

if TYPE_CHECKING:
    from typing import Unpack

    from warren._client.publishing import MessageOptions, Publishing
    from warren._client.slot import Outgoing
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
    """The publishes of one `batch` block."""

    def __init__(self, publishing: Publishing) -> None:
        self.count = 0
        """Messages published so far."""
        self.failures: list[tuple[int, WarrenError]] = []
        """Those that are known to have failed: number in the batch, error."""
        self._publishing = publishing
        self._unsettled: deque[Outgoing] = deque()
        self._pace = Pace()

    @property
    def confirmed_count(self) -> int:
        """How many are known to be confirmed."""
        return self.count - len(self.failures) - len(self._unsettled)

    async def publish(
        self,
        body: object,
        *,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = True,
        properties: Properties | None = None,
        **options: Unpack[MessageOptions],
    ) -> None:
        """Publish a message as `Connection.publish` does, and do not wait for it.

        Waits while the connection has too much to send, or too much is unconfirmed.
        Raises the error that closed the channel.
        """
        method = BasicPublish(0, exchange, routing_key, mandatory)
        outgoing = self._publishing.compose(body, method, properties, options)
        await self._publishing.send_outgoing(outgoing)
        self.count += 1
        self._unsettled.append(outgoing)
        await self._pace.step()
        await self._publishing.wait_room()
        self._take_settled()
        while len(self._unsettled) > UNSETTLED_MAX:
            await self._publishing.wait_settled(self._unsettled[0])
            self._take_settled()

    async def finish(self) -> None:
        """Wait for all. Raises `BatchFailed`, or what ended the channel before."""
        for outgoing in self._unsettled:
            if not outgoing.is_filled:
                await self._publishing.wait_settled(outgoing)
        self._take_settled()
        if self.failures:
            raise BatchFailed(self.failures, self.count)

    def _take_settled(self) -> None:
        """Take from the front what is settled. Raises what ended the channel."""
        while self._unsettled and self._unsettled[0].is_filled:
            number = self.count - len(self._unsettled)
            error = self._unsettled[0].error
            if isinstance(error, PublishFailed):
                self.failures.append((number, error))
            elif error is not None:
                raise again(error)
            self._unsettled.popleft()

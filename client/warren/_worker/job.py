"""Job: what a handler is called with, if it wants to know more than the value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, final

from warren._worker.headers import ATTEMPTS, count_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from warren._client.publishing import MessageOptions, Publishing
    from warren.wire.properties import Properties


class Received(Protocol):
    """A message that has come: a `Delivery`, or a stand-in of it in a test."""

    @property
    def body(self) -> bytes:
        """As it came."""

    @property
    def properties(self) -> Properties:
        """Not to be changed."""

    @property
    def headers(self) -> dict[str, Any]:
        """Not to be changed."""

    @property
    def exchange(self) -> str:
        """Where it was published last; "" after a retry."""

    @property
    def routing_key(self) -> str:
        """With which key it was published last."""

    @property
    def redelivered(self) -> bool:
        """It was delivered before, and not acknowledged."""

    @property
    def is_stale(self) -> bool:
        """It is back in its queue, and comes again: its connection was lost."""


def attempt_of(message: Received) -> int:
    """Return which attempt this is, from 1."""
    return count_in(message.headers, ATTEMPTS) + 1


@final
class Job:
    """One call of a handler. A parameter annotated with it gets it.

    The message behind it is acknowledged when the handler has returned. For a batch
    `value` is the list of values, `messages` has one for each, and what is told of the
    message is the first one's.
    """

    def __init__(
        self,
        value: Any,  # noqa: ANN401 - what the handler wants
        messages: Sequence[Received],
        queue: str,
        publishing: Publishing,
    ) -> None:
        self.value = value
        """The body, as the handler's annotation wants it."""
        self.messages = messages
        self.queue = queue
        """Where it came from."""
        self.attempt = max(attempt_of(message) for message in messages)
        """Which attempt this is, from 1."""
        self._publishing = publishing

    @property
    def message(self) -> Received:
        """The message: body, properties, headers, where it was published."""
        return self.messages[0]

    @property
    def headers(self) -> dict[str, Any]:
        """The headers of the message. Not to be changed."""
        return self.message.headers

    async def publish(
        self,
        body: object,
        *,
        exchange: str = "",
        routing_key: str = "",
        **options: Unpack[MessageOptions],
    ) -> None:
        """Publish something else, and wait until the broker has taken it.

        Raises what `Connection.publish` raises. In a handler that is a thread:
        ``trio.from_thread.run(partial(job.publish, body, routing_key="next"))``.
        """
        await self._publishing.publish(
            body, exchange=exchange, routing_key=routing_key, **options
        )

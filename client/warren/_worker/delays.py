"""Delays: how a message comes to a queue later, with nobody here holding it.

Warren does it by the header `x-delay`. Elsewhere it waits in a queue whose messages
expire into the one it is for (RabbitMQ, "Dead Letter Exchanges" and "Time-To-Live").
Only the head of a queue expires, so that there is one for each length of time; lengths
are rounded up to few.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import ceil
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from warren._client.connection import Connection
    from warren._client.publishing import Publishing
    from warren.wire.properties import Properties

DELAY: Final = "x-delay"
CAPABILITY: Final = "lease_extension"
"""What only Warren has, of what brokers say of themselves."""

_MS: Final = 1000
LADDER_EXPIRES_SECONDS: Final = 3600.0
"""So long after its last use, and after what is in it, a queue for waiting goes."""


class Delays(ABC):
    """A way to have messages come later."""

    @abstractmethod
    async def publish(
        self, body: bytes, properties: Properties, queue: str, seconds: float
    ) -> None:
        """Publish to a queue, to come in so many seconds. The headers may change.

        Raises what `Connection.publish` raises.
        """


@final
class ByHeader(Delays):
    """Warren's."""

    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing

    async def publish(
        self, body: bytes, properties: Properties, queue: str, seconds: float
    ) -> None:
        """Publish with the header."""
        properties.headers = (properties.headers or {}) | {DELAY: round(seconds * _MS)}
        await self._publishing.publish(body, routing_key=queue, properties=properties)


@final
class ByQueues(Delays):
    """For any AMQP 0-9-1 broker with dead-lettering."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def publish(
        self, body: bytes, properties: Properties, queue: str, seconds: float
    ) -> None:
        """Publish to the queue for that length of time; declare it if need be."""
        milliseconds = rung_ms(seconds)
        if milliseconds:
            seconds = milliseconds / _MS
            waiting = await self._connection.declare_queue(
                f"{queue}.retry.{milliseconds}",
                durable=True,
                message_ttl=seconds,
                expires=seconds + LADDER_EXPIRES_SECONDS,
                dead_letter_exchange="",
                dead_letter_routing_key=queue,
            )
            queue = waiting.name
        await self._connection.publish(body, routing_key=queue, properties=properties)


def rung_ms(seconds: float) -> int:
    """Return milliseconds, rounded up: four lengths between a number and its double."""
    milliseconds = ceil(seconds * _MS)
    step = 1 << max(milliseconds.bit_length() - 3, 0)
    return -(-milliseconds // step) * step


def is_warren(connection: Connection) -> bool:
    """Whether the broker has what Warren has. Meant for a connection that is open."""
    capabilities = connection.server_properties.get("capabilities")
    return isinstance(capabilities, dict) and bool(capabilities.get(CAPABILITY))


def delays_of(connection: Connection) -> Delays:
    """Return the way that the broker at the other end knows."""
    return ByHeader(connection) if is_warren(connection) else ByQueues(connection)

"""Fairly: a publish that no other one can make fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warren._worker.endings import UNFIT

if TYPE_CHECKING:
    from warren._client.connection import Connection


async def publish_fairly(connection: Connection, body: object, **options: Any) -> None:  # noqa: ANN401
    """Publish as `Connection.publish` does, and raise one of `UNFIT` only if it is.

    What is refused for its size closes the channel, and fails all that is under way to
    the same exchange. Whose fault it was shows on a channel of one's own; what had been
    taken before comes twice.
    """
    try:
        await connection.publish(body, **options)
    except UNFIT:
        async with connection.channel() as channel:
            await channel.publish(body, **options)

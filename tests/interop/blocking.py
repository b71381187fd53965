"""What the tests with pika's BlockingConnection share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika import BlockingConnection
    from pika.adapters.blocking_connection import BlockingChannel


def pump(
    connection: BlockingConnection,
    is_done: Callable[[], object],
    timeout_seconds: float = 15,
) -> None:
    """Serve the connection until the condition holds; fail at the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while not is_done():
        left = deadline - time.monotonic()
        assert left > 0, "the condition did not come true"
        connection.process_data_events(time_limit=left)


def ready_count(channel: BlockingChannel, queue: str) -> int:
    """What a passive declaration says is ready."""
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def get(channel: BlockingChannel, queue: str) -> tuple[bytes | None, bool | None]:
    """Get without acknowledgement: body and whether it was redelivered."""
    method, _, body = channel.basic_get(queue, auto_ack=True)
    return body, method and method.redelivered

"""Returning: what a channel holds and has not settled goes back to its queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.queue import Entry, Window
    from warren_broker.core.queue.lending import Lender


def return_entries(entries: Iterable[Entry], *, failed: bool) -> None:
    """Put entries of one channel back to their queues, and let these hand them on.

    `failed` tells the kind of return as RabbitMQ 4.3 does for delayed retries:
    basic.reject and the end of the channel, but neither basic.nack nor a timeout.
    """
    returned = list(entries)
    if not returned:
        return
    dead_letters = returned[0].queue.vhost.dead_letters
    dead_letters.hold()
    try:
        _take_back(returned, failed=failed)
    finally:
        dead_letters.release()


def _take_back(entries: list[Entry], *, failed: bool) -> None:
    queues: dict[Lender, None] = {}
    windows: dict[Window, None] = {}
    for entry in entries:
        if entry.consumer is not None:
            windows[entry.consumer.window] = None
        entry.queue.take_back(entry, failed=failed)
        queues[entry.queue] = None
    for window in windows:
        window.reopen()
    for queue in queues:
        queue.dispatch()

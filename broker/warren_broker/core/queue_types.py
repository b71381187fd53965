"""The classes of what is declared as a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren_broker.core.arguments import QueueType
from warren_broker.core.bridge import SourcedQueue, TappedGroupedQueue, TappedQueue
from warren_broker.core.queue import GroupedQueue, Queue
from warren_broker.core.stream.stream import Stream

if TYPE_CHECKING:
    from warren_broker.core.arguments import QueueArguments


def queue_class(rules: QueueArguments) -> type[Queue | Stream]:
    """Return the class of what `rules` ask for."""
    if rules.queue_type is QueueType.STREAM:
        return Stream
    if rules.source_stream is not None:
        return SourcedQueue
    if rules.tap is not None:
        return TappedQueue if rules.group_by is None else TappedGroupedQueue
    return Queue if rules.group_by is None else GroupedQueue

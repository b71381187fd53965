"""Overflow: what happens when a queue has more ready entries than it may.

The rules of `x-overflow`, for queues with `x-max-length` or `x-max-length-bytes`.
Only ready entries count, as in RabbitMQ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.queue.backlog import MeasuredBacklog

if TYPE_CHECKING:
    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.message import Message
    from warren_broker.core.queue.queue import Queue


class Overflow(ABC):
    """One rule, with the limits it keeps."""

    __slots__ = ("_max_length", "_max_length_bytes")

    def __init__(self, rules: QueueArguments) -> None:
        self._max_length = rules.max_length
        self._max_length_bytes = rules.max_length_bytes

    @abstractmethod
    def admits(self, queue: Queue, message: Message) -> bool:
        """Whether `queue` takes `message`; a rule may act on one it refuses."""

    @abstractmethod
    def trim(self, queue: Queue) -> None:
        """Bring `queue`, which has just got an entry, back under its limits."""

    def _is_over(self, queue: Queue, extra: Message | None = None) -> bool:
        backlog = queue.backlog
        count = backlog.count + (extra is not None)
        if self._max_length is not None and count > self._max_length:
            return True
        if self._max_length_bytes is None or not isinstance(backlog, MeasuredBacklog):
            return False
        extra_bytes = extra.size_bytes if extra is not None else 0
        return backlog.size_bytes + extra_bytes > self._max_length_bytes


@final
class DropHead(Overflow):
    """The oldest entries make room."""

    __slots__ = ()

    def admits(self, queue: Queue, message: Message) -> bool:
        return True

    def trim(self, queue: Queue) -> None:
        while queue.backlog.count and self._is_over(queue):
            queue.bury(queue.backlog.pop_oldest(), "maxlen")


class RejectPublish(Overflow):
    """The newest message is refused: its publisher gets a basic.nack."""

    __slots__ = ()

    def admits(self, queue: Queue, message: Message) -> bool:
        return not self._is_over(queue, message)

    def trim(self, queue: Queue) -> None:
        """Do nothing: what was returned may exceed the limits for a while."""


@final
class RejectPublishDeadLetter(RejectPublish):
    """As reject-publish, and the refused message is dead-lettered."""

    __slots__ = ()

    def admits(self, queue: Queue, message: Message) -> bool:
        if super().admits(queue, message):
            return True
        queue.dead_letter(message, "maxlen")
        return False


OVERFLOWS: Final[dict[str, type[Overflow]]] = {
    "drop-head": DropHead,
    "reject-publish": RejectPublish,
    "reject-publish-dlx": RejectPublishDeadLetter,
}


def overflow_for(rules: QueueArguments) -> Overflow | None:
    """Return the rule of a queue; None when it has no limit to keep."""
    if rules.max_length is None and rules.max_length_bytes is None:
        return None
    return OVERFLOWS[rules.overflow](rules)

"""One message in one queue.

The life of an entry: ready -> unacked -> settled, or back to ready when it is
returned, perhaps delayed for a while. An entry that must leave the backlog out of
turn is only marked settled; the backlog skips it when its turn comes.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.message import Message
    from warren_broker.core.queue.consumer import Consumer
    from warren_broker.core.queue.expiry import Reminder
    from warren_broker.core.queue.lending import Lender

READY: Final = 0
UNACKED: Final = 1
SETTLED: Final = 2
DELAYED: Final = 3


class Entry:
    """A message with its place in a queue and its history there.

    Hot: a backlog is made of these, so there is nothing here that another object
    could tell. Times are monotonic seconds.
    """

    marks: Mapping[str, object] = MappingProxyType({})
    """Headers that its consumer gets besides those of the message: none."""

    __slots__ = (
        "consumer",
        "delivered_at",
        "delivery_count",
        "expires_at",
        "message",
        "position",
        "queue",
        "sequence",
        "state",
    )

    def __init__(self, message: Message, queue: Lender, sequence: int) -> None:
        self.message = message
        self.queue = queue
        self.sequence = sequence  # place in the queue, kept when returned
        self.state = READY
        self.delivery_count = 0  # deliveries that ended without an ack
        self.consumer: Consumer | None = None  # who holds it; None for basic.get
        self.delivered_at = 0.0
        self.expires_at: float | None = None
        self.position = 0  # in the store; 0: it is not there

    def __lt__(self, other: Entry | Reminder) -> bool:
        """Order by place in the queue, for the heaps that hold entries."""
        return self.sequence < other.sequence

    @property
    def redelivered(self) -> bool:
        """Whether somebody was given this entry before (basic.deliver's flag)."""
        return self.delivery_count > 0

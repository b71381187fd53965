"""Consumer: who takes entries from a queue, and whether it has room for more."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Collection

    from warren_broker.core.lease import LeaseTerms
    from warren_broker.core.queue.entry import Entry
    from warren_broker.core.queue.lending import Consumable

UNLIMITED: Final = sys.maxsize


@final
class Window:
    """What all consumers of a channel may hold together.

    basic.qos with global=1 sets it; without one it is the limit on unacked entries
    of a channel. Consumers that found it full wait in `waiting`.
    """

    __slots__ = ("limit", "unacked", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.unacked = 0
        self.waiting: dict[Consumer, None] = {}

    @property
    def is_full(self) -> bool:
        """Whether nobody on the channel may have more."""
        return self.unacked >= self.limit

    def reopen(self) -> None:
        """There is room again: let those who wait be served."""
        waiting, self.waiting = self.waiting, {}
        resume_all(waiting)


def resume_all(consumers: Collection[Consumer]) -> None:
    """Count on `consumers` again: they may have room.

    All are listed before any is served: otherwise the first would get everything
    that waits, whatever its turn and its priority.
    """
    for consumer in consumers:
        consumer.queue.expect(consumer)
    for consumer in consumers:
        consumer.queue.dispatch()


class Consumer(ABC):
    """One basic.consume; each front end implements how an entry reaches the peer.

    Attributes:
        tag: the consumer tag, unique in its channel.
        prefetch: how many unacked entries it may hold; UNLIMITED when it said 0.
        window: what its channel may hold in all.
        lease: on which terms it gets entries; those of its queue, unless it is
            given others (`take_lease`).
        ack_timeout_seconds: their timeout, for who delivers; None: for ever.
        paused: its peer reads too slowly, or asked for a pause.
        is_attached: it works for its queue; false once it is cancelled.
        is_listed: its roster counts it among those that may have room.
    """

    __slots__ = (
        "ack_timeout_seconds",
        "exclusive",
        "is_attached",
        "is_listed",
        "lease",
        "no_ack",
        "paused",
        "prefetch",
        "priority",
        "queue",
        "tag",
        "unacked",
        "window",
    )

    def __init__(
        self,
        queue: Consumable,
        tag: str,
        *,
        no_ack: bool,
        exclusive: bool,
        priority: int,
        window: Window,
    ) -> None:
        self.queue = queue
        self.tag = tag
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.priority = priority
        self.window = window
        self.prefetch = UNLIMITED
        self.unacked = 0
        self.paused = False
        self.is_attached = False
        self.is_listed = False
        self.take_lease(queue.lease)

    def take_lease(self, terms: LeaseTerms) -> None:
        """Get entries on `terms` from now on."""
        self.lease = terms
        self.ack_timeout_seconds = terms.timeout_seconds

    def has_room(self) -> bool:
        """Whether one more entry may be delivered now."""
        if self.paused:
            return False
        if self.no_ack:
            return True
        window = self.window
        return self.unacked < self.prefetch and window.unacked < window.limit

    def unlist(self) -> None:
        """Its roster found no room; whoever makes room has it listed again."""
        self.is_listed = False
        self.wait_for_window()

    def wait_for_window(self) -> None:
        """If its channel may hold no more, be served when it may."""
        if self.window.is_full and not self.no_ack:
            self.window.waiting[self] = None

    @abstractmethod
    def deliver(self, entry: Entry) -> None:
        """Send `entry` to the peer, and remember it until it is settled."""

    @abstractmethod
    def on_cancelled(self) -> None:
        """The queue is gone: tell the peer (basic.cancel) if it can hear it."""

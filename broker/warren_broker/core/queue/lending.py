"""The seams between what has messages and the channels that hold them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warren_broker.core.lease import LeaseTerms
    from warren_broker.core.queue.consumer import Consumer
    from warren_broker.core.queue.entry import Entry
    from warren_broker.core.vhost import VHost


class Consumable(ABC):
    """What a consumer works for: a queue, or what it reads of streams.

    Attributes:
        lease: on which terms its consumers get entries unless they ask for others.
    """

    __slots__ = ()

    lease: LeaseTerms

    @abstractmethod
    def expect(self, consumer: Consumer) -> None:
        """Count on `consumer` again: it may have room. Dispatch afterwards."""

    @abstractmethod
    def dispatch(self) -> None:
        """Hand out what can be handed out."""

    @abstractmethod
    def detach(self, consumer: Consumer) -> None:
        """Give `consumer` nothing more. What it holds stays with its channel."""


class Lender(ABC):
    """What an entry came from, and goes back to: a queue, or a reader of a stream.

    Attributes:
        lease: on which terms entries are held that no consumer holds.
    """

    __slots__ = ()

    vhost: VHost
    lease: LeaseTerms

    @abstractmethod
    def settle(self, entry: Entry) -> None:
        """`entry` was acked. Hot: once an ack."""

    @abstractmethod
    def settle_late(self, entry: Entry) -> None:
        """`entry` was acked after its ack timeout."""

    @abstractmethod
    def reject(self, entry: Entry, reason: str = "rejected") -> None:
        """`entry` was refused for good."""

    @abstractmethod
    def take_back(self, entry: Entry, *, failed: bool) -> None:
        """`entry` was not acked and is to be delivered again. Dispatch afterwards."""

    @abstractmethod
    def on_timeout(self) -> None:
        """One of its entries was held for too long."""

    @abstractmethod
    def hold(self, entry: Entry) -> None:
        """Count `entry`, which no consumer has, as unacked until it is settled."""

    @abstractmethod
    def dispatch(self) -> None:
        """Hand out what can be handed out."""

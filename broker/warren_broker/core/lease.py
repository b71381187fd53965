"""LeaseTerms: how long an entry may be held, what makes that longer, what ends it.

Every delivery that must be acked is a lease. It ends after the ack timeout, unless the
client extends it (see `Unacked.extend`), or its connection renews it by being heard.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, final

import attrs

from warren_broker.core.arguments import (
    ConsumerArguments,
    LeaseRenewal,
    TimeoutAction,
)

if TYPE_CHECKING:
    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.broker import Broker

LEASE_EXCHANGE: Final = "amq.lease"
"""Where clients publish to extend their leases; nothing can be bound to it."""

_MILLISECONDS: Final = 1000.0
_NOTHING_ASKED: Final = ConsumerArguments()


@attrs.frozen(kw_only=True)
class LeaseTerms:
    """The terms on which a consumer, or basic.get, is given entries."""

    timeout_seconds: float | None
    """How long a lease lasts by itself; None: for ever."""
    action: TimeoutAction
    renewal: LeaseRenewal | None
    max_seconds: float
    """How long after its delivery an entry is held at most by being extended or
    renewed. A timeout that is longer by itself holds all the same."""

    def end(
        self, delivered_at: float, *, heard_at: float, extended_until: float
    ) -> float:
        """Return when a lease ends, `math.inf` for never; monotonic seconds all.

        `heard_at` is when its connection was last heard, `extended_until` what the
        client asked for.
        """
        timeout = self.timeout_seconds
        if timeout is None:
            return math.inf
        wanted = extended_until
        if self.renewal is not None:
            wanted = max(wanted, heard_at + timeout)
        return max(delivered_at + timeout, min(wanted, delivered_at + self.max_seconds))


def lease_terms(
    broker: Broker, rules: QueueArguments, wishes: ConsumerArguments = _NOTHING_ASKED
) -> LeaseTerms:
    """Return what a consumer wishes, else what its queue says, else the broker."""
    timeout_ms = _first(wishes.consumer_timeout_ms, rules.consumer_timeout_ms)
    max_ms = _first(wishes.lease_max_ms, rules.lease_max_ms)
    if max_ms is None:
        max_ms = broker.limits.lease_max_ms
    return LeaseTerms(
        timeout_seconds=broker.ack_timeout_seconds(timeout_ms),
        action=wishes.consumer_timeout_action or rules.consumer_timeout_action,
        renewal=wishes.lease_renewal or rules.lease_renewal,
        max_seconds=max_ms / _MILLISECONDS,
    )


def _first(wish: int | None, rule: int | None) -> int | None:
    return rule if wish is None else wish


class LeaseHolder(ABC):
    """The channel that holds leases, as its front end shows it to the core."""

    __slots__ = ()

    @abstractmethod
    def heard_at(self) -> float:
        """Return when the peer was last heard, in monotonic seconds."""

    @abstractmethod
    def hears_cancel(self) -> bool:
        """Whether the peer understands that a consumer of its is cancelled."""

    @abstractmethod
    def close_late(self, timeout_seconds: float) -> None:
        """Close the channel soon, not in this call: an entry was held for longer."""


@final
class _Nobody(LeaseHolder):
    """Who is there when the channel has gone."""

    __slots__ = ()

    def heard_at(self) -> float:
        return -math.inf

    def hears_cancel(self) -> bool:
        return False

    def close_late(self, timeout_seconds: float) -> None:
        """It is closed."""


NOBODY: Final = _Nobody()

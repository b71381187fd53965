"""Leases of records: for ever, unless a consumer asks for an end.

Who holds a record holds up nobody else, so RabbitMQ has no timeout for streams either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warren_broker.core.arguments import ConsumerArguments, QueueArguments
from warren_broker.core.lease import lease_terms

if TYPE_CHECKING:
    from warren_broker.core.broker import Broker
    from warren_broker.core.lease import LeaseTerms

_FOR_EVER: Final = QueueArguments(consumer_timeout_ms=0)
_NOTHING_ASKED: Final = ConsumerArguments()


def stream_lease(
    broker: Broker, wishes: ConsumerArguments = _NOTHING_ASKED
) -> LeaseTerms:
    """Return the terms on which a consumer holds records."""
    return lease_terms(broker, _FOR_EVER, wishes)

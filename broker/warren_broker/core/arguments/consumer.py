"""The arguments of ``basic.consume``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from warren_broker.core.arguments.fields import resource
from warren_broker.core.arguments.modes import (
    LeaseRenewal,
    QueueType,
    TimeoutAction,
    one_of,
)
from warren_broker.core.arguments.reading import (
    ArgumentReader,
    count,
    integer,
    lifetime_ms,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STREAM_ONLY: Final = frozenset(
    {"x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"}
)


@attrs.frozen(kw_only=True)
class ConsumerArguments:
    """What the arguments of a consumer ask for; None: as its queue has it."""

    priority: int = 0
    """Any integer; the highest is served first."""
    consumer_timeout_ms: int | None = None
    consumer_timeout_action: TimeoutAction | None = None
    lease_renewal: LeaseRenewal | None = None
    lease_max_ms: int | None = None


def parse_consumer_arguments(
    arguments: Mapping[str, object],
    queue: str,
    vhost: str,
    queue_type: QueueType = QueueType.CLASSIC,
) -> ConsumerArguments:
    """Return what ``arguments`` mean for a consumer of ``queue``.

    Raises PreconditionFailed for a value that cannot be, and for what only a
    stream can give.
    """
    reader = ArgumentReader(arguments, resource("queue", queue, vhost))
    parsed = ConsumerArguments(
        priority=reader.read("x-priority", integer, 0),
        consumer_timeout_ms=reader.find("x-consumer-timeout", count),
        consumer_timeout_action=reader.find(
            "x-consumer-timeout-action", one_of(TimeoutAction)
        ),
        lease_renewal=reader.find("x-lease-renew", one_of(LeaseRenewal)),
        lease_max_ms=reader.find("x-lease-max", lifetime_ms),
    )
    reader.refuse_all(STREAM_ONLY, queue_type)
    return parsed

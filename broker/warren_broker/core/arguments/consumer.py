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
    InvalidValue,
    boolean,
    count,
    given_name,
    integer,
    lifetime_ms,
    text,
)
from warren_broker.core.arguments.reading_point import ReadingPoint, reading_point

if TYPE_CHECKING:
    from collections.abc import Mapping

STREAM_ONLY: Final = frozenset(
    {
        "x-stream-offset",
        "x-stream-filter",
        "x-stream-match-unfiltered",
        "x-stream-reference",
        "x-stream-automatic-offset-tracking",
        "x-group",
    }
)
FILTERS_MAX: Final = 100
"""Filter values that one consumer may ask for."""


@attrs.frozen(kw_only=True)
class ConsumerArguments:
    """What the arguments of a consumer ask for; None: as its queue has it."""

    priority: int = 0
    """Any integer; the highest is served first."""
    consumer_timeout_ms: int | None = None
    consumer_timeout_action: TimeoutAction | None = None
    lease_renewal: LeaseRenewal | None = None
    lease_max_ms: int | None = None

    starts_at: ReadingPoint | None = None
    """This and what follows is for streams: where to begin."""
    filters: frozenset[str] | None = None
    match_unfiltered: bool = False
    reference: str | None = None
    """The name under which its offset is stored, if not the consumer tag."""
    is_tracked: bool = True
    group: str | None = None


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
    if queue_type is not QueueType.STREAM:
        reader.refuse_all(STREAM_ONLY, queue_type)
        return parsed
    return attrs.evolve(
        parsed,
        starts_at=reader.find("x-stream-offset", reading_point),
        filters=reader.find("x-stream-filter", _filters),
        match_unfiltered=reader.read(
            "x-stream-match-unfiltered", boolean, default=False
        ),
        reference=reader.find("x-stream-reference", given_name),
        is_tracked=reader.read(
            "x-stream-automatic-offset-tracking", boolean, default=True
        ),
        group=reader.find("x-group", given_name),
    )


def _filters(value: object) -> frozenset[str]:
    values = value if isinstance(value, list) else [value]
    if len(values) > FILTERS_MAX:
        raise InvalidValue(f"{{max_value_exceeded,{len(values)}}}")
    return frozenset(map(text, values))

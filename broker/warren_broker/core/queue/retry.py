"""Retry: how long a returned entry waits before it is delivered again.

The rules are RabbitMQ 4.3's (`x-delayed-retry-type`, `-min`, `-max`), for every queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warren_broker.core.arguments import RetryType

if TYPE_CHECKING:
    from random import Random

    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.queue.entry import Entry

_MILLISECONDS: Final = 1000.0

_WAITS: Final[dict[RetryType, frozenset[bool]]] = {
    RetryType.DISABLED: frozenset(),
    RetryType.ALL: frozenset({True, False}),
    RetryType.FAILED: frozenset({True}),
    RetryType.RETURNED: frozenset({False}),
}
"""Whether an entry waits that was returned as failed, or not as failed."""


def own_delay_seconds(entry: Entry) -> float:
    """Return what the header `x-retry-delay` of the message asks for; 0: nothing."""
    directives = entry.message.header.directives
    if directives is None or directives.retry_delay_ms is None:
        return 0.0
    return directives.retry_delay_ms / _MILLISECONDS


def retry_delay_seconds(
    rules: QueueArguments,
    entry: Entry,
    *,
    failed: bool,
    random: Random,
    jitter: float,
) -> float:
    """Return how long `entry` waits, which has come back; 0: not at all.

    It waits the minimum for each attempt so far, up to the maximum, and at random up
    to `jitter` times that longer: what failed together should not come back together.
    """
    own = own_delay_seconds(entry)
    if own:
        return own
    minimum = rules.delayed_retry_min_ms
    if minimum is None or failed not in _WAITS[rules.delayed_retry_type]:
        return 0.0
    delay = minimum * entry.delivery_count
    if rules.delayed_retry_max_ms is not None:
        delay = min(delay, rules.delayed_retry_max_ms)
    return delay / _MILLISECONDS * (1 + jitter * random.random())

"""The effect of policies: what holds where several have a say.

An operator policy goes over a policy, and arguments go over both, but of numbers that
limit something the smallest holds: nobody can ask for more than another allows.
(RabbitMQ's `rabbit_policy.erl` and `rabbit_queue_type_util.erl`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from warren_broker.core.arguments.queue import (
    DEAD_LETTER_EXCHANGE,
    QUEUE_RULES,
    QueueArguments,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.policy.vocabulary import Values

SMALLER_WINS: Final = frozenset(rule.field for rule in QUEUE_RULES if rule.smaller_wins)

_ARGUMENTS: Final[Mapping[str, str]] = {
    "dead_letter_exchange": DEAD_LETTER_EXCHANGE,
    **{rule.field: rule.key for rule in QUEUE_RULES if rule.by_policy},
}
"""The argument that sets a field of the rules of queues."""


def merge(policy: Values, operator_policy: Values) -> Values:
    """Return what a policy and an operator policy say together."""
    merged = dict(policy)
    for field, value in operator_policy.items():
        is_limited = field in merged and field in SMALLER_WINS
        merged[field] = smaller(merged[field], value) if is_limited else value
    return merged


def queue_rules(
    declared: QueueArguments, arguments: Mapping[str, object], values: Values
) -> QueueArguments:
    """Return what holds for a queue; `declared` are its `arguments`, parsed."""
    changes: dict[str, object] = {}
    for field, value in values.items():
        key = _ARGUMENTS.get(field)
        if key is None:
            continue  # it is for exchanges
        if key not in arguments:
            changes[field] = value
        elif field in SMALLER_WINS:
            changes[field] = smaller(getattr(declared, field), value)
    if not changes:
        return declared
    return _consistent(attrs.evolve(declared, **changes))  # type: ignore[arg-type]


def smaller(one: object, other: object) -> object:
    """Return the smaller of two limits; None is no limit."""
    limits = [limit for limit in (one, other) if isinstance(limit, int)]
    return min(limits, default=None)


def _consistent(rules: QueueArguments) -> QueueArguments:
    """Arguments and policy may each give one end of a range."""
    least, most = rules.delayed_retry_min_ms, rules.delayed_retry_max_ms
    if least is not None and most is not None and most < least:
        return attrs.evolve(rules, delayed_retry_max_ms=least)
    return rules

"""The vocabulary of policies: which keys a definition may have, and their values.

It is made of the table of queue arguments, so that what one can say the other can.
Texts: RabbitMQ's `rabbit_policies.erl` and `rabbit_policy.erl`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from warren_broker.core.arguments.exchange import ALTERNATE_EXCHANGE
from warren_broker.core.arguments.fields import term
from warren_broker.core.arguments.modes import RetryType
from warren_broker.core.arguments.queue import DEAD_LETTER_EXCHANGE, QUEUE_RULES
from warren_broker.core.arguments.reading import InvalidValue, text
from warren_broker.core.policy.error import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Values = Mapping[str, object]


@attrs.frozen
class Setting:
    """What one key of a definition says: the value of `field`, accepted by `read`."""

    field: str
    read: Callable[[object], object]


SETTINGS: Final[Mapping[str, Setting]] = {
    DEAD_LETTER_EXCHANGE.removeprefix("x-"): Setting("dead_letter_exchange", text),
    ALTERNATE_EXCHANGE: Setting("alternate_exchange", text),
    **{
        rule.policy_key: Setting(rule.field, rule.read)
        for rule in QUEUE_RULES
        if rule.by_policy
    },
}

INERT: Final = frozenset(
    {
        "dead-letter-strategy",
        "federation-upstream",
        "federation-upstream-pattern",
        "federation-upstream-set",
        "ha-mode",
        "ha-params",
        "ha-promote-on-failure",
        "ha-promote-on-shutdown",
        "ha-sync-batch-size",
        "ha-sync-mode",
        "initial-cluster-size",
        "max-in-memory-length",
        "queue-leader-locator",
        "queue-master-locator",
        "queue-mode",
        "queue-version",
        "stream-filter-size-bytes",
        "target-group-size",
    }
)
"""Keys of RabbitMQ for which there is no use here; any value will do."""

OPERATOR_KEYS: Final = frozenset(
    {
        *(rule.policy_key for rule in QUEUE_RULES if rule.smaller_wins),
        "consumer-timeout",
        "ha-mode",
        "ha-params",
        "ha-sync-mode",
        "max-in-memory-length",
        "overflow",
        "publish-deadline",
        "queue-version",
        "target-group-size",
    }
)
"""What an operator policy may say: limits, and what goes with them."""

_MEANINGS: Final[Mapping[str, str]] = {
    "alternate-exchange": "alternate exchange name",
    "consumer-timeout": "consumer timeout",
    "dead-letter-exchange": "dead letter exchange name",
    "dead-letter-routing-key": "dead letter routing key",
    "delivery-limit": "delivery limit",
    "expires": "queue expiry",
    "max-age": "max age",
    "max-length": "maximum length",
    "max-length-bytes": "maximum length in bytes",
    "message-ttl": "message TTL",
    "overflow": "overflow value",
}
"""What RabbitMQ calls the values of its keys when it refuses one."""


def parse_definition(
    definition: Mapping[str, object], *, is_operator: bool = False
) -> Values:
    """Return the values that a definition gives to the fields of rules.

    Raises PolicyError for an empty one, an unknown key, or a value that cannot be.
    """
    if not definition:
        raise PolicyError("no policy provided")
    _check_keys(definition, is_operator=is_operator)
    values = {
        SETTINGS[key].field: _read(key, value)
        for key, value in definition.items()
        if key in SETTINGS
    }
    _check_companions(values)
    return values


def _check_keys(definition: Mapping[str, object], *, is_operator: bool) -> None:
    known = OPERATOR_KEYS if is_operator else SETTINGS.keys() | INERT
    unknown = ",".join(
        f"{{{term(key)},{term(value)}}}"
        for key, value in definition.items()
        if key not in known
    )
    if unknown:
        kind = "operator policy" if is_operator else "policy"
        raise PolicyError(f"[{unknown}] are not recognised {kind} settings")


def _read(key: str, value: object) -> object:
    try:
        return SETTINGS[key].read(value)
    except InvalidValue as error:
        if key in _MEANINGS:
            fault = f"{term(value)} is not a valid {_MEANINGS[key]}"
        else:
            fault = f"{term(value)} is not a valid {key}: {error}"
        raise PolicyError(fault) from None


def _check_companions(values: Values) -> None:
    """Raise PolicyError for a value that needs another, or contradicts it."""
    minimum = values.get("delayed_retry_min_ms")
    maximum = values.get("delayed_retry_max_ms")
    kind = values.get("delayed_retry_type", RetryType.DISABLED)
    if kind is not RetryType.DISABLED and minimum is None:
        raise PolicyError("delayed-retry-type: delayed-retry-min must be given")
    if isinstance(minimum, int) and isinstance(maximum, int) and maximum < minimum:
        raise PolicyError("delayed-retry-max: must not be less than delayed-retry-min")

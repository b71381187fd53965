"""Policy: rules for all queues and exchanges whose names match a pattern."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs

from warren_broker.core.access.pattern import choice_bits, compile_pattern
from warren_broker.core.arguments.modes import QueueType
from warren_broker.core.policy.error import PolicyError
from warren_broker.core.policy.vocabulary import parse_definition

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

    from warren_broker.core.policy.vocabulary import Values

NAME_MAX_BYTES: Final = 255
PRIORITY_MAX: Final = 2**31 - 1
"""And down to its negative."""
EXCHANGE: Final = "exchange"
"""What an exchange is where a queue is classic, quorum, or a stream."""

_EVERYTHING: Final = "^"
"""RabbitMQ: the empty pattern is found in every name."""


class ApplyTo(StrEnum):
    """What a policy is for."""

    QUEUES = "queues"
    CLASSIC_QUEUES = "classic_queues"
    QUORUM_QUEUES = "quorum_queues"
    STREAMS = "streams"
    EXCHANGES = "exchanges"
    ALL = "all"


_APPLIES: Final[Mapping[ApplyTo, frozenset[str]]] = {
    ApplyTo.QUEUES: frozenset(QueueType),
    ApplyTo.CLASSIC_QUEUES: frozenset({QueueType.CLASSIC}),
    ApplyTo.QUORUM_QUEUES: frozenset({QueueType.QUORUM}),
    ApplyTo.STREAMS: frozenset({QueueType.STREAM}),
    ApplyTo.EXCHANGES: frozenset({EXCHANGE}),
    ApplyTo.ALL: frozenset({*QueueType, EXCHANGE}),
}


@attrs.frozen(kw_only=True)
class Policy:
    """One policy, or operator policy, of a virtual host. Make it with `parse`.

    Attributes:
        definition: as it was written.  values: the same, by the fields of rules.
        work: the most steps that matching one name may take.
    """

    name: str
    pattern: str
    apply_to: ApplyTo
    priority: int
    definition: Mapping[str, object]
    is_operator: bool
    values: Values = attrs.field(eq=False, repr=False)
    work: float = attrs.field(eq=False, repr=False)
    _search: re.Pattern[str] = attrs.field(eq=False, repr=False)

    @classmethod
    def parse(
        cls,
        name: str,
        pattern: str,
        definition: Mapping[str, object],
        *,
        apply_to: str = ApplyTo.ALL,
        priority: int = 0,
        is_operator: bool = False,
    ) -> Policy:
        """Make a policy of what an operator wrote.

        Raises PolicyError for a name that is too long or empty, a pattern that is
        none or not a safe one (see `compile_pattern`), an unknown `apply_to`, a
        priority out of range, or a definition as `parse_definition` refuses it.
        """
        if not 0 < len(name.encode()) <= NAME_MAX_BYTES:
            raise PolicyError(f"a policy's name has 1 to {NAME_MAX_BYTES} bytes")
        if abs(priority) > PRIORITY_MAX:
            raise PolicyError(
                f"priority must be within {-PRIORITY_MAX}..{PRIORITY_MAX}"
            )
        return cls(
            name=name,
            pattern=pattern,
            apply_to=_apply_to(apply_to),
            priority=priority,
            definition=dict(definition),
            is_operator=is_operator,
            values=parse_definition(definition, is_operator=is_operator),
            search=_compile(pattern or _EVERYTHING),
            work=2.0 ** choice_bits(pattern or _EVERYTHING),
        )

    def matches(self, kind: str, name: str) -> bool:
        """Return True if it is for `name`; `kind` is a queue's type, or `EXCHANGE`."""
        return kind in _APPLIES[self.apply_to] and self._search.search(name) is not None


def _apply_to(word: str) -> ApplyTo:
    try:
        return ApplyTo(word)
    except ValueError:
        known = ", ".join(f"'{each}'" for each in ApplyTo)
        raise PolicyError(
            f"apply-to '{word}' unrecognised; should be one of: {known}"
        ) from None


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return compile_pattern(pattern)
    except ValueError as error:
        raise PolicyError(str(error)) from None

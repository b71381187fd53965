"""The arguments of an exchange of type ``x-super-stream``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from warren.errors import PreconditionFailed
from warren_broker.core.arguments.deduplication import DEDUPLICATION_KEYS
from warren_broker.core.arguments.reading import InvalidValue, size, text

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTITIONS: Final = "partitions"
PARTITION_KEY: Final = "x-partition-key"
_OWN: Final = frozenset(
    {PARTITIONS, PARTITION_KEY, "alternate-exchange", *DEDUPLICATION_KEYS}
)


@attrs.frozen
class SuperStreamRules:
    """How a super stream is divided.

    Attributes:
        partitions: how many there are.
        key_header: the header that is the key; None: it is the routing key.
    """

    partitions: int
    key_header: str | None


def parse_super_stream(arguments: Mapping[str, object]) -> SuperStreamRules:
    """Return what the arguments of a super stream say.

    Raises PreconditionFailed unless there is a number of partitions.
    """
    try:
        partitions = size(arguments.get(PARTITIONS))
        key_header = None
        if PARTITION_KEY in arguments:
            key_header = text(arguments[PARTITION_KEY])
    except InvalidValue as error:
        raise PreconditionFailed(
            f"Invalid argument, '{PARTITIONS}' must be a positive integer and"
            f" '{PARTITION_KEY}' the name of a header: {error}"
        ) from None
    return SuperStreamRules(partitions, key_header)


def stream_arguments(arguments: Mapping[str, object]) -> dict[str, object]:
    """Return what the partitions are declared with."""
    own = {key: value for key, value in arguments.items() if key not in _OWN}
    return {**own, "x-queue-type": "stream"}

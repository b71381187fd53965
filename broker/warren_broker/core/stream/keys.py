"""The key of a record, by which streams are compacted and snapshots are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from warren_broker.core.message import Message

COMPACT_KEY: Final = "x-compact-key"
_RAW: Final = COMPACT_KEY.encode()


def compact_key(message: Message) -> str:
    """Return the header `x-compact-key` as text, or else the routing key."""
    if _RAW in message.header.payload:
        value = message.header.headers().get(COMPACT_KEY)
        if value is not None:
            return str(value)
    return message.route.routing_key


def is_tombstone(message: Message) -> bool:
    """Whether it says that its key has no value any more."""
    return not message.body

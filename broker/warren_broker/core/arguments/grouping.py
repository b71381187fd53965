"""GroupKey: what the messages of one group have in common (``x-group-by``)."""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import attrs

from warren_broker.core.arguments.reading import InvalidValue, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.core.message import Message


class GroupSource(StrEnum):
    """Where the key of a group is."""

    HEADER = "header"
    ROUTING_KEY = "routing-key"
    PROPERTY = "property"


GROUP_PROPERTIES: Final = ("correlation_id", "message_id")

KEY_MAX_CHARACTERS: Final = 255
"""Longer keys are known by a digest: a queue may remember keys without messages."""
_DIGEST_BYTES: Final = 16


@attrs.frozen
class GroupKey:
    """Where the key is, and under which name; `name` is empty for the routing key."""

    source: GroupSource
    name: str = ""

    def of(self, message: Message) -> str | None:
        """Return the key of ``message``; None if it has none.

        A header counts by its text: 7 and "7" are one key.
        """
        key = _READERS[self.source](self.name, message)
        if key is None or len(key) <= KEY_MAX_CHARACTERS:
            return key
        return blake2b(key.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _header(name: str, message: Message) -> str | None:
    value = message.header.headers().get(name)
    return None if value is None else str(value)


def _routing_key(_: str, message: Message) -> str:
    return message.route.routing_key


def _property(name: str, message: Message) -> str | None:
    return message.header.property_text(name)


_READERS: Final[dict[GroupSource, Callable[[str, Message], str | None]]] = {
    GroupSource.HEADER: _header,
    GroupSource.ROUTING_KEY: _routing_key,
    GroupSource.PROPERTY: _property,
}


def group_key(value: object) -> GroupKey:
    """Accept ``header:NAME``, ``routing-key`` or ``property:NAME``."""
    source, _, name = text(value).partition(":")
    is_known = {
        GroupSource.HEADER: bool(name),
        GroupSource.ROUTING_KEY: not name,
        GroupSource.PROPERTY: name in GROUP_PROPERTIES,
    }
    if not is_known.get(source):  # type: ignore[call-overload]
        known = ", ".join(f"property:{name}" for name in GROUP_PROPERTIES)
        raise InvalidValue(f'"expected header:NAME, routing-key, {known}"')
    return GroupKey(GroupSource(source), name)

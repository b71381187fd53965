"""Subscribing: from the name and the arguments of a consume to a subscription."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from warren.errors import NotFound
from warren_broker.core.stream.group import SINGLE_ACTIVE, Group
from warren_broker.core.stream.stream import Stream
from warren_broker.core.stream.subscription import Subscription

if TYPE_CHECKING:
    from warren_broker.core.arguments import ConsumerArguments
    from warren_broker.core.exchange import SuperStreamExchange

_MADE_UP_TAG: Final = re.compile(
    r"ctag[0-9]+\.[0-9a-f]{32}|warren-[0-9]+-[0-9]+", re.ASCII
)
"""What pika, aiormq and `warren` make up if a consumer gives no tag: nobody's name."""


def subscribe(
    found: Stream | SuperStreamExchange, arguments: ConsumerArguments, given_tag: str
) -> Subscription:
    """Return what a consumer of `found` is to read.

    `given_tag` is the tag that the client gave, empty if it gave none.

    Raises NotFound if there is nothing to read.
    """
    if isinstance(found, Stream):
        streams = [found]
    else:
        streams = cast("list[Stream]", list(found.owned()))
        if not streams:
            raise NotFound(f"super stream '{found.name}' has no partition left")
    is_single = any(each.rules.single_active_consumer for each in streams)
    group_name = SINGLE_ACTIVE if is_single else arguments.group
    group = None
    if group_name is not None:
        groups = found.groups
        group = groups.get(group_name) or Group(group_name, streams, groups)
    return Subscription(
        streams,
        arguments,
        reference=_reference(arguments, given_tag),
        group=group,
        is_super=not isinstance(found, Stream),
    )


def _reference(arguments: ConsumerArguments, given_tag: str) -> str | None:
    """Return the name under which offsets are stored; None if they are not."""
    if not arguments.is_tracked:
        return None
    if arguments.group is not None:
        return arguments.group
    if arguments.reference is not None:
        return arguments.reference
    if not given_tag or _MADE_UP_TAG.fullmatch(given_tag):
        return None
    return given_tag

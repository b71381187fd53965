"""SharedFrames: what all who read a page are sent alike.

Deliveries of a record differ in consumer tag and delivery tag, with which they begin.
What follows depends on the number of the channel, but that is 1 for nearly all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast, final

if TYPE_CHECKING:
    from warren_broker.core.message import Message
    from warren_broker.core.stream.record import Page

SHARED_MAX: Final = 2048
"""Bytes of a body, and of a header: one that is larger is sent alone. What is sent
together is so many records, and must not be more than an outbox is to have."""

_KINDS_MAX: Final = 4
"""How many are kept for one page."""


@final
class SharedFrames:
    """The deliveries of a page's records, without what is the consumer's own.

    Attributes:
        frames: by index, what comes behind the delivery tag; empty: it is sent alone;
            None: nobody has asked for it.
        names_sizes: bytes that exchange and routing key have in it.
    """

    __slots__ = ("frames", "names_sizes")

    def __init__(self, count: int) -> None:
        self.frames: list[bytes | None] = [None] * count
        self.names_sizes = [0] * count


def is_large(message: Message) -> bool:
    """Whether `message` is sent alone; those with the same header are all, or none."""
    return len(message.body) > SHARED_MAX or len(message.header.payload) > SHARED_MAX


def shared_frames(
    page: Page, channel: int, body_max: int, fields: bytes
) -> SharedFrames:
    """Return those of `page` for channels like that, and headers with `fields`."""
    key = channel, body_max, fields
    found = page.encoded.get(key)
    if found is None:
        if len(page.encoded) >= _KINDS_MAX:
            page.encoded.clear()
        found = page.encoded[key] = SharedFrames(len(page.records))
    return cast("SharedFrames", found)

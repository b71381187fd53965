"""Place: how far a consumer has come in a stream, to go on there after a reconnect.

Records of a stream tell their offset in a header, and none is taken out by an ack:
where a consumer begins is for the consumer to say. It goes on at the first record that
is not settled, or behind the last one: nothing is missed, and what was not settled
comes again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, final

from warren.errors import WarrenError

if TYPE_CHECKING:
    from warren._client.consuming import Subscription
    from warren._client.delivery import Delivery
    from warren.wire.table import Table

OFFSET: Final = "x-stream-offset"
PARTITION: Final = "x-stream-partition"
"""Header of what comes from a super stream: offsets are each partition's own."""
REFERENCE: Final = "x-stream-reference"
GROUP: Final = "x-group"
TRACKING: Final = "x-stream-automatic-offset-tracking"


@final
class Place:
    """The place of one consumer, if it reads a stream; of any broker."""

    def __init__(self, subscription: Subscription) -> None:
        self._asked = subscription
        self._is_known = GROUP not in subscription.arguments
        self._next: int | None = None  # behind all that came
        self._held: set[int] = set()  # came, and is not settled

    def arguments(self, *, is_warren: bool) -> Table:
        """Return what to consume with, now.

        Warren stores the places of consumers that have a name, and of groups.
        """
        asked = self._asked.arguments
        if self._held:
            self._next = min(self._held)
            self._held.clear()  # it will come again
        is_stored = is_warren and OFFSET not in asked and self._is_named
        if self._next is None or is_stored:
            return asked
        return asked | {OFFSET: self._next}

    @property
    def _is_named(self) -> bool:
        asked = self._asked.arguments
        is_tracked = asked.get(TRACKING, True) is not False
        return is_tracked and (bool(self._asked.tag) or REFERENCE in asked)

    def note(self, delivery: Delivery[Any]) -> bool:
        """A delivery has come. Return whether its place is to be kept."""
        try:
            headers = delivery.headers
        except WarrenError:
            return True  # a stranger's: no header at all
        offset = headers.get(OFFSET)
        if not self._is_known or PARTITION in headers or type(offset) is not int:
            return False
        self._next = max(self._next or 0, offset + 1)
        if not self._asked.no_ack:
            self._held.add(offset)
        return True

    def leave(self, delivery: Delivery[Any]) -> None:
        """A delivery is settled, and not given back."""
        if self._held:
            with suppress(WarrenError):
                self._held.discard(delivery.headers.get(OFFSET, -1))

    def forget(self) -> bool:
        """It cannot go on there: the header was of another origin. Return if it was.

        Messages may tell of an offset in a queue, as those do that are copied out of a
        stream; a queue refuses to begin at one.
        """
        was_known = self._next is not None
        self._is_known, self._next = False, None
        self._held.clear()
        return was_known

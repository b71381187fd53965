"""StreamEntry: one record on its way to one reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from warren_broker.core.queue.entry import UNACKED, Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.message import Message
    from warren_broker.core.queue.lending import Lender


@final
class StreamEntry(Entry):
    """A record that was delivered and is not settled.

    Its sequence is the offset. `marks` are shared by entries that have the same.
    """

    __slots__ = ("marks",)

    def __init__(
        self,
        message: Message,
        reader: Lender,
        offset: int,
        marks: Mapping[str, object],
    ) -> None:
        self.message = message
        self.queue = reader
        self.sequence = offset
        self.state = UNACKED
        self.delivery_count = 0
        self.consumer = None
        self.marks = marks

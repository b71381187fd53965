"""Tapped queues: what they take is appended to a stream as well (`x-tap`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from warren_broker.core.queue import GroupedQueue, Queue
from warren_broker.core.stream.stream import Stream
from warren_broker.core.stream.tapped import Tapped

if TYPE_CHECKING:
    from warren_broker.core.deduplication import UniqueId
    from warren_broker.core.message import Message
    from warren_broker.core.named_queue import Declaration
    from warren_broker.core.queue import Entry
    from warren_broker.core.vhost import VHost


class Tapping(Queue, Tapped):
    """The part of a queue that appends.

    Attributes:
        tap: where to; None: the stream is not there, or not any more.
    """

    # No slots: they could not be laid out beside those of `GroupedQueue`.

    def __init__(self, vhost: VHost, declaration: Declaration) -> None:
        super().__init__(vhost, declaration)
        self.tap: Stream | None = None

    def begin(self) -> None:
        """Append from now on, if the stream is there."""
        stream = self.vhost.queues.get(self.declared.tap or "")
        if isinstance(stream, Stream):
            self.tap = stream
            stream.tapped[self] = None
        else:
            self._tell_of_end()

    def accept(self, message: Message) -> bool:
        return self._accept_by_rules(message)  # which end in `take_in`

    def take_in(
        self,
        message: Message,
        unique: UniqueId | None = None,
        *,
        instead_of: Entry | None = None,
    ) -> None:
        if self.tap is not None:
            self.tap.accept_answered(message)
        super().take_in(message, unique, instead_of=instead_of)

    def end_tap(self) -> None:
        self.tap = None
        self._tell_of_end()

    def _tell_of_end(self) -> None:
        self.vhost.broker.notice(
            "tap ended",
            vhost=self.vhost.name,
            queue=self.name,
            stream=self.declared.tap,
        )

    def close(self) -> None:
        if self.tap is not None:
            self.tap.tapped.pop(self, None)
            self.tap = None
        super().close()


@final
class TappedQueue(Tapping):
    """A queue without groups that is tapped."""


@final
class TappedGroupedQueue(Tapping, GroupedQueue):
    """A queue with groups that is tapped."""

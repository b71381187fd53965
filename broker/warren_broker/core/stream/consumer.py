"""RecordConsumer: a consumer of streams."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from warren_broker.core.queue.consumer import UNLIMITED, Consumer

if TYPE_CHECKING:
    from warren.errors import ChannelError
    from warren_broker.core.stream.loan import Loan

AHEAD_MIN: Final = 16
"""Who may hold fewer records spends more time on a page than to wait for the next."""


class RecordConsumer(Consumer):
    """A consumer that is given records, with their offsets."""

    __slots__ = ()

    def room(self) -> int:
        """Return how many records it may be given; asked if it has room."""
        if self.no_ack:
            return UNLIMITED
        window = self.window
        return min(self.prefetch - self.unacked, window.limit - window.unacked)

    @property
    def is_quick(self) -> bool:
        """Whether it is done with a page so soon that the next one should be there."""
        return self.no_ack or min(self.prefetch, self.window.limit) >= AHEAD_MIN

    def deliver_loan(self, loan: Loan) -> Loan | None:
        """Send `loan`, or so much of it that its `stop` says; return who has it now.

        That is `loan`, or an earlier one of which it has become a part. None: nothing
        of it is sent like that, and the first record is to be delivered alone.
        """
        return None

    @abstractmethod
    def fail(self, error: ChannelError) -> None:
        """Close its channel because of `error`, in a turn of its own."""

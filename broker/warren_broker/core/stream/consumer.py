"""RecordConsumer: a consumer of streams."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from warren_broker.core.queue.consumer import Consumer

if TYPE_CHECKING:
    from warren.errors import ChannelError


class RecordConsumer(Consumer):
    """A consumer that is given records, with their offsets."""

    __slots__ = ()

    @abstractmethod
    def fail(self, error: ChannelError) -> None:
        """Close its channel because of `error`, in a turn of its own."""

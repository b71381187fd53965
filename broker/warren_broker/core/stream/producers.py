"""Producers: the last sequence number of each who publishes with one."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Mapping


@final
class Producers:
    """What tells a record that came before, by producer id and sequence number.

    There is room for so many; one more and the longest idle is forgotten.
    """

    __slots__ = ("_last", "_maximum")

    def __init__(self, maximum: int, known: Mapping[str, int]) -> None:
        """`known` are in the order of their idleness, the longest idle first."""
        self._maximum = maximum
        self._last = OrderedDict(known)

    def __len__(self) -> int:
        return len(self._last)

    def came_before(self, producer: tuple[str, int]) -> bool:
        """Whether a record of this id had this number or a higher one."""
        producer_id, sequence = producer
        last = self._last.get(producer_id)
        if last is None:
            return False
        self._last.move_to_end(producer_id)
        return sequence <= last

    def note(self, producer: tuple[str, int]) -> None:
        """A record with this id and number was appended."""
        producer_id, sequence = producer
        self._last[producer_id] = sequence
        self._last.move_to_end(producer_id)
        while len(self._last) > self._maximum:
            self._last.popitem(last=False)

"""Damage: records of a stream that were safe and cannot be read any more."""

from __future__ import annotations

from typing import NamedTuple


class StreamDamage(NamedTuple):
    """Where, and what is the matter. Nothing was taken away."""

    name: str  # of the file
    offset: int  # of the byte
    start: int  # the first offset that cannot be read
    end: int  # the one after the last; not more than `start`: no record is lost
    text: str

    @property
    def records_lost(self) -> int:
        """How many records cannot be read."""
        return max(0, self.end - self.start)

    def __str__(self) -> str:
        lost = ""
        if self.records_lost:
            lost = f", offsets {self.start} to {self.end - 1} are lost"
        return f"{self.name} at byte {self.offset}: {self.text}{lost}"

"""Health: what an operator must know that does not pass by itself."""

from __future__ import annotations

from typing import final


@final
class Health:
    """The state of what a broker keeps; it is red as long as the broker lives.

    Attributes:
        damage: what was confirmed and cannot be read any more, a line each; until the
            data directory is repaired.
        recovered_queues: made at this start for messages whose own queue is lost.
    """

    __slots__ = ("damage", "recovered_queues")

    def __init__(self) -> None:
        self.damage: tuple[str, ...] = ()
        self.recovered_queues: tuple[str, ...] = ()

    @property
    def is_damaged(self) -> bool:
        """Whether something that was promised is lost, as far as is known."""
        return bool(self.damage)

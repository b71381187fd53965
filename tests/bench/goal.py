"""What is wanted of a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Goal:
    """A wish in words, and whether Warren's figure meets it beside the rival's."""

    text: str
    is_met: Callable[[float, float], bool]
    needs_rival: bool = True

    def judge(self, own: float | None, rival: float | None) -> bool | None:
        """Met or not; None where a figure that it takes is missing."""
        if own is None or (rival is None and self.needs_rival):
            return None
        return self.is_met(own, rival or 0.0)


def times(factor: int) -> Goal:
    """At least so many times the rival's."""
    return Goal(f"≥ {factor}x", lambda own, rival: own >= factor * rival)


def at_most(limit: int) -> Goal:
    """No more than this, whatever the rival's."""
    return Goal(f"≤ {limit}", lambda own, _: own <= limit, needs_rival=False)


def at_least(limit: int) -> Goal:
    """No less than this, whatever the rival's."""
    return Goal(f"≥ {limit}", lambda own, _: own >= limit, needs_rival=False)


AT_MOST_RIVAL: Final = Goal("≤ 1x", lambda own, rival: own <= rival)

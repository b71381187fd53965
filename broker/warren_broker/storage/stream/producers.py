"""Producers: the last sequence number of each, to tell what was published before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PRODUCERS_MAX: Final = 10_000
"""More are not remembered: the ones that were silent longest are forgotten."""


def note_producers(known: dict[str, int], recent: Mapping[str, int]) -> None:
    """Put `recent` at the end of `known`, and take away the first if they are many."""
    for name, sequence in recent.items():
        known.pop(name, None)
        known[name] = sequence
    while len(known) > PRODUCERS_MAX:
        del known[next(iter(known))]

"""Backoff: waits that grow, to a bound."""

from __future__ import annotations


def grown(first: float, factor: float, times: int, most: float) -> float:
    """Return `first`, grown by `factor` so many `times`, and `most` at most."""
    try:
        return min(first * factor**times, most)
    except OverflowError:  # it would be more than any float
        return most if first else 0.0

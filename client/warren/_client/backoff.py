"""Backoff: waits that grow, to a bound."""

from __future__ import annotations

from typing import Protocol

import attrs


class Policy(Protocol):
    """Whoever says how long to wait."""

    @property
    def first_seconds(self) -> float:
        """The first wait."""


def grown(first: float, factor: float, times: int, most: float) -> float:
    """Return `first`, grown by `factor` so many `times`, and `most` at most."""
    try:
        return min(first * factor**times, most)
    except OverflowError:  # it would be more than any float
        return most if first else 0.0


def most_seconds(most: float) -> float:
    """Return the field of a policy for its bound: `most`, or its `first_seconds`.

    One that is given and is less than the first wait raises ValueError.
    """
    field: float = attrs.field(
        default=attrs.Factory(
            lambda policy: max(most, policy.first_seconds), takes_self=True
        ),
        validator=_check_most,
    )
    return field


def _check_most(policy: Policy, _: object, most: float) -> None:
    if not most >= policy.first_seconds:
        raise ValueError("most_seconds must be at least first_seconds")

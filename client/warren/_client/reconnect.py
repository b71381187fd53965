"""Reconnect: what a connection does when it is lost."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

from warren._client.backoff import grown, most_seconds
from warren.errors import (
    ConnectionError_,
    ConnectionForced,
    NotFound,
    ResourceLocked,
)
from warren.protocol.failures import ConnectionLost

if TYPE_CHECKING:
    from warren.errors import WarrenError

Unconfirmed: TypeAlias = Literal["raise", "resend"]

MOST_SECONDS: Final = 30.0

LOST: Final = (ConnectionLost, ConnectionForced)
"""A connection that ended by one of these did not end by what its user had asked."""

TRY_AGAIN: Final = (OSError, ConnectionLost, ConnectionError_, ResourceLocked, NotFound)
"""What the next attempt may find mended. A refused login is not among them.

The last two come of declaring again: a queue that is locked still belongs to the life
before, and what is not found may be another's to declare, who reconnects as well.
"""


@attrs.frozen
class Reconnect:
    """A policy: `warren.connect(url, reconnect=warren.Reconnect())`.

    After a loss the next attempt follows `first_seconds` later, and after each that
    fails `factor` times the wait before, `most_seconds` at most: 30, or `first_seconds`
    if that is more. A share of each wait, up to `jitter`, is left out at random, so
    that a thousand clients do not come at once. After `attempts` failures in a row the
    connection is given up, and whoever uses it gets the last error; None is never.

    `unconfirmed` says what becomes of a publish whose confirm was lost: "raise"
    `Unconfirmed`, or "resend" it, with the same message id, before anything newer. A
    message that had been taken is there twice then.

    With `at_start` a server that is not there yet is waited for in the same way.
    """

    first_seconds: float = attrs.field(default=0.1, validator=attrs.validators.ge(0))
    most_seconds: float = most_seconds(MOST_SECONDS)
    factor: float = attrs.field(default=2.0, validator=attrs.validators.ge(1))
    jitter: float = attrs.field(
        default=0.5, validator=[attrs.validators.ge(0), attrs.validators.le(1)]
    )
    attempts: int | None = None
    unconfirmed: Unconfirmed = attrs.field(
        default="raise", validator=attrs.validators.in_(("raise", "resend"))
    )
    at_start: bool = False
    random: Random = attrs.field(factory=Random, repr=False, eq=False)

    def wait_seconds(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row."""
        longest = grown(self.first_seconds, self.factor, failures, self.most_seconds)
        return longest * (1 - self.jitter * self.random.random())

    def gives_up(self, failures: int) -> bool:
        """Whether that was the last attempt."""
        return self.attempts is not None and failures >= self.attempts


def is_loss(error: WarrenError | None) -> bool:
    """Whether a connection that ended so was lost, through no request of its user."""
    return isinstance(error, LOST)

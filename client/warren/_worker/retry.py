"""Retry: how often a handler gets a message, and how long it waits in between."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from warren._client.backoff import grown, most_seconds
from warren._worker.failures import GiveUp, TryAgain

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_SECONDS: Final = 300.0

_positive: Final[Callable[[Any, Any, float], Any]] = attrs.validators.ge(0.0)


@attrs.frozen
class Retry:
    """A policy: `@app.worker("orders", retry=warren.Retry(attempts=3))`.

    A handler gets a message `attempts` times at most. After the first failure the
    message waits `first_seconds`, after each further one `factor` times as long,
    `most_seconds` at most: 300, or `first_seconds` if that is more. A share of each
    wait, up to `jitter`, is left out at random: what failed together should not come
    back together. The broker does the waiting.

    Errors of a type in `never` are not tried again. `returns` is how often a message
    may come back that no handler has answered for, because its process died or its
    connection was lost; None is any number. The broker counts them in the header
    `x-delivery-count`: Warren on all queues, RabbitMQ on quorum queues.
    """

    attempts: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    first_seconds: float = attrs.field(default=1.0, validator=_positive)
    most_seconds: float = most_seconds(MOST_SECONDS)
    factor: float = attrs.field(default=2.0, validator=attrs.validators.ge(1))
    jitter: float = attrs.field(
        default=0.5, validator=[_positive, attrs.validators.le(1.0)]
    )
    never: tuple[type[Exception], ...] = ()
    returns: int | None = 20
    random: Random = attrs.field(factory=Random, repr=False, eq=False)

    def wait_seconds(self, attempt: int) -> float:
        """Return how long to wait after this attempt, the first is 1."""
        longest = grown(self.first_seconds, self.factor, attempt - 1, self.most_seconds)
        return longest * (1 - self.jitter * self.random.random())

    def verdict(self, attempt: int, error: BaseException) -> Verdict:
        """Return how long to wait until the next attempt; None: there is none."""
        error = sole_leaf(error)
        if attempt >= self.attempts or isinstance(error, (GiveUp, *self.never)):
            return None
        if isinstance(error, TryAgain) and error.seconds is not None:
            return error.seconds
        return self.wait_seconds(attempt)


Verdict: TypeAlias = float | None
"""Seconds to wait, or no further attempt."""

ONCE: Final = Retry(attempts=1)


def retry_of(retry: Retry | int | None) -> Retry:
    """Return a policy: a number is how many attempts, None is one."""
    if retry is None:
        return ONCE
    return Retry(attempts=retry) if isinstance(retry, int) else retry


def sole_leaf(error: BaseException) -> BaseException:
    """Return what is in a group of one, which nurseries make."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error

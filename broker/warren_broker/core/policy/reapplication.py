"""Reapplication: what changed policies mean for all that exists, a slice a turn.

A virtual host may have 100 000 queues, and each is to be matched with every pattern:
that takes seconds, in which all others are to be served.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.deadlines import DeadlineOwner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.policy.policies import Policies
    from warren_broker.core.vhost import VHost

SLICE_STEPS: Final = 500_000
"""Steps of matching in one turn, a few milliseconds; but one name at least."""
STEPS_EACH: Final = 5_000
"""What a queue or an exchange costs besides, in such steps."""


@final
class Reapplication(DeadlineOwner):
    """Gives queues and exchanges the rules that hold for them since a change."""

    __slots__ = ("_changed", "_policies", "_results", "_vhost")

    def __init__(self, vhost: VHost, policies: Policies) -> None:
        self._vhost = vhost
        self._policies = policies
        self._results: Iterator[bool] = iter(())
        self._changed = 0

    def start(self) -> None:
        """Begin, from the beginning again if it is under way."""
        self._results = self._apply_to_all()
        self._vhost.broker.deadlines.set(self, self._vhost.broker.now)

    def close(self) -> None:
        """Apply nothing any more."""
        self._vhost.broker.deadlines.cancel(self)

    def on_deadline(self, now: float) -> None:
        """Apply policies to one slice, and ask for the next turn if more is left."""
        size = max(1, int(SLICE_STEPS / (STEPS_EACH + self._policies.work)))
        results = list(islice(self._results, size))
        self._changed += sum(results)
        if len(results) == size:
            self._vhost.broker.deadlines.set(self, now)
        else:
            self._finish()

    def _finish(self) -> None:
        if self._changed:
            self._vhost.broker.notice(
                "policies applied", vhost=self._vhost.name, changed=self._changed
            )
        self._changed = 0

    def _apply_to_all(self) -> Iterator[bool]:
        """Yield for each exchange and queue whether its rules have changed.

        What is declared meanwhile has the new rules, what is deleted needs none.
        """
        exchanges, queues = self._vhost.exchanges, self._vhost.queues
        for name in list(exchanges):
            exchange = exchanges.get(name)
            if exchange is not None:
                yield self._policies.apply_to_exchange(exchange)
        for name in list(queues):
            queue = queues.get(name)
            if queue is not None:
                yield self._policies.apply_to_queue(queue)

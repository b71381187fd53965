"""Surroundings: what the exchanges of one virtual host share."""

from __future__ import annotations

from random import Random
from typing import final

from warren_broker.core.exchange.history import BUDGET_BYTES, HistoryBudget


@final
class Surroundings:
    """A source of chance, and the bytes there are for histories.

    Give ``random`` a seed, and what is random happens again just so.
    """

    __slots__ = ("history_budget", "random")

    def __init__(
        self, *, random: Random | None = None, history_max_bytes: int = BUDGET_BYTES
    ) -> None:
        self.random: Random = random or Random()
        self.history_budget: HistoryBudget = HistoryBudget(history_max_bytes)

"""Surroundings: what the exchanges of one virtual host share."""

from __future__ import annotations

from random import Random
from typing import final

from warren_broker.core.deduplication import IDS_MAX, IdBudget
from warren_broker.core.exchange.history import BUDGET_BYTES, HistoryBudget


@final
class Surroundings:
    """A source of chance, the bytes for histories, and the room for ids seen.

    Give ``random`` a seed, and what is random happens again just so.
    """

    __slots__ = ("history_budget", "id_budget", "random")

    def __init__(
        self,
        *,
        random: Random | None = None,
        history_max_bytes: int = BUDGET_BYTES,
        unique_ids_max: int = IDS_MAX,
    ) -> None:
        self.random: Random = random or Random()
        self.history_budget: HistoryBudget = HistoryBudget(history_max_bytes)
        self.id_budget: IdBudget = IdBudget(unique_ids_max)

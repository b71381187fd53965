"""History: all facts that survive a broker, and what a crash may leave of them.

Each fact has a history: at which step it began to be true, and when it ended. A journal
is one line, so whatever a crash leaves must be all facts as they were after one and the
same step, and that is none before the last one that a client was given an answer for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Fact = tuple[str, ...]
Value = object  # None: it is not so

SHOWN_MAX = 6


class Violation(Exception):
    """The broker broke a promise."""


class History:
    """All facts that survive, by the steps at which they changed."""

    def __init__(self) -> None:
        self.step = 1
        self.safe = 0  # the last step that somebody was told of
        self.recorded = 0  # the same, but for messages that may have to wait for room
        self._facts: dict[Fact, list[tuple[int, Value]]] = {}
        self._touched: list[Fact] = []  # in this step

    def advance(self) -> bool:
        """The step is over; return whether it has changed anything that survives."""
        is_changed = self.is_changed
        self.step += 1
        self._touched = []
        return is_changed

    @property
    def is_changed(self) -> bool:
        """Whether this step has changed anything that survives."""
        return any(
            self.at(fact, self.step) != self.at(fact, self.step - 1)
            for fact in self._touched
        )

    def set(self, fact: Fact, value: Value) -> None:
        self._touched.append(fact)
        line = self._facts.setdefault(fact, [(0, None)])
        if line[-1][0] == self.step:
            line.pop()
        line.append((self.step, value))

    def at(self, fact: Fact, step: int) -> Value:
        line = self._facts.get(fact, [(0, None)])
        return next((value for at, value in reversed(line) if at <= step), None)

    def since(self, fact: Fact) -> int:
        """Return the step since which `fact` is as it is."""
        return self._facts.get(fact, [(0, None)])[-1][0]

    def reconcile(
        self,
        found: Mapping[Fact, Value],
        *,
        is_clean: bool,
        may_wait: Callable[[Fact], bool] = lambda fact: False,
    ) -> int:
        """Return the step after which everything was as it was found.

        But for what `may_wait`, which may be missing. Raises Violation if there is
        none, or a promise was given after it.
        """
        facts = self._facts.keys() | found.keys()
        first = self.step if is_clean else max(self.safe, self.recorded)
        best: list[str] | None = None
        for step in range(self.step, first - 1, -1):
            wrong = [
                f"{fact}: {found.get(fact)!r}, not {self.at(fact, step)!r}"
                for fact in facts
                if self.at(fact, step) != found.get(fact)
                and not (fact not in found and may_wait(fact))
            ]
            if not wrong:
                self._begin_again(found)
                return step
            if best is None or len(wrong) < len(best):
                best = [f"as after step {step} of {first}..{self.step}, but", *wrong]
        raise Violation("; ".join((best or ["nothing"])[:SHOWN_MAX]))

    def _begin_again(self, found: Mapping[Fact, Value]) -> None:
        self._facts = {
            fact: [(0, None), (self.step, value)] for fact, value in found.items()
        }
        self.safe = self.recorded = self.step

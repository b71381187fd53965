"""The demo's books: every job by its number, from confirm to result.

Nothing here is told by a counter of the broker. The numbers come from the messages that
the demo received itself, each of which names its job, so that the balance is a proof.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, final

import attrs

from warren_broker.cli.demo_plan import (
    AUDIT_QUEUES,
    RESULTS_ALL,
    TOPIC_RULES,
    Job,
    Plan,
    Result,
    queue_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


@attrs.frozen
class Check:
    """One line of the balance: what was found, and whether that is as it must be."""

    name: str
    found: int
    holds: bool
    remark: str


@final
class Ledger:
    """What is known of each job."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.confirmed: set[int] = set()
        self.results: dict[int, list[Result]] = {}
        self.topics: dict[str, Counter[int]] = {q: Counter() for q in TOPIC_RULES}
        self.audits: dict[str, Counter[int]] = {q: Counter() for q in AUDIT_QUEUES}

    # --- what happens

    def on_confirmed(self, jobs: Iterable[Job]) -> None:
        """The broker has taken these jobs."""
        self.confirmed.update(job.number for job in jobs)

    def on_result(self, queue: str, result: Result) -> None:
        """A result came out of one of the results' queues."""
        number = result.job.number
        self.topics[queue][number] += 1
        if queue == RESULTS_ALL:
            self.results.setdefault(number, []).append(result)

    def on_audit(self, queue: str, job: Job) -> None:
        """A copy of a job came out of one of the audit queues."""
        self.audits[queue][job.number] += 1

    # --- what it comes to

    @property
    def handled_count(self) -> int:
        """Different jobs that were done."""
        return len(self.results)

    @property
    def all_results(self) -> list[Result]:
        """Every result, also of jobs that were done twice."""
        return [result for results in self.results.values() for result in results]

    @property
    def redelivered_count(self) -> int:
        """Jobs that reached a worker marked as delivered before."""
        return sum(result.redelivered for result in self.all_results)

    def count_by_worker(self) -> Counter[str]:
        """Return how many jobs each worker did."""
        return Counter(result.worker for result in self.all_results)

    def redelivered_by_worker(self) -> Counter[str]:
        """Return how many of them had been in other hands."""
        return Counter(each.worker for each in self.all_results if each.redelivered)

    def done_count(self, queue: str) -> int:
        """Return how many messages of a queue are done with."""
        if queue in self.topics:
            return self.topics[queue].total()
        if queue in self.audits:
            return self.audits[queue].total()
        return sum(queue == queue_of(each.job) for each in self.all_results)

    # --- the balance

    def balance(self, left_over: int) -> list[Check]:
        """Return every check. `left_over` is what is still in the queues."""
        return [
            self._check_published(),
            self._check_handled(),
            self._check_lost(),
            self._check_redelivered(),
            self._check_twice(),
            self._check_audit(),
            self._check_topics(),
            Check("left in the queues", left_over, left_over == 0, "all is settled"),
        ]

    def _check_published(self) -> Check:
        found = len(self.confirmed)
        holds = found == self.plan.job_count
        return Check("jobs published", found, holds, "each confirmed by the broker")

    def _check_handled(self) -> Check:
        holds = self.results.keys() == self.confirmed
        remark = "the same jobs, number by number"
        return Check("jobs handled", self.handled_count, holds, remark)

    def _check_lost(self) -> Check:
        found = len(self.confirmed - self.results.keys())
        return Check("lost", found, found == 0, "published and not handled")

    def _check_redelivered(self) -> Check:
        found = self.redelivered_count
        holds = 0 < found <= self.plan.held_max
        remark = f"{self.plan.victim} held them (it may hold {self.plan.held_max})"
        return Check("redelivered", found, holds, remark)

    def _check_twice(self) -> Check:
        again = [results for results in self.results.values() if len(results) > 1]
        holds = all(map(self._is_explained, again))
        remark = f"{self.plan.victim} had done it, but not yet said so"
        return Check("handled twice", len(again), holds, remark if again else "none")

    def _is_explained(self, results: list[Result]) -> bool:
        """Whether the killed worker did the job first, and another did it again."""
        if len(results) != 2:
            return False
        first, second = sorted(results, key=lambda result: result.redelivered)
        return (
            first.worker == self.plan.victim != second.worker
            and not first.redelivered
            and second.redelivered
        )

    def _check_audit(self) -> Check:
        once = Counter(self.confirmed)
        holds = all(copies == once for copies in self.audits.values())
        found = sum(copies.total() for copies in self.audits.values())
        remark = f"fanout: each job once in {len(self.audits)} queues"
        return Check("audit copies", found, holds, remark)

    def _check_topics(self) -> Check:
        holds = all(
            self.topics[queue]
            == Counter(r.job.number for r in self.all_results if fit(r))
            for queue, fit in TOPIC_RULES.items()
        )
        found = sum(numbers.total() for numbers in self.topics.values())
        remark = "topic: each in every queue whose key fits"
        return Check("results routed", found, holds, remark)

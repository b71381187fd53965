"""What the demo sets up: a service whose jobs come from three parts of the world.

::

    jobs     direct   resize     -> jobs.resize       workers share
             direct   invoice    -> jobs.invoice      these three
             direct   email      -> jobs.email
    audit    fanout              -> audit.archive     a copy of each job
             fanout              -> audit.search      in both
    results  topic    #          -> results.all       what the workers tell,
             topic    europe.#   -> results.europe    once for each queue
             topic    *.invoice  -> results.invoices  whose pattern fits

Each job is published to `jobs` and to `audit`. A worker that has done a job publishes a
result to `results`, waits until that is confirmed, and only then acknowledges the job.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

JOBS: Final = "jobs"
AUDIT: Final = "audit"
RESULTS: Final = "results"

EXCHANGES: Final = {JOBS: "direct", AUDIT: "fanout", RESULTS: "topic"}
"""Name -> type."""

KINDS: Final = ("resize", "invoice", "email")
REGIONS: Final = ("europe", "asia", "america")

RESULTS_ALL: Final = "results.all"

KILL_AFTER: Final = 0.3
"""Part of the jobs that is done when a worker is killed."""

PREFETCH_MAX: Final = 8


@attrs.frozen
class Queue:
    """A queue and the one binding that feeds it."""

    name: str
    exchange: str
    key: str


QUEUES: Final = (
    *(Queue(f"jobs.{kind}", JOBS, kind) for kind in KINDS),
    Queue("audit.archive", AUDIT, ""),
    Queue("audit.search", AUDIT, ""),
    Queue(RESULTS_ALL, RESULTS, "#"),
    Queue("results.europe", RESULTS, "europe.#"),
    Queue("results.invoices", RESULTS, "*.invoice"),
)

JOB_QUEUES: Final = tuple(q.name for q in QUEUES if q.exchange == JOBS)
AUDIT_QUEUES: Final = tuple(q.name for q in QUEUES if q.exchange == AUDIT)


@attrs.frozen
class Job:
    """One thing to do."""

    number: int
    kind: str
    region: str

    def encode(self) -> bytes:
        """Return the body of its message."""
        return json.dumps(attrs.asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> Job:
        """Return the job of a body that `encode` made."""
        return cls(**json.loads(body))


@attrs.frozen
class Result:
    """A worker has done a job. `redelivered` is what the broker said of it."""

    job: Job
    worker: str
    redelivered: bool

    @property
    def key(self) -> str:
        """The routing key it is published with."""
        return f"{self.job.region}.{self.job.kind}"

    def encode(self) -> bytes:
        """Return the body of its message."""
        return json.dumps(attrs.asdict(self)).encode()

    @classmethod
    def decode(cls, body: bytes) -> Result:
        """Return the result of a body that `encode` made."""
        values = json.loads(body)
        return cls(Job(**values["job"]), values["worker"], values["redelivered"])


def queue_of(job: Job) -> str:
    """Return the queue that a job waits in."""
    return f"jobs.{job.kind}"


TOPIC_RULES: Final[dict[str, Callable[[Result], bool]]] = {
    RESULTS_ALL: lambda _: True,
    "results.europe": lambda result: result.job.region == "europe",
    "results.invoices": lambda result: result.job.kind == "invoice",
}
"""Queue -> which results belong there: the patterns again, without a broker."""


@attrs.frozen
class Plan:
    """The size of a demo. `work_seconds` is how long all workers need for all jobs."""

    job_count: int
    worker_count: int
    work_seconds: float = 3.0
    publish_seconds: float = 1.5

    @property
    def jobs(self) -> list[Job]:
        """The jobs, in the order they are published."""
        kinds, regions = len(KINDS), len(REGIONS)
        return [
            Job(number, KINDS[number % kinds], REGIONS[number // kinds % regions])
            for number in range(self.job_count)
        ]

    @property
    def workers(self) -> list[str]:
        """Their names."""
        return [f"worker {number + 1}" for number in range(self.worker_count)]

    @property
    def victim(self) -> str:
        """The worker that is killed."""
        return self.workers[1]

    @property
    def prefetch(self) -> int:
        """Deliveries that a worker may hold, for each kind; few when jobs are few."""
        lanes = self.worker_count * len(KINDS)
        return max(1, min(PREFETCH_MAX, self.job_count // (4 * lanes)))

    @property
    def held_max(self) -> int:
        """Deliveries that a worker may hold in all."""
        return self.prefetch * len(KINDS)

    @property
    def job_seconds(self) -> float:
        """How long one job takes. A worker does one of each kind at a time."""
        lanes = self.worker_count * len(KINDS)
        return self.work_seconds * lanes / self.job_count

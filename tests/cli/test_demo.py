"""The demo: its books, its view, and the whole of it with few jobs."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren_broker.cli.demo_children import ChildFailed, running_broker, running_workers
from warren_broker.cli.demo_ledger import Ledger
from warren_broker.cli.demo_plan import (
    AUDIT_QUEUES,
    EXCHANGES,
    JOB_QUEUES,
    QUEUES,
    RESULTS_ALL,
    TOPIC_RULES,
    Job,
    Plan,
    Result,
    queue_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEMO = [
    sys.executable,
    "-W",
    "error",
    "-c",
    "from warren_broker.cli import main; main()",
    "demo",
]
PLAN = Plan(job_count=60, worker_count=3)
JOBS = PLAN.jobs
VICTIM = PLAN.victim
SURVIVOR = PLAN.workers[0]

plans = st.builds(Plan, st.integers(50, 5000), st.integers(2, 32))


# --- the plan


@given(plans)
def test_jobs_have_numbers_of_their_own_and_a_queue(plan: Plan) -> None:
    jobs = plan.jobs
    assert [job.number for job in jobs] == list(range(plan.job_count))
    assert {queue_of(job) for job in jobs} == set(JOB_QUEUES)
    assert {queue.exchange for queue in QUEUES} == EXCHANGES.keys()


@given(plans)
def test_the_workers_hands_are_never_full_of_all_there_is(plan: Plan) -> None:
    """When most is still to be done, the queues cannot all be empty."""
    in_hands = plan.worker_count * plan.held_max
    assert in_hands <= max(plan.job_count // 4, plan.worker_count * 3)


@given(st.sampled_from(JOBS), st.booleans())
def test_messages_carry_what_they_say(job: Job, redelivered: bool) -> None:
    assert Job.decode(job.encode()) == job
    result = Result(job, SURVIVOR, redelivered)
    assert Result.decode(result.encode()) == result


# --- the books


class Books:
    """A run that balances: the victim held two jobs, and had just done one of them."""

    def __init__(self) -> None:
        self.ledger = Ledger(PLAN)
        self.left_over = 0
        self.results = [Result(job, SURVIVOR, redelivered=False) for job in JOBS]
        self.results[7] = Result(JOBS[7], SURVIVOR, redelivered=True)
        self.results[8] = Result(JOBS[8], VICTIM, redelivered=False)
        self.results.append(Result(JOBS[8], SURVIVOR, redelivered=True))

    def wrong(self) -> set[str]:
        """Do the books; return the checks that do not hold."""
        self.ledger.on_confirmed(JOBS)
        for queue in AUDIT_QUEUES:
            for job in JOBS:
                self.ledger.on_audit(queue, job)
        for result in self.results:
            for queue, fits in TOPIC_RULES.items():
                if fits(result):
                    self.ledger.on_result(queue, result)
        checks = self.ledger.balance(self.left_over)
        return {check.name for check in checks if not check.holds}


def test_a_good_run_balances() -> None:
    books = Books()
    assert books.wrong() == set()
    found = {check.name: check.found for check in books.ledger.balance(0)}
    assert found["jobs published"] == found["jobs handled"] == 60
    assert found["redelivered"] == 2
    assert found["handled twice"] == 1
    assert found["lost"] == 0
    assert found["audit copies"] == 120


def test_a_lost_job() -> None:
    books = Books()
    del books.results[20]
    assert books.wrong() == {"jobs handled", "lost"}


def test_a_job_that_nobody_published() -> None:
    books = Books()
    books.results.append(Result(Job(99, "email", "asia"), SURVIVOR, redelivered=False))
    assert books.wrong() == {"jobs handled"}


def test_no_redelivery() -> None:
    books = Books()
    books.results = [Result(job, SURVIVOR, redelivered=False) for job in JOBS]
    assert books.wrong() == {"redelivered"}


def test_more_redelivered_than_anybody_held() -> None:
    books = Books()
    books.results = [Result(job, SURVIVOR, redelivered=True) for job in JOBS]
    assert books.wrong() == {"redelivered"}


@pytest.mark.parametrize(
    "again",
    [
        Result(JOBS[3], SURVIVOR, redelivered=False),  # delivered twice for no reason
        Result(JOBS[3], VICTIM, redelivered=True),  # the wrong way round
        Result(JOBS[8], SURVIVOR, redelivered=True),  # a third time
    ],
)
def test_a_job_done_twice_without_excuse(again: Result) -> None:
    books = Books()
    books.results.append(again)
    assert books.wrong() == {"handled twice"}


def test_a_copy_missing_from_the_audit() -> None:
    books = Books()
    books.ledger.audits[AUDIT_QUEUES[0]][5] -= 1
    assert books.wrong() == {"audit copies"}


@pytest.mark.parametrize("queue", [q for q in TOPIC_RULES if q != RESULTS_ALL])
def test_a_result_in_the_wrong_queue(queue: str) -> None:
    books = Books()
    stranger = next(r for r in books.results if not TOPIC_RULES[queue](r))
    books.ledger.on_result(queue, stranger)
    assert books.wrong() == {"results routed"}


def test_something_left_in_a_queue() -> None:
    books = Books()
    books.left_over = 1
    assert books.wrong() == {"left in the queues"}


# --- its processes


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    state = ps("-o", "stat=", "-p", str(pid)).strip()
    return bool(state) and not state.startswith("Z")


def children_of(pid: int) -> list[int]:
    """Return the process ids of all children."""
    return [int(word) for word in ps("-o", "pid=", "--ppid", str(pid)).split()]


def ps(*arguments: str) -> str:
    return subprocess.run(
        ["ps", *arguments], capture_output=True, text=True, check=False
    ).stdout


def test_workers_do_not_outlive_their_block() -> None:
    with running_broker() as url:
        with running_workers(PLAN, url) as workers:
            pids = [workers.pid(name) for name in PLAN.workers]
            assert workers.running() == set(PLAN.workers)
            workers.kill(VICTIM)
        assert not any(map(is_alive, pids))


def test_a_worker_that_fails_is_told() -> None:
    failed = pytest.raises(ChildFailed, match=r"worker \d ended[^$]*connect")
    with running_workers(PLAN, "amqp://127.0.0.1:1/") as workers, failed:
        wait_until(lambda: not workers.running())


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another process; the test's time limit ends what never comes."""
    while not condition():
        time.sleep(0.01)


# --- all of it


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where the demo makes its directories."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def environment(directory: Path) -> dict[str, str]:
    """Our own, but a configuration that must not reach the demo's broker."""
    return {
        **os.environ,
        "TMPDIR": str(directory),
        "WARREN_LISTENERS_TCP": "no address",
        "COLUMNS": "80",
    }


def test_the_demo_balances_and_leaves_nothing_behind(directory: Path) -> None:
    ended = subprocess.run(
        [*DEMO, "--jobs", "150", "--workers", "3"],
        env=environment(directory),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert "it balances" in ended.stdout
    assert "WRONG" not in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 80
    balance = dict(re.findall(r"│ +(.+?) +(\d+)  ok", ended.stdout))
    assert balance["jobs published"] == balance["jobs handled"] == "150"
    assert balance["audit copies"] == "300"
    assert int(balance["redelivered"]) > 0
    assert balance["lost"] == "0"
    assert list(directory.iterdir()) == []


def test_the_demo_on_a_terminal(directory: Path) -> None:
    """It redraws in place, and the last thing to see is the balance."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*DEMO, "--jobs", "100", "--workers", "2"],
        env={**environment(directory), "TERM": "xterm-256color", "LINES": "50"},
        stdout=theirs,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        seen = b"".join(iter(lambda: read_terminal(ours), b"")).decode()
        _, errors = process.communicate()
    os.close(ours)
    assert (process.returncode, errors) == (0, b"")
    assert seen.count("Workers share the job queues") > 5
    assert "\x1b[" in seen
    balance = seen[seen.rindex("The balance") :]
    assert "it balances: no job was lost" in balance


def read_terminal(file: int) -> bytes:
    """Read from a terminal's other end; Linux has an error for its end."""
    try:
        return os.read(file, 65536)
    except OSError:
        return b""


@contextmanager
def demo_at_work(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo whose broker and workers run."""
    with subprocess.Popen(
        [*DEMO, "--jobs", "5000"],
        env=environment(directory),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any("published" in line for line in process.stdout)
        yield process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_demo_cleans_up_when_it_is_stopped(
    directory: Path, number: signal.Signals
) -> None:
    with demo_at_work(directory) as process:
        children = children_of(process.pid)
        assert len(children) == 5  # a broker and four workers
        process.send_signal(number)
        _, errors = process.communicate()
    assert process.returncode == 128 + number
    assert errors == ""
    assert not any(map(is_alive, children))
    assert list(directory.iterdir()) == []


def test_no_process_outlives_a_demo_that_is_killed(directory: Path) -> None:
    with demo_at_work(directory) as process:
        children = children_of(process.pid)
        process.kill()
        process.communicate()
    wait_until(lambda: not any(map(is_alive, children)))

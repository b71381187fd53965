"""The rows of the report: what is measured, which figures are shown, what is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.bench.capped import Capped
from tests.bench.goal import AT_MOST_RIVAL, Goal, at_least, at_most, times
from tests.bench.restart import Restart
from tests.bench.scenario import Latency, Parked, Scenario, Throughput
from tests.bench.scheduled import Scheduled
from tests.bench.seek import Seek
from tests.bench.streams import PREFETCH, STREAM, Append, Replay
from tests.bench.warren import Warren

if TYPE_CHECKING:
    from collections.abc import Iterable

PARKED_MESSAGES: Final = 1_000_000
PARKED_MB_MAX: Final = 100
RESTART_MESSAGES: Final = 1_000_000
RESTART_S_MAX: Final = 10
CAPPED_MESSAGES: Final = 5_000_000
CAPPED_MB: Final = 300
A_THIRD: Final = 33  # per cent
SCHEDULED_MESSAGES: Final = 1_000_000
REPLAYED: Final = 1_000_000
SOUGHT: Final = 10_000_000
SOUGHT_US_MAX: Final = 5_000
OPENED_S_MAX: Final = 1
LATE_US_MAX: Final = 20_000
ACK: Final = ("--ack", 1, "--prefetch", 1000)
CONFIRM: Final = ("--window", 1000)
FANOUT: Final = ("--type", "fanout", "--queues", 10, "--subs", 10)
# One binding matches, by a wildcard; the others never do.
TOPIC: Final = ("--type", "topic", "--binding", "load.#", "--bindings", 1000)
PRIORITY: Final = ("--qargs", "x-max-priority=10", "--priorities", 10)
TTL: Final = ("--qargs", "x-message-ttl=60000")
# A fanout exchange, since it does not look at the key: the queue does.
GROUPS: Final = (
    *("--type", "fanout", "--keys", 10_000, "--subs", 4),
    *("--qargs", "x-group-by=routing-key", "--ack", 1, "--prefetch", 100),
)
DURABLE: Final = ("--durable", 1, "--persistent", 1)
TAIL: Final = ("--size", 1024, "--cargs", "x-stream-offset=next")
QUORUM: Final = ("--qargs", "x-queue-type=quorum")
# Bursts of 256 KiB: with larger ones the generator's cache misses are measured too.
LARGE: Final = ("--size", 65_536, "--batch", 4)


@dataclass(frozen=True)
class Figure:
    """One line of the report: a value of the row's samples, by its key."""

    key: str
    unit: str
    goal: Goal | None = None
    cpu_key: str | None = "cpu_us"
    title: str = ""


@dataclass(frozen=True)
class Row:
    """A scenario under a name for `--rows` and a title for people."""

    name: str
    title: str
    scenario: Scenario
    figures: tuple[Figure, ...]
    is_long: bool = False  # measured in the first round only


def _throughput(
    name: str, title: str, factor: int, *options: object, copies: int = 1
) -> Row:
    """A row with one figure, wanted `factor` times the rival's."""
    return Row(
        name,
        title,
        Throughput(("--name", name, *options), copies),
        (Figure("rate", "/s", times(factor)),),
    )


def _latency(name: str, title: str, scenario: Latency) -> Row:
    """A row whose 99th percentile may not be worse than the rival's."""
    return Row(
        name,
        title,
        scenario,
        (
            Figure("p50_us", "µs", title="p50"),
            Figure("p99_us", "µs", AT_MOST_RIVAL, cpu_key=None, title="p99"),
        ),
    )


def _replay(readers: int) -> Row:
    """A row with the deliveries to so many readers together."""
    return Row(
        f"stream-replay-{readers}",
        f"stream: {REPLAYED:,} replayed by {readers}",
        Replay(readers, REPLAYED),
        (Figure("rate", "/s", times(2)),),
    )


ROWS: Final = (
    _throughput("noack", "no-ack, 64 B", 2),
    _throughput("noack-1k", "no-ack, 1 KiB", 2, "--size", 1024),
    _throughput("ack", "ack each, prefetch 1000", 2, *ACK),
    _throughput("confirm", "confirms, window 1000, ack each", 3, *CONFIRM, *ACK),
    _throughput("fanout", "fanout to 10 queues", 2, *FANOUT, copies=10),
    _throughput("topic", "topic, 1000 bindings", 2, *TOPIC),
    _throughput("large", "no-ack, 64 KiB", 1, *LARGE),
    _throughput("large-ack", "ack each, 64 KiB", 1, *LARGE, *ACK),
    _throughput("durable", "durable: confirms, ack each", 2, *DURABLE, *CONFIRM, *ACK),
    _throughput(
        "durable-1k", "the same, 1 KiB", 2, *DURABLE, *CONFIRM, *ACK, "--size", 1024
    ),
    _throughput("quorum", "the same, quorum", 1, *DURABLE, *CONFIRM, *ACK, *QUORUM),
    _throughput(
        *("lone", "durable, one at a time, quorum", 1, *DURABLE, *ACK, *QUORUM),
        *("--window", 1, "--size", 1024),
    ),
    _throughput("priority", "10 priorities, ack each", 2, *PRIORITY, *ACK),
    _throughput("ttl", "time to live, ack each", 2, *TTL, *ACK),
    Row(
        "groups",
        "ordered groups, 10,000 keys",
        Throughput(("--name", "groups", *GROUPS), only=Warren.title),
        (Figure("rate", "/s"),),
    ),
    _latency("latency-2k", "latency at 2,000/s", Latency(2_000)),
    _latency("latency-20k", "latency at 20,000/s", Latency(20_000)),
    Row(
        "stream-append",
        "stream: append 1 KiB, confirms",
        Append(),
        (
            Figure("rate", "/s", times(2)),
            Figure("share", "%", None, None, "of the disk's own rate"),
        ),
    ),
    *(_replay(readers) for readers in (1, 4, 16)),
    _latency(
        "stream-tail",
        "stream: append to deliver at 2,000/s",
        Latency(2_000, ("--name", "tail", *STREAM, *PREFETCH, *TAIL)),
    ),
    Row(
        "stream-seek",
        f"stream of {SOUGHT:,}, 64 B",
        Seek(SOUGHT),
        (
            Figure("start_s", "s", at_most(OPENED_S_MAX), None, "start of the broker"),
            Figure("added_mb", "MB", None, None, "memory added"),
            Figure("p50_us", "µs", at_most(SOUGHT_US_MAX), None, "one record, p50"),
            Figure("worst_us", "µs", at_most(SOUGHT_US_MAX), None, "the worst of 200"),
        ),
        is_long=True,
    ),
    Row(
        "parked",
        f"{PARKED_MESSAGES:,} parked, 64 B",
        Parked(PARKED_MESSAGES),
        (
            Figure("publish_rate", "/s", times(2), "publish_cpu_us", "publish"),
            Figure("drain_rate", "/s", times(2), "drain_cpu_us", "drain"),
            Figure("added_mb", "MB", at_most(PARKED_MB_MAX), None, "memory added"),
        ),
    ),
    Row(
        "restart",
        f"restart, {RESTART_MESSAGES:,} durable, 64 B",
        Restart(RESTART_MESSAGES),
        (
            Figure("publish_rate", "/s", None, "publish_cpu_us", "publish"),
            Figure(
                "stopped_s",
                "s",
                at_most(RESTART_S_MAX),
                "stopped_cpu_us",
                "after SIGTERM",
            ),
            Figure(
                "killed_s",
                "s",
                at_most(RESTART_S_MAX),
                "killed_cpu_us",
                "after SIGKILL",
            ),
            Figure("drain_rate", "/s", None, "drain_cpu_us", "drain"),
        ),
        is_long=True,
    ),
    Row(
        "capped",
        f"{CAPPED_MESSAGES:,} in {CAPPED_MB} MB, 100 B",
        Capped(CAPPED_MESSAGES, CAPPED_MB * 1_000_000),
        (
            Figure("publish_rate", "/s", None, "publish_cpu_us", "publish"),
            Figure("drain_rate", "/s", None, "drain_cpu_us", "drain"),
            Figure(
                "publish_share", "%", at_least(A_THIRD), None, "publish, of uncapped"
            ),
            Figure("drain_share", "%", at_least(A_THIRD), None, "drain, of uncapped"),
            Figure("peak_mb", "MB", at_most(CAPPED_MB), None, "peak memory"),
        ),
        is_long=True,
    ),
    Row(
        "scheduled",
        f"{SCHEDULED_MESSAGES:,} scheduled, 64 B",
        Scheduled(SCHEDULED_MESSAGES),
        (
            Figure("insert_rate", "/s", None, "insert_cpu_us", "insert"),
            Figure("bytes", "B", None, None, "memory each"),
            Figure("p50_us", "µs", None, None, "p50 of lateness"),
            Figure("p99_us", "µs", at_most(LATE_US_MAX), None, "p99 of lateness"),
        ),
    ),
)


def named(names: Iterable[str]) -> tuple[Row, ...]:
    """The rows of these names, in the report's order. Raises KeyError: unknown name."""
    wanted = set(names)
    unknown = wanted - {row.name for row in ROWS}
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    return tuple(row for row in ROWS if row.name in wanted)

"""`python -m tests.torture`: the ways in which a broker may end, in turns.

SIGKILL and SIGTERM at any moment under load; and where strace is installed SIGKILL
exactly at the n-th sync or write of the journal, a sync that fails, and a full disk.
Then all queues are drained, and the ledger is asked.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.torture.ledger import Ledger
from tests.torture.load import Load, drain
from tests.torture.process import Process, strace_missing

WRONG = ("lost", "duplicated without the flag", "invented or altered", "out of order")
FINDINGS_SHOWN = 10
SPOILT_SECONDS = 6.0  # for a call that is to come

INJECTIONS = {
    "killed at a sync": "fdatasync:signal=SIGKILL:when={n}",
    "killed at a write": "writev:signal=SIGKILL:when={n}",
    "a sync fails": "fdatasync:error=EIO:when={n}",
    "the disk is full": "writev:error=ENOSPC:when={n}..{m}",
}


def main() -> int:
    """Status 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture")
    parser.add_argument("--secs", type=float, default=480, help="how long (480)")
    parser.add_argument("--publishers", type=int, default=4, help="at once (4)")
    parser.add_argument("--seed", type=int, default=None, help="of the moments")
    parser.add_argument("--ends", help="only these, with commas between")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int(time.time())
    print(f"torture: seed {seed}")
    with TemporaryDirectory(prefix="warren-torture-") as name:
        return _Torture(Path(name), Random(seed), options.publishers).run(
            options.secs, options.ends.split(",") if options.ends else None
        )


class _Torture:
    """Lives of brokers, one after the other, in one data directory."""

    def __init__(self, data_dir: Path, random: Random, publishers: int) -> None:
        self._data_dir = data_dir / "data"
        self._random = random
        self._publishers = publishers
        self._ledger = Ledger()
        self._ends: Counter[str] = Counter()
        self._wrong: list[str] = []
        self._slowest = 0.0

    def run(self, seconds: float, ends: list[str] | None = None) -> int:
        kinds = ["SIGKILL", "SIGKILL", "SIGTERM"]
        if (reason := strace_missing()) is None:
            kinds += INJECTIONS
        else:
            print(f"torture: no spoilt calls: {reason}")
        kinds = [kind for kind in kinds if ends is None or kind in ends]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._live(self._random.choice(kinds))
        process = self._start()
        left = drain(process.url, self._ledger)
        if process.stop():
            self._wrong.append("the last broker did not stop well")
        return self._report(left)

    def _start(self, injection: str = "") -> Process:
        process = Process(self._data_dir, injection)
        if not injection and not process.url:
            raise SystemExit(f"torture: no start, status {process.kill()}")
        self._slowest = max(self._slowest, process.start_seconds)
        return process

    def _live(self, kind: str) -> None:
        """One broker, until it ends as `kind` says."""
        number = self._random.randint(1, self._random.choice((10, 300)))
        self._ledger.begin_life(f"life {self._ends.total() + 1} ({kind}, {number})")
        injection = INJECTIONS.get(kind, "").format(n=number, m=number + 2)
        process = self._start(injection)
        if not process.url:  # it ended while it began
            process.kill()
            self._ends[f"{kind}, at the start"] += 1
            return
        consumes = self._random.random() < 0.5
        load = Load(process.url, self._ledger, self._publishers, consumes=consumes)
        until = time.monotonic() + self._random.uniform(0.2, 2.0)
        if injection and kind != "the disk is full":
            until = time.monotonic() + SPOILT_SECONDS
        while time.monotonic() < until and not process.is_over:
            time.sleep(0.01)
        self._end(kind, process)
        load.join()

    def _end(self, kind: str, process: Process) -> None:
        was_over = process.is_over
        status = process.stop() if kind == "SIGTERM" else process.kill()
        if kind == "SIGTERM" and status:
            self._wrong.append(f"SIGTERM: status {status}")
        if kind in INJECTIONS and kind != "the disk is full" and not was_over:
            kind += ", not reached"
        elif kind == "a sync fails" and status <= 0:
            self._wrong.append(f"a sync has failed: status {status}")
        self._ends[kind] += 1

    def _report(self, left: int) -> int:
        figures = self._ledger.report()
        for name, count in figures.items():
            print(f"{name:>28} {count}")
        print(f"{'left at the end':>28} {left}")
        print(f"{'slowest start':>28} {self._slowest:.2f} s")
        for end, count in self._ends.most_common():
            print(f"{end:>28} {count}")
        self._wrong += self._ledger.findings[:FINDINGS_SHOWN]
        self._wrong += [name for name in WRONG if figures[name]]
        for wrong in self._wrong:
            print(f"torture: {wrong}", file=sys.stderr)
        return 1 if self._wrong else 0


if __name__ == "__main__":
    sys.exit(main())

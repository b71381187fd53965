"""SIGKILL and SIGTERM at any moment, SIGKILL at the n-th call, calls that fail."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, final

from tests.torture.process import strace_missing
from tests.torture.streams import audit
from tests.torture.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.torture.process import Process

SPOILT_SECONDS: Final = 6.0  # for a call that is to come

FULL: Final = "the disk is full"
# Which of them Python calls depends on how it was made.
WRITE: Final = "pwritev,pwritev2"
INJECTIONS: Final = {
    "killed at a sync": "fdatasync:signal=SIGKILL:when={n}",
    "killed at a write": f"{WRITE}:signal=SIGKILL:when={{n}}",
    "a sync fails": "fdatasync:error=EIO:when={n}",
    FULL: f"{WRITE}:error=ENOSPC:when={{n}}..{{m}}",
}


@final
class Killing(Trial):
    """Lives of brokers, one after the other, in one data directory."""

    ENDS = ("SIGKILL", "SIGTERM", *INJECTIONS)

    @classmethod
    def missing(cls) -> str | None:
        return None

    def run(self, seconds: float, ends: Collection[str]) -> None:
        kinds = [kind for kind in self.ENDS if kind in ends]
        if (reason := strace_missing()) is not None:
            kinds = [kind for kind in kinds if kind not in INJECTIONS]
            self.facts.append(f"no spoilt calls: {reason}")
        slowest, until = 0.0, time.monotonic() + seconds
        while kinds and time.monotonic() < until:
            slowest = max(slowest, self._live(self.random.choice(kinds)))
        self.facts.append(f"slowest start {slowest:.2f} s")
        self.finish(self.directory / "data")

    def _live(self, kind: str) -> float:
        """One broker, until it ends as `kind` says. Return how long its start took."""
        number = self.random.randint(1, self.random.choice((10, 300)))
        self.ledger.begin_life(f"life {self.ends.total() + 1} ({kind}, {number})")
        injection = INJECTIONS.get(kind, "").format(n=number, m=number + 2)
        with self.broker(self.directory / "data", injection) as process:
            if not injection:
                self.require_ready(process)
            elif not process.wait_ready():  # it ended while it began
                self.ends[f"{kind}, at the start"] += 1
                return 0.0
            if not injection and self.random.random() < 0.5:
                audit(process.url, self.records)
            consumes = self.random.random() < 0.5
            with self.load(process.url, consumes=consumes):
                until = time.monotonic() + self.random.uniform(0.2, 2.0)
                if injection and kind != FULL:
                    until = time.monotonic() + SPOILT_SECONDS
                while time.monotonic() < until and not process.is_over:
                    time.sleep(0.01)
                self._end(kind, process)
            return process.start_seconds

    def _end(self, kind: str, process: Process) -> None:
        was_over = process.is_over
        status = process.stop() if kind == "SIGTERM" else process.kill()
        if kind == "SIGTERM" and status:
            self.wrong.append(f"SIGTERM: status {status}")
        if kind in INJECTIONS and kind != FULL and not was_over:
            kind += ", not reached"
        elif kind == "a sync fails" and status <= 0:
            self.wrong.append(f"a sync has failed: status {status}")
        self.ends[kind] += 1

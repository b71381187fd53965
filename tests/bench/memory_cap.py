"""MemoryCap: less memory for a process than the machine has."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

# The file that takes the limit, by where control groups may be: versions 1 and 2.
LIMITS: Final = {
    Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes",
    Path("/sys/fs/cgroup"): "memory.max",
}
ALARM_RATIO: Final = 0.6  # where the broker stops publishers by itself
EMPTY_SECONDS_MAX: Final = 5.0


class MemoryCap:
    """A control group with a limit, where we may make one; else the broker's own.

    Attributes:
        runner: what goes before a command that is to be capped.
        options: variables for a Warren that cannot be capped from outside.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._group: Path | None = None
        self.runner: tuple[object, ...] = ()
        self.options: dict[str, str] = {}

    def __enter__(self) -> Self:
        for root, file in LIMITS.items():
            group = root / f"warren-bench-{os.getpid()}"
            try:
                group.mkdir()
                self._group = group
                with (group / file).open("r+") as limit:  # not where it is no group
                    limit.write(str(self._limit_bytes))
            except OSError:
                self._remove()
                continue
            join = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
            self.runner = ("sh", "-c", join, group)
            return self
        alarm = round(self._limit_bytes * ALARM_RATIO)
        self.options = {"WARREN_MEMORY_LIMIT_BYTES": str(alarm)}
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        """Remove the group, which can go when its last process has."""
        until = time.monotonic() + EMPTY_SECONDS_MAX
        while self._group is not None and time.monotonic() < until:
            with suppress(OSError):
                self._group.rmdir()
                self._group = None
                return
            time.sleep(0.05)

"""Warren, started from this checkout."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from tests.bench.broker import Spawned

if TYPE_CHECKING:
    from collections.abc import Sequence

READY_LINE: Final = re.compile(rb"^ready amqp://\S+:(\d+)/", re.MULTILINE)
PROGRAM: Final = Path(sys.executable).with_name("warren")


class Warren(Spawned):
    """`warren serve` on a port of its own choice, keeping what is durable."""

    title: ClassVar = "Warren"

    def __init__(self, directory: Path, *, runner: Sequence[object] = ()) -> None:
        """`runner` goes before the command: a profiler, say."""
        super().__init__(directory)
        self._runner = runner

    def start(self) -> None:
        data = self.directory / "warren-data"
        serve = ("serve", "--listen", "127.0.0.1:0", "--data-dir", data)
        self.spawn(*self._runner, PROGRAM, *serve)

    def find_port(self) -> int | None:
        ready = READY_LINE.search(self.log.read_bytes())
        return int(ready[1]) if ready else None

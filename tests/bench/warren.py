"""Warren, started from this checkout."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from tests.bench.broker import Spawned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

READY_LINE: Final = re.compile(rb"^ready amqp://\S+:(\d+)/", re.MULTILINE)
PROGRAM: Final = Path(sys.executable).with_name("warren")


class Warren(Spawned):
    """`warren serve` on a port of its own choice, keeping what is durable."""

    title: ClassVar = "Warren"

    def __init__(
        self,
        directory: Path,
        *,
        runner: Sequence[object] = (),
        options: Mapping[str, str] | None = None,
    ) -> None:
        """`runner` goes before the command: a profiler, say.

        `options` are variables of the environment, see `warren_broker.config`.
        """
        super().__init__(directory)
        self._runner = runner
        self._variables = os.environ | (options or {})

    def start(self) -> None:
        data = self.directory / "warren-data"
        serve = ("serve", "--listen", "127.0.0.1:0", "--data-dir", data)
        self.spawn(*self._runner, PROGRAM, *serve, environment=self._variables)

    def start_again(self) -> None:
        self.start()

    def find_port(self) -> int | None:
        ready = READY_LINE.search(self.log.read_bytes())
        return int(ready[1]) if ready else None

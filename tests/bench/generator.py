"""The load generator: C source beside this file, compiled on the way."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.bench.errors import BenchError

SOURCE: Final = Path(__file__).with_name("amqpload.c")


class Generator:
    """A compiled `amqpload`. Its options are described at the head of its source."""

    def __init__(self, directory: Path) -> None:
        """Compile into `directory`. Raises BenchError if that cannot be done."""
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise BenchError("a C compiler is needed for the load generator")
        self._binary = directory / "amqpload"
        compiled = subprocess.run(
            [compiler, "-O2", "-o", self._binary, SOURCE],
            capture_output=True,
            text=True,
            check=False,
        )
        if compiled.returncode:
            raise BenchError(f"{SOURCE.name} does not compile:\n{compiled.stderr}")

    def run(
        self, port: int, *options: object, timeout_seconds: float
    ) -> dict[str, float]:
        """Run once against 127.0.0.1:`port`: counts, rates per second, latencies.

        Raises BenchError when it fails or takes longer than `timeout_seconds`.
        """
        command = [str(self._binary), "--port", str(port), *map(str, options)]
        try:
            ran = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"not done after {timeout_seconds:.0f} s") from error
        if ran.returncode:
            raise BenchError(ran.stderr.strip() or f"status {ran.returncode}")
        figures: dict[str, float] = json.loads(ran.stdout)
        return figures

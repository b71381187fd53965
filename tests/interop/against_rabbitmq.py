"""Run tests against a RabbitMQ of our own: `make interop-rabbitmq`.

The arguments go to pytest. What only Warren has is skipped. Status 2 without RabbitMQ.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.errors import BenchError
from tests.bench.rabbitmq import RabbitMQ


def main() -> int:
    """Pytest's exit status."""
    with TemporaryDirectory(prefix="warren-rabbitmq-") as name:
        try:
            with RabbitMQ(Path(name)) as node:
                url = f"amqp://guest:guest@127.0.0.1:{node.port}/"
                environment = os.environ | {"WARREN_TEST_URL": url}
                command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
                return subprocess.run(command, env=environment, check=False).returncode
        except BenchError as error:
            print(f"interop-rabbitmq: {error}", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())

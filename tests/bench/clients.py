"""Client libraries beside each other, against one broker: `make bench-clients`.

Each measurement is a process of its own, see `client_run`; the clients take turns, and
all of them have the same broker, in memory. Wanted: three times aio-pika, twice pika.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import trio
from rich.console import Console
from rich.table import Table

import warren
from tests.bench.rabbitmq import RabbitMQ
from tests.bench.warren import Warren

QUEUE: Final = "bench.clients"
CLIENTS: Final = ("warren", "aio-pika", "pika")
TASKS: Final = ("publish", "consume")
TITLES: Final = {
    "publish": "publish with confirms",
    "consume": "consume, ack each",
}
WANTED: Final = {"aio-pika": 3.0, "pika": 2.0}


def main() -> int:
    """Status 0 when it ran, whatever it found."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.clients")
    parser.add_argument("--count", type=int, default=20_000, help="messages (20000)")
    parser.add_argument("--rounds", type=int, default=3, help="of all clients (3)")
    parser.add_argument("--rabbitmq", action="store_true", help="against a RabbitMQ")
    options = parser.parse_args()
    rates: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    with TemporaryDirectory(prefix="warren-bench-") as name:
        kind = RabbitMQ if options.rabbitmq else Warren
        with kind(Path(name)) as broker:
            url = f"amqp://guest:guest@127.0.0.1:{broker.port}/"
            for number in range(options.rounds):
                for client in CLIENTS[:: -1 if number % 2 else 1]:
                    trio.run(declare, url)
                    for task in TASKS:
                        rate = measure(client, task, url, options.count)
                        rates[client, task].append(rate)
    Console(width=100).print(table(rates, kind.title))
    return 0


async def declare(url: str) -> None:
    """Begin with an empty queue."""
    async with warren.connect(url) as connection:
        await connection.delete_queue(QUEUE)
        await connection.declare_queue(QUEUE, auto_delete=False)


def measure(client: str, task: str, url: str, count: int) -> float:
    """Messages per second."""
    command = [sys.executable, "-m", "tests.bench.client_run", client, task, url, QUEUE]
    said = subprocess.check_output([*command, str(count)], text=True)
    return float(said.split()[-1])


def table(rates: dict[tuple[str, str], list[float]], broker: str) -> Table:
    """Medians, and how many times the others'."""
    made = Table(title=f"messages/s, broker: {broker}")
    for column in ("", *CLIENTS, *(f"times {name}" for name in WANTED)):
        made.add_column(column, justify="right")
    for task in TASKS:
        medians = {client: median(rates[client, task]) for client in CLIENTS}
        ratios = {name: medians["warren"] / medians[name] for name in WANTED}
        made.add_row(
            TITLES[task],
            *(f"{medians[client]:,.0f}" for client in CLIENTS),
            *(
                f"{ratios[name]:.1f} {'✓' if ratios[name] >= wanted else '✗'}"
                for name, wanted in WANTED.items()
            ),
        )
    return made


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.bench`, and `python -m tests.bench profile ROW`."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from rich.console import Console

from tests.bench import contest, report
from tests.bench.broker import Attached
from tests.bench.errors import BenchError
from tests.bench.generator import Generator
from tests.bench.profiler import profile
from tests.bench.rabbitmq import RabbitMQ
from tests.bench.rows import ROWS, Row, named
from tests.bench.warren import Warren

if TYPE_CHECKING:
    from tests.bench.broker import Broker

TABLE_WIDTH_MIN: Final = 170
AMQP_PORT: Final = 5672


def main() -> int:
    """Status 0 when it ran, whatever it found; 1 when it could not."""
    # Ended from outside we still stop what we started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = _parser().parse_args()
    with TemporaryDirectory(prefix="warren-bench-") as name:
        try:
            if options.command == "profile":
                _profile(options, Path(name))
            else:
                _compare(options, Path(name))
        except BenchError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure Warren beside RabbitMQ on this machine.",
        epilog="rows: " + ", ".join(row.name for row in ROWS),
    )
    add = parser.add_argument
    add("--rows", type=_rows, default=ROWS, help="only these, with commas between")
    add("--rounds", type=int, default=3, help="measurements of each row (3)")
    add("--secs", type=float, default=3.0, help="length of one measurement (3)")
    add("--only", choices=("warren", "rival"), help="one broker alone")
    add("--warren-port", type=int, help="a Warren that runs already")
    add("--rival-url", help="a RabbitMQ that runs already: amqp://127.0.0.1:5672")
    add("--json", type=Path, metavar="FILE", help="write every sample there")
    commands = parser.add_subparsers(dest="command", metavar="[profile ROW]")
    profiled = commands.add_parser("profile", help="where Warren's time goes")
    profiled.add_argument("row", type=_rows)
    return parser


def _rows(text: str) -> tuple[Row, ...]:
    try:
        return named(text.split(","))
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"no such row: {error.args[0]}") from None


def _profile(options: argparse.Namespace, directory: Path) -> None:
    console = _console()
    for row in options.row:
        profile(Generator(directory), row, options.secs, directory, console)


def _compare(options: argparse.Namespace, directory: Path) -> None:
    console, progress = _console(), Console(stderr=True)
    generator = Generator(directory)
    with ExitStack() as running:
        brokers = _start(options, directory, running, progress)
        status = running.enter_context(progress.status("starting"))
        results = contest.play(
            generator,
            brokers,
            options.rows,
            options.rounds,
            options.secs,
            status.update,
        )
    names = Warren.title, RabbitMQ.title
    lines = report.lines(results, options.rows, *names)
    console.print(report.table(lines, *names))
    console.print(report.noise(results))
    for failure in results.failures:
        console.print(f"[red]failed:[/] {failure}")
    if options.json:
        options.json.write_text(
            report.document(lines, results, options.rounds, options.secs)
        )


def _start(
    options: argparse.Namespace,
    directory: Path,
    running: ExitStack,
    progress: Console,
) -> list[Broker]:
    """The brokers that take part. A rival that cannot start is left out, aloud."""
    brokers: list[Broker] = []
    if options.only != "rival":
        brokers.append(running.enter_context(_warren(options, directory)))
    if options.only != "warren":
        try:
            brokers.append(running.enter_context(_rival(options, directory)))
        except BenchError as error:
            if not brokers:
                raise
            progress.print(f"without {RabbitMQ.title}: {error}")
    return brokers


def _warren(options: argparse.Namespace, directory: Path) -> Broker:
    if options.warren_port:
        return Attached(Warren.title, options.warren_port)
    return Warren(directory)


def _rival(options: argparse.Namespace, directory: Path) -> Broker:
    if options.rival_url:
        return Attached(RabbitMQ.title, urlsplit(options.rival_url).port or AMQP_PORT)
    return RabbitMQ(directory)


def _console() -> Console:
    """Wide enough for the table where the output is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=TABLE_WIDTH_MIN)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.torture.reconnect`: a broker is killed under our client, many times.

SIGKILL and a new process on the same data, again and again, while publishers and
consumers go on through one connection each. In every life something must be confirmed
and something consumed before the next kill: so all of them have found back. At the end
nothing that was confirmed may be missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

import attrs
import trio

import warren
from tests.interop.serving import Serving

QUEUE: Final = "torture.reconnect"
PROGRESS: Final = 50
"""Messages that each life must confirm, and deliver, before it is ended."""
LIFE_SECONDS_MAX: Final = 60.0
AT_ONCE: Final = 20


class TortureError(Exception):
    """A promise was broken."""


@attrs.define
class Figures:
    """What happened."""

    restarts: int = 0
    reconnects: int = 0
    confirmed: set[int] = attrs.field(factory=set, repr=len)
    seen: set[int] = attrs.field(factory=set, repr=len)
    unconfirmed: int = 0
    deliveries: int = 0
    duplicates: int = 0
    stale: int = 0


class Torture:
    """One broker's lives, and those who use it."""

    def __init__(self, broker: Serving, restarts: int, unconfirmed: str) -> None:
        self.figures = Figures()
        self._broker = broker
        self._restarts = restarts
        self._policy = warren.Reconnect(
            first_seconds=0.05,
            most_seconds=0.5,
            unconfirmed=unconfirmed,  # type: ignore[arg-type]
        )
        self._number = 0
        self._progress = trio.Condition()
        self._life = [0, 0]  # confirmed and delivered since the broker began

    async def run(self) -> None:
        """Raises `TortureError`."""
        async with (
            warren.connect(self._broker.url, reconnect=self._policy) as publishing,
            warren.connect(self._broker.url, reconnect=self._policy) as consuming,
        ):
            await publishing.declare_queue(QUEUE, durable=True)
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(self._consume, consuming)
                async with trio.open_nursery() as publishers:
                    for seed in range(AT_ONCE):
                        publishers.start_soon(self._publish, publishing, Random(seed))
                    await self._kill_again_and_again()
                    publishers.cancel_scope.cancel()
                await self._wait_seen()
                nursery.cancel_scope.cancel()
            for connection in (publishing, consuming):
                await connection.wait_connected()  # deliveries come a little earlier
            self.figures.reconnects = min(publishing.connects, consuming.connects) - 1
        if self.figures.reconnects < self._restarts:
            raise TortureError(f"{self.figures.reconnects} reconnects")

    async def _kill_again_and_again(self) -> None:
        for _ in range(self._restarts):
            await self._wait_progress()
            await trio.to_thread.run_sync(self._broker.kill)
            await trio.to_thread.run_sync(self._broker.start_again)
            self._life = [0, 0]
            self.figures.restarts += 1
        await self._wait_progress()

    async def _wait_progress(self) -> None:
        with trio.move_on_after(LIFE_SECONDS_MAX):
            async with self._progress:
                while min(self._life) < PROGRESS:
                    await self._progress.wait()
            return
        raise TortureError(f"no progress in this life: {self._life}; {self.figures}")

    async def _wait_seen(self) -> None:
        with trio.move_on_after(LIFE_SECONDS_MAX):
            async with self._progress:
                while not self.figures.confirmed <= self.figures.seen:
                    await self._progress.wait()
            return
        lost = self.figures.confirmed - self.figures.seen
        raise TortureError(f"{len(lost)} confirmed messages are lost: {min(lost)} ...")

    async def _publish(self, connection: warren.Connection, random: Random) -> None:
        while True:
            self._number += 1
            number = self._number
            try:
                await connection.publish(
                    [number, "x" * random.randrange(300)], routing_key=QUEUE
                )
            except warren.Unconfirmed:
                self.figures.unconfirmed += 1
                continue
            self.figures.confirmed.add(number)
            await self._note(0)

    async def _consume(self, connection: warren.Connection) -> None:
        async with connection.consume(QUEUE, prefetch=20) as consumer:
            async for delivery in consumer:
                number = delivery.value[0]
                self.figures.deliveries += 1
                self.figures.duplicates += number in self.figures.seen
                self.figures.seen.add(number)
                try:
                    delivery.ack()
                except warren.StaleDelivery:
                    self.figures.stale += 1
                await self._note(1)

    async def _note(self, what: int) -> None:
        self._life[what] += 1
        async with self._progress:
            self._progress.notify_all()


def torture(data_dir: Path, restarts: int, unconfirmed: str) -> Figures:
    """Restart a broker so many times. Raises `TortureError`."""
    with Serving("--log-level", "error", data_dir=data_dir) as broker:
        made = Torture(broker, restarts, unconfirmed)
        trio.run(made.run)
    return made.figures


def main() -> int:
    """Status 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.reconnect")
    parser.add_argument("--restarts", type=int, default=50, help="of the broker (50)")
    options = parser.parse_args()
    for unconfirmed in ("raise", "resend"):
        with TemporaryDirectory(prefix="warren-torture-") as name:
            try:
                figures = torture(Path(name), options.restarts, unconfirmed)
            except* TortureError as group:
                print(f"torture: {unconfirmed}: {group.exceptions}", file=sys.stderr)
                sys.exit(1)
        print(f"torture: {unconfirmed}: {figures}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A slow disk: every sync takes long, and nobody but publishers notices."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Self, final

import pika
from pika.exceptions import AMQPError

from tests.torture.process import strace_missing
from tests.torture.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

SYNC_SECONDS: Final = 0.2
SLOW: Final = f"fdatasync,fsync:delay_enter={SYNC_SECONDS * 1e6:.0f}"
ANSWER_SECONDS: Final = 10.0  # for the last confirms
ROUND_TRIP_SECONDS_MAX: Final = 1.0
HEARTBEAT_SECONDS: Final = 1


@final
class SlowDisk(Trial):
    """One life. All confirms come, heartbeats and transient messages do not wait."""

    ENDS = ("slow disk",)

    @classmethod
    def missing(cls) -> str | None:
        return strace_missing()

    def run(self, seconds: float, ends: Collection[str]) -> None:
        data_dir = self.directory / "data"
        self.ledger.begin_life("slow disk")
        with self.broker(data_dir, SLOW) as process:
            self.require_ready(process)
            with (
                Watch(process.url) as watch,
                self.load(process.url, consumes=True) as load,
            ):
                time.sleep(seconds)
                rate = self.ledger.confirmed / seconds
                if missing := load.pause(ANSWER_SECONDS):
                    self.wrong.append(f"slow disk: {missing} confirms never came")
            self.wrong += [f"slow disk: {text}" for text in watch.complaints()]
            if process.is_over:
                self.wrong.append(f"slow disk: it ended: {process.last_words()}")
            process.kill()
        self.ends["slow disk"] += 1
        self.facts.append(
            f"{rate:,.0f} confirms/s with syncs of {SYNC_SECONDS * 1000:.0f} ms;"
            f" slowest round trip of a transient message {watch.worst * 1000:.0f} ms"
        )
        self.finish(data_dir)


@final
class Watch:
    """Clients that have nothing to do with the disk.

    One is idle and lives by heartbeats; the other sends itself transient messages.

    Attributes:
        worst: the longest round trip in seconds.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url}?heartbeat={HEARTBEAT_SECONDS}"
        self._stopping = threading.Event()
        self._lost: list[str] = []
        self._trips = 0
        self.worst = 0.0
        self._threads = [
            threading.Thread(target=self._run, args=(work,))
            for work in (self._idle, self._talk)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def complaints(self) -> list[str]:
        """Return what should not have been, after the end."""
        late = self.worst > ROUND_TRIP_SECONDS_MAX or not self._trips
        found = f"a transient message took {self.worst:.1f} s ({self._trips} came)"
        return [*self._lost, *([found] if late else [])]

    def _run(self, work: Callable[[pika.BlockingConnection], None]) -> None:
        try:
            with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
                work(connection)
        except (AMQPError, OSError) as error:
            self._lost.append(f"a connection was lost: {error!r}")

    def _idle(self, connection: pika.BlockingConnection) -> None:
        while not self._stopping.is_set():
            connection.process_data_events(0.1)

    def _talk(self, connection: pika.BlockingConnection) -> None:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        came = channel.consume(queue, auto_ack=True, inactivity_timeout=5.0)
        while not self._stopping.is_set():
            sent = time.monotonic()
            channel.basic_publish("", queue, b"ping")
            method, _, _ = next(came)
            self._trips += method is not None
            self.worst = max(self.worst, time.monotonic() - sent)
            connection.sleep(0.02)

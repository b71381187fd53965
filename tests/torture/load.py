"""Clients that publish and consume until the broker is gone, or they are told."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self, final

import pika
from pika.exceptions import AMQPError

from tests.torture.ledger import EXCHANGE, QUEUES, Given
from tests.torture.publisher import Publisher
from tests.torture.streams import Appender, open_stream, read_along

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingChannel

    from tests.torture.ledger import Ledger
    from tests.torture.records import RecordLedger

PREFETCH: Final = 50
JOIN_SECONDS: Final = 30.0
END: Final = b"end"


@final
class Load:
    """Publishers, and one consumer a queue, each in a thread and on a connection.

    Half as many append to a stream, which one reads. Without consumers much is left in
    the queues, for the next life to remember. As a context manager it joins them all.
    """

    def __init__(
        self,
        url: str,
        ledger: Ledger,
        records: RecordLedger,
        publishers: int,
        *,
        consumes: bool,
    ) -> None:
        self._url = url
        self._ledger = ledger
        self._records = records
        self._stopping = threading.Event()
        self._publishers: list[Publisher] = []
        self._threads: list[threading.Thread] = []
        with suppress(AMQPError, OSError):  # it may be over before it began
            connect(url).connection.close()
            open_stream(url, records).connection.close()
            self._publishers = [
                *(Publisher(url, ledger, n) for n in range(publishers)),
                *(Appender(url, records, n) for n in range((publishers + 1) // 2)),
            ]
        for publisher in self._publishers:
            self._start(publisher.run)
        if self._publishers:
            self._start(read_along, url, records, self._stopping.is_set)
        if consumes:
            self.consume()

    def consume(self) -> None:
        """Begin to consume as well."""
        for queue in QUEUES:
            self._start(self._consume, queue)

    def pause(self, seconds: float) -> int:
        """Let no more be published; return how many have no answer after `seconds`."""
        for publisher in self._publishers:
            publisher.stop()
        until = time.monotonic() + seconds
        while (waiting := self.waiting) and time.monotonic() < until:
            time.sleep(0.01)
        return waiting

    def join(self) -> None:
        """Let all end, which they do at once when the broker is gone."""
        self._stopping.set()
        for publisher in self._publishers:
            publisher.close()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    @property
    def waiting(self) -> int:
        """How many messages have no answer yet."""
        return sum(publisher.waiting for publisher in self._publishers)

    @property
    def blocked(self) -> int:
        """How many publishers have been told that they are blocked."""
        return sum(publisher.is_blocked for publisher in self._publishers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """After an error nobody waits: whoever kills the broker ends them."""
        if kind is None:
            self.join()
        self._stopping.set()

    def _start(self, work, *arguments) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001, ANN002
        thread = threading.Thread(
            target=self._run, args=(work, *arguments), daemon=True
        )
        thread.start()
        self._threads.append(thread)

    def _run(self, work, *arguments) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001, ANN002
        with suppress(AMQPError, OSError):
            work(*arguments)

    def _consume(self, queue: str) -> None:
        channel = connect(self._url)
        channel.basic_qos(prefetch_count=PREFETCH)
        held: list[Given] = []
        for method, _, body in channel.consume(queue, inactivity_timeout=0.1):
            if self._stopping.is_set():
                break
            if method is None:
                continue
            held.append(Given(queue, body, method.redelivered))
            self._ledger.see(held[-1])
            if method.delivery_tag % 3 == 0:
                self._ledger.settle(queue, [given.key for given in held])
                channel.basic_ack(method.delivery_tag, multiple=True)
                held.clear()
        channel.connection.close()


def connect(url: str) -> BlockingChannel:
    """Return a channel of a connection of its own, with all declared."""
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.exchange_declare(EXCHANGE, "fanout", durable=True)
    for queue in QUEUES:
        channel.queue_declare(queue, durable=True)
        channel.queue_bind(queue, EXCHANGE)
    return channel


def drained(url: str) -> Iterator[Given]:
    """Take all that is left. Nobody else may consume."""
    channel = connect(url)
    for queue in QUEUES:
        channel.basic_publish("", queue, END)  # it comes behind all others
        for method, _, body in channel.consume(queue, auto_ack=True):
            if body == END:
                break
            yield Given(queue, body, method.redelivered)
        channel.cancel()
    channel.connection.close()


def drain(url: str, ledger: Ledger) -> int:
    """Enter all that is left; return how many messages there were."""
    count = 0
    for count, given in enumerate(drained(url), 1):  # noqa: B007
        ledger.see(given)
        ledger.settle(given.queue, [given.key])
    return count

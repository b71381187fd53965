"""Clients that publish and consume until the broker is gone."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, final

import pika
from pika.exceptions import AMQPError

from tests.torture.ledger import EXCHANGE, QUEUES, body_of

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

    from tests.torture.ledger import Ledger

PREFETCH = 50
JOIN_SECONDS = 30.0
QUIET_SECONDS = 1.0  # a queue that gives nothing for so long is empty


@final
class Load:
    """Publishers, and one consumer a queue, each in a thread and on a connection.

    Without consumers much is left in the queues, for the next life to remember.
    """

    def __init__(
        self, url: str, ledger: Ledger, publishers: int, *, consumes: bool
    ) -> None:
        self._url = url
        self._ledger = ledger
        self._stopping = threading.Event()
        targets = [(self._publish, number) for number in range(publishers)]
        self._threads = [
            threading.Thread(target=self._run, args=each) for each in targets
        ]
        self._threads += [
            threading.Thread(target=self._run, args=(self._consume, queue))
            for queue in QUEUES
            if consumes
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """The broker is gone: all have noticed, or will."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def _run(self, work, argument) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
        with suppress(AMQPError, OSError):
            work(connect(self._url), argument)

    def _publish(self, channel: BlockingChannel, publisher: int) -> None:
        channel.confirm_delivery()
        persistent = pika.BasicProperties(delivery_mode=2)
        while not self._stopping.is_set():
            number = self._ledger.next_number(publisher)
            channel.basic_publish(EXCHANGE, "", body_of(publisher, number), persistent)
            self._ledger.confirm(publisher, number)

    def _consume(self, channel: BlockingChannel, queue: str) -> None:
        channel.basic_qos(prefetch_count=PREFETCH)
        for method, _, body in channel.consume(queue, inactivity_timeout=0.1):
            if self._stopping.is_set():
                return
            if method is not None:
                self._ledger.see(queue, body, redelivered=method.redelivered)
                if method.delivery_tag % 3 == 0:
                    channel.basic_ack(method.delivery_tag, multiple=True)


def connect(url: str) -> BlockingChannel:
    """Return a channel of a connection of its own, with all declared."""
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.exchange_declare(EXCHANGE, "fanout", durable=True)
    for queue in QUEUES:
        channel.queue_declare(queue, durable=True)
        channel.queue_bind(queue, EXCHANGE)
    return channel


def drain(url: str, ledger: Ledger) -> int:
    """Take all that is left; return how many messages there were."""
    channel, count = connect(url), 0
    for queue in QUEUES:
        for method, _, body in channel.consume(
            queue, inactivity_timeout=QUIET_SECONDS, auto_ack=True
        ):
            if method is None:
                break
            ledger.see(queue, body, redelivered=method.redelivered)
            count += 1
        channel.cancel()
    channel.connection.close()
    return count

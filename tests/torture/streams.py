"""Clients of a stream: who appends to it, who reads along, who reads all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import pika

from tests.torture.publisher import Publisher
from tests.torture.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pika.adapters.blocking_connection import BlockingChannel
    from pika.channel import Channel

    from tests.torture.records import RecordLedger

PREFETCH: Final = 200
GROUP: Final = "torture"
ACKS: Final = 7  # at once


@final
class Appender(Publisher):
    """Appends records, which are numbered: first those that nobody has confirmed."""

    _ledger: RecordLedger  # type: ignore[assignment]

    def __init__(self, url: str, ledger: RecordLedger, number: int) -> None:
        super().__init__(url, ledger, number)  # type: ignore[arg-type]
        self._stream = ledger.stream
        self._again = ledger.unconfirmed(number)[::-1]

    def _next_number(self) -> int:
        if self._again:
            return self._again.pop()
        return self._ledger.next_number(self._number)

    def _send(self, channel: Channel, number: int) -> None:
        headers = {"x-producer-id": f"p{self._number}", "x-producer-seq": number}
        properties = pika.BasicProperties(delivery_mode=2, headers=headers)
        body = self._ledger.body_of(self._number, number)
        channel.basic_publish("", self._stream, body, properties)


def open_stream(url: str, ledger: RecordLedger) -> BlockingChannel:
    """Return a channel of a connection of its own, with the stream declared."""
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.queue_declare(ledger.stream, durable=True, arguments=ledger.arguments)
    channel.basic_qos(prefetch_count=PREFETCH)
    return channel


def read_along(url: str, ledger: RecordLedger, is_over: Callable[[], bool]) -> None:
    """Be all of a group, which goes on where it has come to."""
    channel = open_stream(url, ledger)
    arguments = {"x-group": GROUP, "x-stream-offset": "first"}
    is_first, stream = True, ledger.stream
    came = channel.consume(stream, arguments=arguments, inactivity_timeout=0.1)
    for method, properties, body in came:
        if is_over():
            break
        if method is None:
            continue
        offset = properties.headers["x-stream-offset"]
        if is_first:
            ledger.begin_group(offset)
            is_first = False
        ledger.see(Record(offset, body))
        if method.delivery_tag % ACKS == 0:
            ledger.ack(offset)
            channel.basic_ack(method.delivery_tag, multiple=True)
    channel.connection.close()


def records_of(url: str, ledger: RecordLedger, stream: str) -> Iterator[Record]:
    """Read all that is there, from the first on. Nobody may append meanwhile."""
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.basic_qos(prefetch_count=PREFETCH)
    arguments = ledger.arguments
    declared = channel.queue_declare(stream, durable=True, arguments=arguments)
    left = declared.method.message_count
    if left:
        consume = {"x-stream-offset": "first"}
        came = channel.consume(stream, auto_ack=True, arguments=consume)
        for _, properties, body in came:
            yield Record(properties.headers["x-stream-offset"], body)
            left -= 1
            if not left:
                break
        channel.cancel()
    channel.connection.close()


def audit(url: str, ledger: RecordLedger) -> None:
    """Read all, enter what is wrong; begin another stream if it is long."""
    before = ledger.moment()
    found = list(records_of(url, ledger, before.stream))
    ledger.enter(ledger.judge(before, found))
    for record in found:
        ledger.see(record)
    if ledger.is_long:
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            connection.channel().queue_delete(before.stream)
        ledger.begin_stream()

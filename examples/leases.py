"""Leases: a message belongs to its worker for some time, and that can be longer.

Who has not acknowledged a message when its lease ends loses that message, and nothing
else: another worker gets it. Who needs longer says so on the channel that the message
came on, as often as it takes. So the lease can be short, and still a task take hours.

    python examples/leases.py [URL]

Leases are Warren's own; other brokers close the channel of whoever takes too long.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pika

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

URL = "amqp://guest:guest@127.0.0.1:5672/"
QUEUE = "example.leases"
LEASE_MS = 1_000
MINUTE_MS = 60_000


def extend(channel: BlockingChannel, delivery_tag: int, milliseconds: int) -> None:
    """Let the lease end that long from now."""
    headers = {"delivery-tag": delivery_tag, "ms": milliseconds}
    channel.basic_publish(
        "amq.lease", "extend", b"", pika.BasicProperties(headers=headers)
    )


def main(url: str = URL) -> None:
    """Three workers, each with a channel of its own."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel, careful, hung, heir = (connection.channel() for _ in range(4))
        careful.confirm_delivery()  # now `extend` raises NackError if it came too late
        channel.queue_declare(QUEUE, arguments={"x-consumer-timeout": LEASE_MS})
        for task in ("the yearly report", "the backup"):
            channel.basic_publish("", QUEUE, task.encode())

        report, _, body = careful.basic_get(QUEUE)
        extend(careful, report.delivery_tag, MINUTE_MS)
        print(f"the careful worker has {body.decode()}, and a minute more")
        _, _, body = hung.basic_get(QUEUE)
        print(f"the hung worker has {body.decode()}, and is heard of no more")

        for method, _, body in heir.consume(QUEUE):
            print(f"the third worker gets {body.decode()} a second later")
            heir.basic_ack(method.delivery_tag)
            break
        careful.basic_ack(report.delivery_tag)
        left = channel.queue_delete(QUEUE).method.message_count
        print(f"all is done, {left} tasks are left")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Delayed retry: what has failed is tried again later, and not for ever.

The worker gives a job back, and the queue makes it wait: longer after each attempt, so
that a service that is down is not asked a thousand times a second. Other jobs go on
meanwhile. What has failed too often goes to a queue where somebody can look at it.

    python examples/delayed_retry.py [URL]

The arguments are those of RabbitMQ 4.3's quorum queues; here every queue has them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pika

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel
    from pika.spec import Basic

URL = "amqp://guest:guest@127.0.0.1:5672/"
QUEUE, GIVEN_UP = "example.mails", "example.mails.given-up"
ARGUMENTS = {
    "x-delayed-retry-type": "all",
    "x-delayed-retry-min": 100,  # milliseconds, times the attempts so far
    "x-delayed-retry-max": 5_000,
    "x-delivery-limit": 2,  # a third time back is once too often
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": GIVEN_UP,
}
WORKS_AT_ATTEMPT = {"a mail to Ada": 1, "a mail to Grace": 3, "a mail to nobody": 99}


def main(url: str = URL) -> None:
    """Send mails until each of them has been sent or given up."""
    waiting = set(WORKS_AT_ATTEMPT)

    def on_mail(
        channel: BlockingChannel,
        method: Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        mail = body.decode()
        attempt = (properties.headers or {}).get("x-delivery-count", 0) + 1
        if attempt < WORKS_AT_ATTEMPT[mail]:
            print(f"{mail}: attempt {attempt} has failed")
            channel.basic_nack(method.delivery_tag)  # back to the queue, which waits
        else:
            print(f"{mail}: attempt {attempt} has worked")
            channel.basic_ack(method.delivery_tag)
            settle(channel, mail)

    def on_given_up(
        channel: BlockingChannel,
        method: Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        reason = (properties.headers or {})["x-first-death-reason"]
        print(f"{body.decode()}: given up ({reason})")
        channel.basic_ack(method.delivery_tag)
        settle(channel, body.decode())

    def settle(channel: BlockingChannel, mail: str) -> None:
        waiting.remove(mail)
        if not waiting:
            channel.stop_consuming()

    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(GIVEN_UP)
        channel.queue_declare(QUEUE, arguments=ARGUMENTS)
        for mail in WORKS_AT_ATTEMPT:
            channel.basic_publish("", QUEUE, mail.encode())
        channel.basic_consume(QUEUE, on_mail)
        channel.basic_consume(GIVEN_UP, on_given_up)
        channel.start_consuming()
        channel.queue_delete(QUEUE)
        channel.queue_delete(GIVEN_UP)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Ordered keys: many workers, and what belongs together stays in order.

What happens to one order must be handled one after the other, but different orders can
be handled at the same time. The queue is told what a message belongs to, here a header,
and lets one message of each key out at a time. So any number of workers can share it.

    python examples/ordered_keys.py [URL]

Grouped queues are Warren's own; with other brokers it takes a queue for each worker.
"""

from __future__ import annotations

import sys
from threading import Thread

import pika

URL = "amqp://guest:guest@127.0.0.1:5672/"
QUEUE = "example.orders"
ORDERS = ["order 1", "order 2", "order 3", "order 4"]
STEPS = ["created", "paid", "packed", "shipped"]


def produce(url: str) -> None:
    """Let all orders go through all steps."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, arguments={"x-group-by": "header:order"})
        channel.confirm_delivery()
        for step in STEPS:
            for order in ORDERS:
                properties = pika.BasicProperties(headers={"order": order})
                channel.basic_publish("", QUEUE, step.encode(), properties)


def work(url: str, handled: dict[str, list[str]]) -> None:
    """Handle steps until none has come for a while."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=10)  # of ten different orders
        for method, properties, body in channel.consume(QUEUE, inactivity_timeout=0.5):
            if method is None:
                return
            handled[properties.headers["order"]].append(body.decode())
            channel.basic_ack(method.delivery_tag)  # now the next step can come


def main(url: str = URL) -> None:
    """Produce, then let three workers at it."""
    handled: dict[str, list[str]] = {order: [] for order in ORDERS}
    produce(url)
    workers = [Thread(target=work, args=(url, handled)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for order, steps in handled.items():
        print(f"{order}: {', '.join(steps)}")
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().queue_delete(QUEUE)


if __name__ == "__main__":
    main(*sys.argv[1:])

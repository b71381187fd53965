"""Log aggregation: many write to one stream, and each reads what it is about.

A service numbers its lines. If it does not know whether the last ones have arrived it
sends them again, and the stream has each line once. The level is the filter value, so
who wants errors is sent errors and nothing else.

    python examples/log_aggregation.py [URL]

With RabbitMQ it takes the stream protocol for numbers and filters; here any client.
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import islice
from threading import Thread

from warren import blocking

URL = "amqp://guest:guest@127.0.0.1:5672/"
STREAM = "example.logs"
SERVICES = {
    "shop": ["info began", "error no tea left", "info went on"],
    "mail": ["info began", "info sent 3", "error no such user"],
    "bank": ["info began", "info is closed"],
}


def write(url: str, service: str) -> None:
    """Send all lines, and then again those whose confirms were lost, it is said."""
    with blocking.connect(url) as connection:
        lines = list(enumerate(SERVICES[service]))
        for number, line in lines + lines[-2:]:
            headers = {
                "x-producer-id": service,
                "x-producer-seq": number,
                "x-stream-filter-value": line.split()[0],
            }
            connection.publish(
                f"{service}: {line}", routing_key=STREAM, headers=headers
            )


def main(url: str = URL) -> None:
    """All write at the same time."""
    with blocking.connect(url) as connection:
        connection.declare_queue(
            STREAM, durable=True, queue_type="stream", max_age="7D"
        )
        writers = [Thread(target=write, args=(url, service)) for service in SERVICES]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        count = connection.declare_queue(STREAM, passive=True).message_count
        with connection.consume(STREAM, offset="first", no_ack=True) as lines:
            services = Counter(
                line.value.split(":")[0] for line in islice(lines, count)
            )
        for service in SERVICES:
            print(f"{service} has written {services[service]} lines")

        errors = {"x-stream-filter": "error"}
        with connection.consume(STREAM, offset="first", arguments=errors) as lines:
            for line in islice(lines, 2):
                with line:
                    print(line.value)
        connection.delete_queue(STREAM)


if __name__ == "__main__":
    main(*sys.argv[1:])

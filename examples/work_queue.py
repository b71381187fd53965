"""Work queue: jobs that several workers share, and none is lost.

The producer waits for the broker's confirm of each job. A worker takes one job at a
time (prefetch) and acknowledges it when it is done. One of the workers breaks down over
its first job: it goes away without an acknowledgement, and the broker gives the job to
another worker.

    python examples/work_queue.py [URL]
"""

from __future__ import annotations

import sys
from threading import Thread

import pika

URL = "amqp://guest:guest@127.0.0.1:5672/"
QUEUE = "example.jobs"
JOBS = [f"job {number}" for number in range(1, 7)]


def produce(url: str) -> None:
    """Put all jobs into the queue."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        channel.confirm_delivery()  # from now on basic_publish waits, and may raise
        for job in JOBS:
            channel.basic_publish("", QUEUE, job.encode(), mandatory=True)
        print(f"{len(JOBS)} jobs are safe with the broker")


def work(url: str, name: str, *, breaks_down: bool = False) -> None:
    """Do jobs until none has come for a while."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        for method, _, body in channel.consume(QUEUE, inactivity_timeout=0.5):
            if method is None:
                return
            if breaks_down:
                print(f"{name} breaks down over {body.decode()}")
                return
            again = ", which another had begun" if method.redelivered else ""
            say(f"{name} does {body.decode()}{again}")
            channel.basic_ack(method.delivery_tag)


def say(text: str) -> None:
    """Print a line in one piece: the workers are threads."""
    sys.stdout.write(f"{text}\n")


def main(url: str = URL) -> None:
    """Produce, then let the workers at it."""
    produce(url)
    work(url, "the unlucky worker", breaks_down=True)
    workers = [Thread(target=work, args=(url, f"worker {n}")) for n in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main(*sys.argv[1:])

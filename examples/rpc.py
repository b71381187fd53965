"""Question and answer: direct reply-to.

The client consumes the pseudo-queue `amq.rabbitmq.reply-to` and names it in its
questions. The broker makes of it an address that leads back to the client's channel, so
that an answer needs no queue. The correlation id says which question it belongs to.

    python examples/rpc.py [URL]
"""

from __future__ import annotations

import sys
from threading import Thread
from typing import TYPE_CHECKING

import pika

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel
    from pika.spec import Basic

URL = "amqp://guest:guest@127.0.0.1:5672/"
QUEUE = "example.squares"
REPLY_TO = "amq.rabbitmq.reply-to"
QUESTIONS = [1, 2, 3, 12]


def serve(url: str) -> None:
    """Answer as many questions as will be asked."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE)
        for number, (method, asked, body) in enumerate(channel.consume(QUEUE), 1):
            channel.basic_publish(
                exchange="",
                routing_key=asked.reply_to,
                properties=pika.BasicProperties(correlation_id=asked.correlation_id),
                body=str(int(body) ** 2).encode(),
            )
            channel.basic_ack(method.delivery_tag)
            if number == len(QUESTIONS):
                break
        channel.queue_delete(QUEUE)


def ask(url: str) -> None:
    """Ask all questions at once, then print each answer as it comes."""
    answers: dict[str, str] = {}

    def on_answer(
        _channel: BlockingChannel,
        _method: Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        answers[properties.correlation_id or ""] = body.decode()

    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE)
        # No queue, so nothing to acknowledge; and it must be there before the question.
        channel.basic_consume(REPLY_TO, on_answer, auto_ack=True)
        for number in QUESTIONS:
            text = str(number)
            properties = pika.BasicProperties(reply_to=REPLY_TO, correlation_id=text)
            channel.basic_publish("", QUEUE, text.encode(), properties)
        while len(answers) < len(QUESTIONS):
            connection.process_data_events(time_limit=None)
    for question, answer in answers.items():
        print(f"{question} squared is {answer}")


def main(url: str = URL) -> None:
    """Serve in a thread, ask here."""
    server = Thread(target=serve, args=(url,))
    server.start()
    ask(url)
    server.join()


if __name__ == "__main__":
    main(*sys.argv[1:])

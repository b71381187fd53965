"""pika's SelectConnection: everything by callback on its own loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByClient

if TYPE_CHECKING:
    from pika.channel import Channel

pytestmark = pytest.mark.interop

MESSAGES = 1_000
TIMEOUT_SECONDS = 20


@final
class Session:
    """Publishes and consumes MESSAGES at once; then asks for what is not there."""

    def __init__(self, url: str, queue: str) -> None:
        self.queue = queue
        self.acked = 0
        self.bodies: list[int] = []
        self.channel_error: BaseException | None = None
        self.connection_error: BaseException | None = None
        self.connection = pika.SelectConnection(
            pika.URLParameters(url),
            on_open_callback=lambda connection: connection.channel(
                on_open_callback=self.on_channel
            ),
            on_open_error_callback=self.on_closed,
            on_close_callback=self.on_closed,
        )

    def run(self) -> None:
        """Run the loop until the connection is closed, or the time is up."""
        self.connection.ioloop.call_later(TIMEOUT_SECONDS, self.connection.ioloop.stop)
        self.connection.ioloop.start()
        self.connection.ioloop.close()

    def on_channel(self, channel: Channel) -> None:
        self.channel = channel
        channel.add_on_close_callback(self.on_channel_closed)
        channel.confirm_delivery(self.on_confirm)
        channel.queue_declare(
            self.queue, exclusive=True, callback=lambda _: self.on_queue()
        )

    def on_queue(self) -> None:
        self.channel.basic_qos(prefetch_count=50)
        self.channel.basic_consume(self.queue, self.on_message)
        for number in range(MESSAGES):
            self.channel.basic_publish("", self.queue, str(number).encode())

    def on_confirm(self, frame: pika.frame.Method) -> None:
        assert isinstance(frame.method, pika.spec.Basic.Ack)
        tag = frame.method.delivery_tag
        self.acked = max(self.acked, tag) if frame.method.multiple else self.acked + 1
        self.finish()

    def on_message(
        self,
        channel: Channel,
        method: pika.spec.Basic.Deliver,
        _: pika.BasicProperties,
        body: bytes,
    ) -> None:
        self.bodies.append(int(body))
        channel.basic_ack(method.delivery_tag)
        self.finish()

    def finish(self) -> None:
        if len(self.bodies) == self.acked == MESSAGES:
            self.channel.queue_declare(f"{self.queue}.none", passive=True)

    def on_channel_closed(self, _: Channel, error: BaseException) -> None:
        self.channel_error = error
        self.connection.close()

    def on_closed(self, _: pika.SelectConnection, error: BaseException) -> None:
        self.connection_error = error
        self.connection.ioloop.stop()


def test_a_session_by_callbacks(amqp_url: str, name: str) -> None:
    session = Session(amqp_url, name)
    session.run()
    assert session.bodies == list(range(MESSAGES))
    assert isinstance(session.channel_error, ChannelClosedByBroker)
    assert session.channel_error.reply_code == 404
    assert isinstance(session.connection_error, ConnectionClosedByClient)
    assert session.connection_error.reply_code == 200


def test_a_queue_deleted_cancels_its_consumer(amqp_url: str, name: str) -> None:
    cancelled: list[str] = []

    def on_channel(channel: Channel) -> None:
        channel.queue_declare(name, callback=lambda _: on_queue(channel))

    def on_queue(channel: Channel) -> None:
        channel.add_on_cancel_callback(on_cancel)
        channel.basic_consume(
            name,
            lambda *_: None,
            consumer_tag="mine",
            callback=lambda _: channel.queue_delete(name),
        )

    def on_cancel(frame: pika.frame.Method) -> None:
        cancelled.append(frame.method.consumer_tag)
        connection.close()

    connection = pika.SelectConnection(
        pika.URLParameters(amqp_url),
        on_open_callback=lambda opened: opened.channel(on_open_callback=on_channel),
        on_close_callback=lambda *_: connection.ioloop.stop(),
    )
    connection.ioloop.call_later(TIMEOUT_SECONDS, connection.ioloop.stop)
    connection.ioloop.start()
    connection.ioloop.close()
    assert cancelled == ["mine"]

"""Publisher: bursts of messages with confirms, as pika sends them."""

from __future__ import annotations

import threading
from random import Random
from typing import TYPE_CHECKING, Final

import pika
from pika.spec import Basic

from tests.torture.ledger import EXCHANGE, INVENTED

if TYPE_CHECKING:
    from pika.channel import Channel
    from pika.frame import Method

    from tests.torture.ledger import Ledger

BURSTS: Final = (1, 3, 30)
PAUSE_SECONDS_MAX: Final = 0.01
PERSISTENT: Final = pika.BasicProperties(delivery_mode=2)


class Publisher:
    """Sends a burst, waits for its confirms, sends the next. `run` it in a thread.

    Attributes:
        is_blocked: the broker has said so.
    """

    def __init__(self, url: str, ledger: Ledger, number: int) -> None:
        self.is_blocked = False
        self._ledger = ledger
        self._number = number
        self._random = Random()
        self._waiting: dict[int, int] = {}  # delivery tag -> number
        self._tag = 0
        self._stopping = threading.Event()
        self._channel: Channel | None = None
        self._connection = pika.SelectConnection(
            pika.URLParameters(url),
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_closed,
            on_close_callback=self._on_closed,
        )
        self._connection.add_on_connection_blocked_callback(self._on_blocked)
        self._connection.add_on_connection_unblocked_callback(self._on_unblocked)

    @property
    def waiting(self) -> int:
        """How many messages have no answer yet."""
        return len(self._waiting)

    def run(self) -> None:
        """Publish until the connection ends."""
        self._connection.ioloop.start()

    def stop(self) -> None:
        """Publish no more. Callable from any thread."""
        self._stopping.set()

    def close(self) -> None:
        """Stop, and let `run` return. Callable from any thread."""
        self.stop()
        self._connection.ioloop.add_callback_threadsafe(self._close)

    def _close(self) -> None:
        if self._connection.is_open:
            self._connection.close()

    def _on_open(self, _: object) -> None:
        self._connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.confirm_delivery(self._on_confirm, lambda _: self._publish())

    def _publish(self) -> None:
        channel = self._channel
        if self._stopping.is_set() or channel is None or not channel.is_open:
            return
        for _ in range(self._random.choice(BURSTS)):
            number = self._next_number()
            self._tag += 1
            self._waiting[self._tag] = number
            self._send(channel, number)

    def _next_number(self) -> int:
        return self._ledger.next_number(self._number)

    def _send(self, channel: Channel, number: int) -> None:
        body = self._ledger.body_of(self._number, number)
        channel.basic_publish(EXCHANGE, "", body, PERSISTENT)

    def _on_confirm(self, frame: Method) -> None:
        tag, waiting = frame.method.delivery_tag, self._waiting
        tags = [tag]
        if frame.method.multiple:
            tags = [one for one in waiting if one <= tag]
        if tag > self._tag or not all(one in waiting for one in tags):
            self._ledger.note(INVENTED, f"an answer to {tag}, which had no question")
            return
        numbers = [waiting.pop(one) for one in tags]
        if isinstance(frame.method, Basic.Ack):
            self._ledger.confirm(self._number, numbers)
        else:
            self._ledger.refuse(self._number, numbers)
        if not waiting:
            pause = self._random.uniform(0, PAUSE_SECONDS_MAX)
            self._connection.ioloop.call_later(pause, self._publish)

    def _on_blocked(self, *_: object) -> None:
        self.is_blocked = True

    def _on_unblocked(self, *_: object) -> None:
        self.is_blocked = False

    def _on_closed(self, *_: object) -> None:
        self._connection.ioloop.stop()

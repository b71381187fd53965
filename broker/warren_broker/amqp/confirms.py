"""ConfirmLedger: which of a channel's publishes are answered (publisher confirms).

Publishes count from 1 (RabbitMQ's extension to AMQP 0-9-1). What is safe is
confirmed once a batch of input, all of it by one cumulative ack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from warren.wire.frames import encode_method
from warren.wire.methods import BasicAck, BasicNack

if TYPE_CHECKING:
    from warren.wire.outbox import Outbox


@final
class ConfirmLedger:
    """The publish sequence of one channel and how far it is confirmed.

    Attributes:
        published: sequence number of the last publish; all up to it are safe.
        confirmed: sequence number up to which the publisher has its answers.
    """

    __slots__ = ("_channel", "_outbox", "confirmed", "published")

    def __init__(self, channel: int, outbox: Outbox) -> None:
        self._channel = channel
        self._outbox = outbox
        self.confirmed = 0
        self.published = 0

    def refuse(self) -> None:
        """A queue refused the next publish: confirm those before it, nack it."""
        self.flush()
        self.published += 1
        self.confirmed = self.published
        self._send(BasicNack(self.published, multiple=False, requeue=False))

    def flush(self) -> None:
        """Confirm everything that is not answered yet, with one frame."""
        count = self.published - self.confirmed
        if count:
            self.confirmed = self.published
            self._send(BasicAck(self.published, multiple=count > 1))

    def _send(self, method: BasicAck | BasicNack) -> None:
        self._outbox.write(encode_method(self._channel, method))

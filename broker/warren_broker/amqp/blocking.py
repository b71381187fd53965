"""PublishBlock: a publisher that an alarm holds up, from blocked to unblocked.

    waiting    nothing is read from it, as RabbitMQ does it; acks wait as well
    refusing   after `publish_block_deadline_ms`: it is read again, and what it
               publishes on channels with confirms is nacked at once
    waiting    to the end of the alarm, once it publishes where no confirm could say
               that it was refused: that one message is taken, nothing more is read

So whoever asks for confirms gets an answer to every publish, and whoever does not is
never robbed: he waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren.errors import PreconditionFailed
from warren.wire.methods import ConnectionBlocked, ConnectionUnblocked
from warren_broker.amqp.reader import WORK_PER_TURN
from warren_broker.core.deadlines import DeadlineOwner

if TYPE_CHECKING:
    from warren_broker.amqp.channel import ServerChannel
    from warren_broker.amqp.connection import ServerConnection

_MILLISECONDS: Final = 1000.0


def admits(channel: ServerChannel, exchange: str) -> bool:
    """Return whether a publish is taken: the first one, or one that a block refuses.

    From the first one on alarms concern the connection. Raises as
    `PublishBlock.admits`.
    """
    connection = channel.connection
    if connection.block is not None:
        return connection.block.admits(channel, exchange)
    connection.is_publisher = True
    if connection.broker.alarms.reason is not None:
        set_block(connection, connection.broker.alarms.reason)
    return True


def set_block(connection: ServerConnection, reason: str | None) -> None:
    """Hold a publisher up for `reason`, or with None no longer; and tell it."""
    if reason is None:
        if not end_block(connection):
            return
    elif connection.is_publisher and connection.block is None:
        connection.block = PublishBlock(connection)
    else:
        return
    connection.heard_at = connection.broker.now  # if it was silent, we had not listened
    if connection.client.hears_blocked:
        news = ConnectionBlocked(reason) if reason else ConnectionUnblocked()
        connection.send(0, news)
    connection.outbox.nudge()


def end_block(connection: ServerConnection) -> bool:
    """Hold nobody up any more; return whether somebody was."""
    block, connection.block = connection.block, None
    if block is not None:
        block.end()
    return block is not None


@final
class PublishBlock(DeadlineOwner):
    """What blocks one connection; it is there only while an alarm is on.

    Attributes:
        stops_reading: nothing is to be read from the peer.
    """

    __slots__ = (
        "_connection",
        "_is_unheard",
        "_seconds",
        "_ticket",
        "_until",
        "stops_reading",
    )

    def __init__(self, connection: ServerConnection) -> None:
        broker = connection.broker
        self._connection = connection
        self._seconds = broker.limits.publish_block_deadline_ms / _MILLISECONDS
        self._until = broker.now + self._seconds
        self._is_unheard = False  # it publishes what it wants no answer for
        self._ticket = 0
        self.stops_reading = True
        if self._seconds:  # what this turn still says has waited as long
            broker.deadlines.set(self, broker.now)

    def on_deadline(self, now: float) -> None:
        """Take note of what waits; once it has waited too long, give it up."""
        broker = self._connection.broker
        if now >= self._until:
            self._until = now + self._seconds
            self._give_up(now)
        self._ticket = 0 if broker.store is None else broker.store.said
        broker.deadlines.set(self, self._until)

    def admits(self, channel: ServerChannel, exchange: str) -> bool:
        """Return whether a publish is taken; if not, it is answered.

        Raises:
            AccessRefused, NotFound: as publishing would.
            PreconditionFailed: see `check_commit`.
        """
        channel.session.check_publish(exchange)
        if channel.transaction is not None:
            self.check_commit()
        if channel.confirms is None:
            self._wait_to_the_end()
            return True
        channel.confirms.refuse_now()
        return False

    def check_commit(self) -> None:
        """Raise PreconditionFailed if what a transaction publishes is refused."""
        if not self.stops_reading:
            reason = self._connection.broker.alarms.reason
            raise PreconditionFailed(f"publishes are refused: {reason}")

    def end(self) -> None:
        """The alarm is over, or the connection is."""
        self._connection.broker.deadlines.cancel(self)
        self._connection.is_publisher = True

    def _give_up(self, now: float) -> None:
        """Nack what has waited since the last deadline, and refuse from now on."""
        connection = self._connection
        connection.promises.give_up(self._ticket)
        if self.stops_reading and not self._is_unheard:
            self.stops_reading = False
            connection.is_publisher = False  # so that every publish is asked about
            connection.heard_at = now
            connection.outbox.nudge()
            connection.broker.notice(
                "publishes refused",
                peer=connection.peer.address,
                reason=connection.broker.alarms.reason,
            )

    def _wait_to_the_end(self) -> None:
        self._is_unheard = self.stops_reading = True
        self._connection.is_publisher = True
        self._connection.broker.work += WORK_PER_TURN + 1  # what came with it waits

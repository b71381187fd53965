"""The arguments whose value is one of a few words."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from warren_broker.core.arguments.reading import InvalidValue, text

if TYPE_CHECKING:
    from collections.abc import Callable


class QueueType(StrEnum):
    """The values of ``x-queue-type`` that can be declared."""

    CLASSIC = "classic"
    QUORUM = "quorum"
    STREAM = "stream"


class OverflowMode(StrEnum):
    """The values of ``x-overflow``: what becomes of a message over the limit."""

    DROP_HEAD = "drop-head"
    REJECT_PUBLISH = "reject-publish"
    REJECT_PUBLISH_DLX = "reject-publish-dlx"
    DROP_TAIL = "drop-tail"
    """The new message goes, as if it had been taken and dropped at once."""
    BLOCK = "block"
    """The new message and its confirm wait for room, up to ``x-publish-deadline``."""


class TimeoutAction(StrEnum):
    """The values of ``x-consumer-timeout-action``: what ends a lease."""

    REQUEUE = "requeue"
    """Only that message goes back; its late ack does no harm."""
    DEAD_LETTER = "dead-letter"
    CANCEL = "cancel"
    """The message goes back and its consumer is cancelled, as RabbitMQ 4.3."""
    CLOSE_CHANNEL = "close-channel"
    """As RabbitMQ before 4.3."""


class LeaseRenewal(StrEnum):
    """The values of ``x-lease-renew``: what renews a lease by itself."""

    CONNECTION = "connection"
    """Every byte that is heard from the consumer's connection."""


class RetryType(StrEnum):
    """The values of ``x-delayed-retry-type``, RabbitMQ 4.3's: which returns wait."""

    DISABLED = "disabled"
    ALL = "all"
    FAILED = "failed"
    """basic.reject, and the loss of the channel."""
    RETURNED = "returned"
    """basic.nack, basic.recover, and the ack timeout."""


class GroupMode(StrEnum):
    """The values of ``x-group-mode``: what a key means for who gets its messages."""

    ORDERED = "ordered"
    """One unacked message a key at most, whoever has it."""
    STICKY = "sticky"
    """A key stays with one consumer while that lives."""
    FAIR = "fair"
    """Keys take turns."""


class UniqueMode(StrEnum):
    """The values of ``x-unique-mode``: what becomes of a duplicate."""

    DROP = "drop"
    """It goes, and its publisher does not notice."""
    REJECT = "reject"
    """It is refused: its publisher gets a basic.nack."""
    REPLACE = "replace"
    """It takes the place of the one that waits."""
    UNTIL_ACK = "until-ack"
    """Dropped as long as the one before is ready or unacked."""


class RedeclareMode(StrEnum):
    """The values of ``redeclare-mode``: declaring with other arguments again."""

    STRICT = "strict"
    """Is refused, as in RabbitMQ."""
    ACCEPT = "accept"
    """Changes nothing."""
    MIGRATE = "migrate"
    """Changes what a policy could change, and is refused for the rest."""


Mode = TypeVar("Mode", bound=StrEnum)


def one_of(modes: type[Mode], refusal: str = "") -> Callable[[object], Mode]:
    """Return a validator that accepts the words of ``modes``.

    ``refusal`` is what to say of another word, which stands where it has ``{}``.
    """
    refusal = refusal or f"\"'{{}}' is none of {', '.join(modes)}\""

    def read(value: object) -> Mode:
        word = text(value)
        try:
            return modes(word)
        except ValueError:
            raise InvalidValue(refusal.format(word)) from None

    return read


# With RabbitMQ's texts.
queue_type: Final = one_of(QueueType, "\"unsupported queue type '{}'\"")
overflow: Final = one_of(OverflowMode, "invalid_overflow")

"""Direct reply-to: replies go straight to the requester, through no queue.

A requester consumes (no-ack) from the pseudo-queue `amq.rabbitmq.reply-to`; its
requests then carry a name made for its channel, and what is published to that name
is delivered to that channel or, when it is gone, dropped (RabbitMQ's extension).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, ClassVar, Final, final

from warren_broker.core.destination import Destination

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.core.message import Message

REPLY_TO: Final = "amq.rabbitmq.reply-to"
_PREFIX: Final = REPLY_TO + "."


def is_reply_name(name: str) -> bool:
    """Whether `name` is the pseudo-queue or a channel's own name for it."""
    return name == REPLY_TO or name.startswith(_PREFIX)


@final
class ReplyQueue(Destination):
    """Where the replies to one channel go."""

    kind: ClassVar[str] = "queue"
    __slots__ = ("_deliver",)

    def __init__(self, deliver: Callable[[Message], None]) -> None:
        super().__init__(_PREFIX + secrets.token_urlsafe(16))
        self._deliver = deliver

    def accept(self, message: Message) -> bool:
        """Hand `message` to the channel at once."""
        self._deliver(message)
        return True

    accept_answered = accept

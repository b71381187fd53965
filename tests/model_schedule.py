"""What the model of a broker publishes later."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.model_parts import ACCEPTED, UNROUTED
from tests.model_times import Times

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.model_parts import Channel, Message
    from tests.model_queue import Queue, Waiting

SCHEDULE: Final = "schedule"
"""It acts at its moments like a queue and a channel."""


class Scheduled(NamedTuple):
    due: float
    number: int
    message: Message

    @property
    def name(self) -> tuple[str, object]:
        return self.message.exchange, self.message.headers.get("x-schedule-id")


class Scheduling(Times):
    """A virtual host that keeps messages until their moment has come."""

    def __init__(self, default_timeout: float) -> None:
        super().__init__(default_timeout)
        self.scheduled: list[Scheduled] = []
        self.number = 0

    @abstractmethod
    def publish_now(self, message: Message) -> list[bool | Waiting]:
        """Route a message to its queues."""

    def schedule(self, message: Message) -> int | None:
        """Keep it, or take out another one; None if it is to be published now."""
        headers = message.headers
        if "x-schedule-cancel" in headers:
            name = message.exchange, headers["x-schedule-cancel"]
            return ACCEPTED if self.unschedule(name) else UNROUTED
        if "x-schedule-id" in headers:
            self.unschedule((message.exchange, headers["x-schedule-id"]))
        due = max(
            self.now + headers.get("x-delay", 0) / 1000.0,
            headers.get("x-deliver-at", 0) / 1000.0,
        )
        if due <= self.now:
            return None
        self.number += 1
        self.scheduled.append(Scheduled(due, self.number, message))
        return ACCEPTED

    def unschedule(self, name: tuple[str, object]) -> bool:
        found = [one for one in self.scheduled if one.name == name]
        for one in found:
            self.scheduled.remove(one)
        return bool(found)

    def next_due(self) -> float | None:
        known = [super().next_due(), *(one.due for one in self.scheduled)]
        return min((due for due in known if due is not None), default=None)

    def tick(self, now: float, order: Iterable[Queue | Channel | str]) -> None:
        for one in order:
            if one == SCHEDULE:
                self.now = now
                self.publish_due()
            else:
                super().tick(now, [one])

    def publish_due(self) -> None:
        for one in sorted(self.scheduled):
            if one.due <= self.now:
                self.scheduled.remove(one)
                self.publish_now(relieved(one.message))
                self.dispatch()


def relieved(message: Message) -> Message:
    """It has been delayed, and will not be once more."""
    delay = message.headers.get("x-delay", 0)
    if not delay:
        return message
    return replace(message, headers=message.headers | {"x-delay": -delay})

"""The commands of the machine that publish: now, later, and to wait in a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.core.comparison import to_core
from tests.model_parts import PENDING, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.core.comparison import Fates
    from tests.model import Model
    from tests.themes import Themes
    from warren_broker.core.broker import Broker
    from warren_broker.core.session import Session
    from warren_broker.core.vhost import VHost

TICK: Final = 2.0**-20  # seconds; no two commands happen at the same moment


class PublishingCommands:
    """Each does the same to a session of the broker and to the model."""

    broker: Broker
    vhost: VHost
    sessions: dict[str, Session]
    model: Model
    themes: Themes
    fates: Fates
    identity: int
    is_late: bool
    both: Callable[[Callable[[], object], Callable[[], object]], None]
    set_now: Callable[[float], None]

    def publish(
        self,
        count: int,
        special: int | None,
        headers: dict[str, object],
        **parts: object,
    ) -> None:
        if self.is_late and parts["expiration_ms"] == 0:
            parts["expiration_ms"] = None
        for place in range(count):
            self.identity += 1
            if special is not None:
                headers = self.themes.headers(special, place)
            self.publish_one(Message(self.identity, headers=headers, **parts))
            self.set_now(self.broker.now + TICK)

    def schedule(
        self,
        name: str | None,
        delay: int,
        seconds: float | None,
        *,
        cancels: bool,
        **parts: object,
    ) -> None:
        """Publish something for later, or in the place of what was so published."""
        headers: dict[str, object] = {"x-delay": delay}
        if name is not None:
            headers["x-schedule-cancel" if cancels else "x-schedule-id"] = name
        if seconds is not None:
            headers["x-deliver-at"] = (self.broker.now + seconds) * 1000.0
        self.identity += 1
        self.publish_one(Message(self.identity, headers=headers, **parts))

    def publish_at(self, seconds: float, **parts: object) -> None:
        """Publish something to a queue that may have it wait there."""
        self.identity += 1
        headers = {"eta": (self.broker.now + seconds) * 1000.0}
        self.publish_one(Message(self.identity, "", headers=headers, **parts))

    def publish_one(self, one: Message) -> None:
        def real() -> int:
            outcome = self.sessions["A"].publish(to_core(one))
            if outcome == PENDING:
                self.vhost.untaken.take_receipt().give_to(self.fates, one.identity)
            return outcome

        self.both(real, lambda: self.model.publish(one))

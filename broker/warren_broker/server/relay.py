"""Relay: what happens after every turn.

A turn leaves bytes in outboxes, notices and a next deadline behind. The relay carries
them out: it wakes the peers whose outboxes have become dirty, logs the notices, moves
the timer. It costs the dirty peers, never all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from warren.wire.outbox import Outbox
    from warren_broker.core.broker import Broker
    from warren_broker.server.event_log import EventLog
    from warren_broker.server.keeper import Keeper
    from warren_broker.server.timer import Timer

DEADLINE_FAILED_PAUSE_SECONDS: Final = 1.0
"""After a bug in a deadline turn: its owner may want the same moment again, so do not
spin on it. All others have been told."""


class Sender(ABC):
    """Whoever empties an outbox."""

    __slots__ = ()

    @abstractmethod
    def wake(self) -> None:
        """The outbox has bytes, was closed, or its connection wants a look."""


@final
class Relay:
    """Owner of `dirty`, the list each outbox puts itself on, and of who empties which.

    `run` must follow every turn, whoever took it.
    """

    __slots__ = ("_broker", "_keeper", "_log", "_senders", "_timer", "dirty")

    def __init__(
        self, broker: Broker, timer: Timer, log: EventLog, keeper: Keeper | None = None
    ) -> None:
        """`keeper` writes what turns have said to the store, if there is one."""
        self._broker: Broker = broker
        self._timer: Timer = timer
        self._log: EventLog = log
        self._keeper: Keeper | None = keeper
        self._senders: dict[Outbox, Sender] = {}
        self.dirty: list[Outbox] = []

    def add(self, outbox: Outbox, sender: Sender) -> None:
        """From now on wake `sender` when `outbox` is dirty."""
        self._senders[outbox] = sender

    def remove(self, outbox: Outbox) -> None:
        """Forget an outbox; bytes still written to it go nowhere."""
        self._senders.pop(outbox, None)

    def run(self) -> None:
        """Carry out what the turn has left behind."""
        if self.dirty:
            self._wake_dirty()
        for notice in self._broker.take_notices():
            self._log.event(notice.event, notice.fields)
        self._timer.move_to(self._broker.next_deadline())
        if self._keeper is not None:
            self._keeper.after_turn()

    @property
    def is_far_behind(self) -> bool:
        """Whether the disk is far behind what turns have said."""
        return self._keeper is not None and self._keeper.is_far_behind

    async def wait_written(self) -> None:
        """Wait until the disk is less far behind."""
        if self._keeper is not None:
            await self._keeper.wait_written()

    def on_deadline(self, now: float) -> None:
        """Take the turn that the timer has rung for, contained: time must go on."""
        try:
            self._broker.on_deadline(now)
        except Exception as error:  # noqa: BLE001 - a bug; every other peer lives on
            self._log.failure("deadline failed", error, {})
            self._timer.move_to(now + DEADLINE_FAILED_PAUSE_SECONDS)
            self._wake_dirty()
        else:
            self.run()

    def _wake_dirty(self) -> None:
        for outbox in self.dirty:
            sender = self._senders.get(outbox)
            if sender is not None:
                sender.wake()
        self.dirty.clear()

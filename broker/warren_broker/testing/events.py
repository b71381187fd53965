"""Events: the last things that a server had to say, for who looks why a test failed."""

from __future__ import annotations

import traceback
from collections import deque
from typing import TYPE_CHECKING, Final, final

import trio

from warren_broker.server.event_log import EventLog
from warren_broker.testing.values import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS_MAX: Final = 1000


@final
class Events(EventLog):
    """Remembers the last events."""

    def __init__(self) -> None:
        self._since = trio.current_time()
        self.all: deque[Event] = deque(maxlen=EVENTS_MAX)

    def load(self) -> None:
        """Nothing has to be loaded."""

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        seconds = trio.current_time() - self._since
        self.all.append(Event(seconds=seconds, name=name, fields=dict(fields)))

    def failure(
        self, name: str, error: BaseException, fields: Mapping[str, object]
    ) -> None:
        trace = "".join(traceback.format_exception(error))
        self.event(name, {**fields, "trace": trace})

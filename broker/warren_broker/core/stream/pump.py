"""Pump: serves the readers that have something to read, some of each in a turn.

One batch may be read by a thousand readers, and one reader may be behind by a million
records: neither may hold up those who want to publish, nor the other readers.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.deadlines import DeadlineOwner

if TYPE_CHECKING:
    from warren_broker.core.broker import Broker
    from warren_broker.core.stream.reader import Reader

SLICE: Final = 2000
"""Records in one turn, delivered or passed over."""
QUANTUM: Final = 250
"""Records of one reader before the next has its turn."""


@final
class Pump(DeadlineOwner):
    """The readers of a broker that may have something to read, in turn."""

    __slots__ = ("_broker", "_ready")

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._ready: OrderedDict[Reader, None] = OrderedDict()

    def add(self, reader: Reader) -> None:
        """Serve `reader` in a turn of its own, soon."""
        if not reader.is_listed:
            reader.is_listed = True
            self._ready[reader] = None
            self._broker.deadlines.set(self, self._broker.now)

    def remove(self, reader: Reader) -> None:
        """`reader` reads no more."""
        if reader.is_listed:
            reader.is_listed = False
            del self._ready[reader]
            if not self._ready:
                self._broker.deadlines.cancel(self)

    def serve(self, now: float) -> None:
        """Serve some at once, in the turn that has made something ready for them."""
        if self._ready:
            self._broker.deadlines.cancel(self)
            self.on_deadline(now)

    def on_deadline(self, now: float) -> None:
        """Serve some; ask for the next turn if more is left."""
        ready, left = self._ready, SLICE
        try:
            while ready and left > 0:
                reader, _ = ready.popitem(last=False)
                reader.is_listed = False
                done = reader.serve(QUANTUM)
                left -= done + 1
                if done == QUANTUM and not reader.is_listed:
                    reader.is_listed = True
                    ready[reader] = None
        finally:  # one that fails is no matter of the others
            if ready:
                self._broker.deadlines.set(self, now)

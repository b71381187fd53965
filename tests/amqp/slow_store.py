"""A store that is as slow as a test wants it: a full disk, seen from the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren_broker.core.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.pairs import World
    from warren_broker.core.message import Message
    from warren_broker.core.queue.packing import Run
    from warren_broker.core.store import Key
    from warren_broker.core.stream.log import Log, LogOwner


class SlowStore(Store):
    """Forgets what it is told, and makes it safe when `commit` is called."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers = 0
        self.count = self.said = self.defined = 0
        self.committed = self.recorded = 0
        world.broker.store = self

    def commit(self) -> None:
        """Everything that was said is safe."""
        self.committed = self.recorded = self.said
        self._world.broker.on_committed(self._world.now)

    def new_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def add(self, number: int, sequence: int, message: Message, expires_ms: int) -> int:
        self._say()
        return self.count

    def settle(self, number: int, sequence: int, position: int) -> None:
        self._say()

    def settle_all(self, number: int, places: Iterable[tuple[int, int]]) -> None:
        self._say()

    def when_written(self, run: Run) -> None:
        raise NotImplementedError

    def recall(
        self, number: int, places: Iterable[tuple[int, int]], checksum: int
    ) -> list[Message]:
        raise NotImplementedError

    def want(self, number: int, first: tuple[int, int], last: tuple[int, int]) -> None:
        raise NotImplementedError

    def count_return(self, number: int, sequence: int, count: int) -> None:
        self._say()

    def define(self, key: Key, value: Mapping[str, object] | None) -> None:
        self._say()
        self.defined = self.said

    def open_log(self, number: int, owner: LogOwner, *, segment_bytes: int) -> Log:
        raise NotImplementedError("there are no streams here")

    def _say(self) -> None:
        self.count += 1
        self.said = self.count


class RecordingStore(SlowStore):
    """And remembers the bodies that were added, by the turn in which they were."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.turns: dict[int, list[bytes]] = {}

    def add(self, number: int, sequence: int, message: Message, expires_ms: int) -> int:
        turn = self._world.broker.turn
        self.turns.setdefault(turn, []).append(message.body)
        return super().add(number, sequence, message, expires_ms)

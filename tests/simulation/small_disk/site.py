"""A site whose disk may be full: its journal is written in rounds, as a keeper does.

What a round asks for is done when a story says so, and anything may happen in between.
"""

from __future__ import annotations

from types import coroutine
from typing import TYPE_CHECKING

from tests.simulation.history import Violation
from tests.simulation.site import Site
from warren_broker.server.group_commit import GroupCommit
from warren_broker.server.rounds import JournalFailed, Rounds
from warren_broker.storage import record as records
from warren_broker.storage import reserve
from warren_broker.storage.segment import name_of
from warren_broker.storage.stream.segment import parse_name

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from random import Random

    from warren_broker.server.rounds import Task
    from warren_broker.storage.recovery import Recovered

    Steps = Coroutine[Task | None, None, None]

ENOUGH = 3000  # tasks, for everything that may wait on a disk with room
MESSAGE_BYTES = 100  # at most, besides header and body
START_BYTES = records.OVERHEAD
"""Room for the end of a segment, without which no start would be safe."""


@coroutine
def ask(task: Task | None) -> Generator[Task | None]:
    """Have a story do it; None: let some time pass."""
    yield task


class SmallSite(Site):
    """The hands of its rounds."""

    RESERVE = 16 << 10  # large, compared with all that is defined
    RUNWAY = STREAM_RUNWAY = 1 << 10

    rounds: Rounds

    # --- room

    @property
    def is_short(self) -> bool:
        return self.disk.capacity is not None

    @property
    def room(self) -> int:
        """Bytes that are free, or would be with the reserve given up."""
        return self.disk.free_bytes() + self._reserve_bytes

    @property
    def has_reserve(self) -> bool:
        """Whether all of the reserve is there."""
        return self._reserve_bytes == self.RESERVE

    @property
    def _reserve_bytes(self) -> int:
        is_there = reserve.NAME in self.disk.names()
        return self.disk.size(reserve.NAME) if is_there else 0

    @property
    def spare(self) -> int:
        """Bytes that messages and records may take."""
        return self.disk.free_bytes() - self.journal.spares

    @property
    def waiting(self) -> int:
        """Bytes of what is not written, or held back for want of room."""
        held = self.store._unsafe._held.values()
        size = sum(each.message.size_bytes + MESSAGE_BYTES for each in held)
        return self.store.waiting_bytes + size

    @property
    def leftovers(self) -> set[str]:
        """Segments that are still there and could go."""
        space = self.journal._space
        oldest, movable = next(iter(space.segments.values())), space.movable()
        found = {name_of(oldest.number)} if space._is_dead(oldest) else set()
        if movable is not None:
            found.add(name_of(movable.number))
        firsts = {log.files.number: log.first for log in self.store.streams._logs}
        for name in self.disk.names():
            parsed = parse_name(name)
            if parsed and parsed.first < firsts.get(parsed.number, 0):
                found.add(name)
        return found

    def make_short(self, room: int) -> None:
        """Leave so many bytes free."""
        self.disk.capacity = self.disk.used + room

    def give_room(self) -> None:
        self.disk.capacity = None

    # --- the broker's life

    def start(self, recovered: Recovered) -> None:
        super().start(recovered)
        self.rounds = Rounds(self.journal, self.store, self.broker, self)
        self._round: Steps | None = None
        self._is_run = False
        self._task: Task | None = None
        self._error: Exception | None = None
        self._is_awake = True

    def stop(self) -> bool | None:
        self.rounds.is_stopping = True
        try:
            self._finish()
            self._begin(self._end())
            self._finish()
            is_clean: bool | None = True
        except JournalFailed:
            self.disk = self.disk.killed()
            is_clean = None  # it may be a stream that has found no room
        self.disk.unlock()
        self._leave_room_to_start()
        return is_clean

    def cut_power(self, random: Random) -> None:
        capacity = self.disk.capacity
        super().cut_power(random)
        self.disk.capacity = capacity
        self._leave_room_to_start()

    def _leave_room_to_start(self) -> None:
        disk = self.disk
        if disk.capacity is not None:
            disk.capacity = max(disk.capacity, self.disk.used + START_BYTES)

    # --- rounds, in pieces

    def take_batch(self) -> bool:
        """Begin a round, if anything wakes the keeper."""
        if self._round is not None:
            return False
        if not (self.rounds.is_behind or self._is_awake):
            return False
        if not self.rounds.is_behind:
            self.journal.request_checkpoint()
        self._begin(self._keep())
        return True

    def run_batch(self) -> bool:
        if self._round is None or self._is_run:
            return False
        self._is_run = True
        task = self._task
        try:
            if task is not None:
                task.run(self.disk)
        except Exception as error:  # noqa: BLE001 - the round gets it
            self._error = error
        finally:
            if isinstance(task, GroupCommit):
                lack = [log for log, batch in task.streams if batch.lacks_file]
                self.bare |= {log.files.number for log in lack}
        return True

    def end_batch(self) -> bool:
        """Let the round go on to the next thing."""
        if self._round is None or not self._is_run:
            return False
        self._go_on()
        return True

    def write_all(self) -> None:
        """Until nothing is left to be done."""
        if not self.keep(ENOUGH):
            raise Violation("the keeper finds no rest")

    def keep(self, most: int) -> bool:
        """Do at most so many things; return whether there is nothing more to do."""
        for _ in range(most):
            if self._round is None and not self.take_batch():
                return True
            self.run_batch()
            self.end_batch()
        return False

    def tidy(self) -> None:
        """That is a part of a round."""

    async def _keep(self) -> None:
        """What a keeper does when it is awake."""
        committed = self.store.committed
        self._is_awake = False
        await self.rounds.write()
        has_written = self.store.committed > committed
        self._is_awake = await self.rounds.tidy() or has_written

    async def _end(self) -> None:
        """What it does when it was stopped."""
        await self.rounds.write()
        await self.rounds.write_end()

    def _begin(self, steps: Steps) -> None:
        self._round = steps
        self._go_on()

    def _go_on(self) -> None:
        """Tell the round what came of the last thing, and hear of the next one."""
        error, self._error, self._is_run = self._error, None, False
        assert self._round is not None
        try:
            if error is None:
                self._task = self._round.send(None)
            else:
                self._task = self._round.throw(error)
        except StopIteration:
            self._round = None

    def _finish(self) -> None:
        """Let the round come to its end."""
        for _ in range(ENOUGH):
            if self._round is None:
                return
            self.run_batch()
            self.end_batch()
        raise Violation("a round that does not come to its end")

    # --- the hands

    async def do(self, task: Task) -> None:
        await ask(task)

    async def wait_for_room(self) -> None:
        await ask(None)

    async def before_commit(self) -> None:
        """Nothing is written but what is synced."""

    def after_commit(self, commit: GroupCommit, *, is_full: bool) -> None:
        self.shelf.finish()
        self.broker.on_committed(self.now)
        for log, _ in commit.streams:
            log.on_safe()
        self.after_turn()

"""Keeper: writes journal and streams, one group commit after the other, in a thread.

While a batch is on its way the next one collects; so a slow disk makes batches larger,
not longer, and no timer is needed. When a batch is safe, the promises are kept that
waited for it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, final

import trio

from warren_broker.server.disk_alarm import DiskAlarm, in_thread
from warren_broker.server.disk_thread import DiskThread
from warren_broker.server.wakeup import Wakeup
from warren_broker.storage.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.core.broker import Broker
    from warren_broker.server.event_log import EventLog
    from warren_broker.server.group_commit import GroupCommit
    from warren_broker.server.journal_store import JournalStore
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.journal import Journal

BEHIND_BYTES: Final = 64 << 20
"""What may wait to be written before publishers wait as well."""
CHECKPOINT_SECONDS: Final = 1.0
"""How long after the last write it is noted how far all is safe."""
LAZY_SECONDS: Final = 0.1
"""How long may wait what nobody was promised: acks, and publishes without confirms."""
LAZY_BYTES: Final = 1 << 20
"""How much of that may wait."""
SHORT_BYTES: Final = 16 << 10
"""A quick disk has written and synced so much before anybody notices."""
RETRY_SECONDS: Final = 1.0
"""How long to wait for room on a full disk before trying once more."""


class JournalFailed(Exception):
    """The disk did not do what it was asked: nothing can be promised any more."""


@final
class Keeper:
    """Owner of the thread in which the disk is written.

    Attributes:
        alarm: whether there is room; somebody must `run` it.
    """

    __slots__ = (
        "_broker",
        "_caught_up",
        "_disk",
        "_is_stopping",
        "_is_writing",
        "_journal",
        "_log",
        "_pause",
        "_run_relay",
        "_store",
        "_sync_seconds",
        "_synced_at",
        "_thread",
        "_wakeup",
        "alarm",
    )

    def __init__(
        self,
        journal: Journal,
        disk: Disk,
        store: JournalStore,
        broker: Broker,
        log: EventLog,
        *,
        free_bytes_min: int = 0,
        sync_seconds: float = 0,
    ) -> None:
        """With less free space than `free_bytes_min` publishers are blocked.

        `sync_seconds`: how often what was written is synced, where no batch is.
        """
        self._journal = journal
        self._disk = disk
        self._store = store
        self._broker = broker
        self._log = log
        self._thread = DiskThread()
        self._wakeup = Wakeup()
        self._caught_up = trio.Event()
        self._is_stopping = False
        self._is_writing = False
        self._sync_seconds = sync_seconds
        self._synced_at = trio.current_time()
        self._pause = trio.CancelScope()  # how long to wait for something urgent
        self._run_relay: Callable[[], None] = lambda: None
        store.streams.tell = self._tell
        store.streams.report = log.event
        self.alarm = DiskAlarm(
            free_bytes_min,
            look=partial(in_thread, disk.free_bytes),
            report=self._set_alarm,
        )

    def after_turns(self, run_relay: Callable[[], None]) -> None:
        """Call `run_relay` after each turn that is taken here."""
        self._run_relay = run_relay

    def after_turn(self) -> None:
        """A turn is over: write what it has said, if anything."""
        self._store.end_turn()
        self._journal.end_turn()
        if self._is_behind and not self._is_writing:
            if self._is_urgent:
                self._wakeup.set()
            else:
                self._wake_within(LAZY_SECONDS)

    @property
    def is_far_behind(self) -> bool:
        """Whether far too much is still to be written."""
        return self._store.waiting_bytes > BEHIND_BYTES

    async def wait_written(self) -> None:
        """Wait for the end of the next batch."""
        await self._caught_up.wait()

    async def run(self) -> None:
        """Write until `stop`, then all that is left.

        Raises JournalFailed when the disk does not work, or the end cannot be written.
        """
        try:
            while not self._is_stopping:
                with self._pause:
                    await self._wakeup.wait()
                if self._pause.cancelled_caught and not self._is_behind:
                    self._journal.request_checkpoint()
                self._pause = trio.CancelScope()
                await self._write()
                await self._move()
                await self._reserve()
            await self._write()
            await self._write_end()
        except JournalFailed as failure:
            self._log.event("journal failed", {"reason": str(failure)})
            raise
        finally:
            self._thread.close()
            self._store.streams.close()
            self._disk.unlock()

    def stop(self) -> None:
        """Let `run` come to its end: no turn will say anything any more."""
        self._is_stopping = True
        self._wakeup.set()

    @property
    def _is_behind(self) -> bool:
        """Whether turns have said what is not safe yet."""
        return self._store.committed < self._store.said

    @property
    def _is_urgent(self) -> bool:
        """Whether somebody waits for what is to be written, or it is much."""
        return bool(self._broker.promises) or (
            self._store.streams.is_watched
            or self._store.waiting_bytes > LAZY_BYTES
            or self._is_stopping
        )

    def _wake_within(self, seconds: float) -> None:
        self._pause.deadline = min(self._pause.deadline, trio.current_time() + seconds)

    async def _write(self) -> None:
        """Write what there is, and go on as long as somebody waits for more."""
        store, committed = self._store, self._store.committed
        self._is_writing = True  # it will look by itself for what comes meanwhile
        while (commit := await self._next_commit()) is not None:
            is_full = await self._write_commit(commit)
            if is_full and not self._is_stopping:
                await trio.sleep(RETRY_SECONDS)
                await self._let_go()  # it may be a stream that waits for that
            elif store.is_holding and not is_full:
                await self._make_room()
            elif is_full or not self._is_urgent:
                break
            await self._reserve()
        self._is_writing = False
        if not store.is_dirty:
            self.alarm.wrote(0, is_full=False)  # what found no room is gone
        if self._is_behind:
            self._wake_within(LAZY_SECONDS)
        elif store.committed > committed:
            self._wake_within(CHECKPOINT_SECONDS)
        if self._sync_seconds and store.is_unsynced:
            self._wake_within(self._sync_seconds)

    async def _next_commit(self) -> GroupCommit | None:
        """Take what there is to be written.

        If that is little, those who are ready go first: they send what is due and may
        say more, and do not compete with the disk's thread for the interpreter.
        """
        if self._store.waiting_bytes <= SHORT_BYTES:
            await trio.lowlevel.cancel_shielded_checkpoint()
        return self._take_commit()

    def _take_commit(self) -> GroupCommit | None:
        now, journal = trio.current_time(), self._journal
        if journal.wants_snapshot:
            journal.add_snapshot(self._store.snapshot())
        if self._sync_seconds and now >= self._synced_at + self._sync_seconds:
            self._synced_at = now
            self._store.request_sync()
        return self._store.take_commit()

    async def _write_end(self) -> None:
        """Write the last one: the next start will know that nothing is missing."""
        self._store.release()
        last = self._store.take_commit(is_last=True)
        if last is None:
            return
        await self._thread.do(lambda: last.run(self._disk))
        error = last.error
        if error is not None:
            raise JournalFailed(f"journal: not ended cleanly: {error}") from error

    async def _write_commit(self, commit: GroupCommit) -> bool:
        """Write `commit`, keep what was promised; return whether the disk is full."""
        is_short = self._is_urgent and commit.size <= SHORT_BYTES
        await self._thread.do(lambda: commit.run(self._disk), is_short=is_short)
        outcome = self._store.on_written(commit)
        if outcome is Outcome.FAILED:
            raise JournalFailed(f"journal: {commit.error}") from commit.error
        is_full = outcome is Outcome.FULL
        self.alarm.wrote(commit.size, is_full=is_full or self._store.is_short)
        now = trio.current_time()
        self._broker.on_committed(now)
        for log, _ in commit.streams:
            self._contain(log.on_safe)
        self._contain(partial(self._broker.pump.serve, now))
        self._run_relay()
        caught_up, self._caught_up = self._caught_up, trio.Event()
        caught_up.set()
        return is_full

    def _tell(self, what: Callable[[], None]) -> None:
        """Take the turn in which somebody is told what was read of a stream."""
        self._broker.begin_turn(trio.current_time())
        self._contain(what)
        self._run_relay()

    def _contain(self, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception as error:
            if self._broker.raises_bugs:
                raise
            self._log.failure("stream failed", error, {})

    def _set_alarm(self, active: bool) -> None:
        """Take the turn in which publishers are blocked, or free again.

        What they sent before waits for room.
        """
        self._broker.begin_turn(trio.current_time())
        self._broker.alarms.set("disk", active=active)
        self._log.event(
            "disk alarm on" if active else "disk alarm off",
            {"free_bytes": self.alarm.free_bytes, "full": self._journal.is_full},
        )
        self._run_relay()

    async def _reserve(self) -> None:
        """Make one more piece of the reserve, if it was given up and there is room."""
        piece = self._journal.take_reserve()
        if piece is None:
            return
        error: OSError | None = None
        try:
            await self._thread.do(lambda: piece.run(self._disk))
        except OSError as raised:
            error = raised
        self._journal.on_reserved(piece, error)
        if error is not None:
            raise JournalFailed(f"journal: {error}") from error
        if piece.is_done:
            self._wakeup.set()  # for the next one, when nobody waits

    async def _make_room(self) -> None:
        """Let go of what is still in the way; if nothing is, say what was held back."""
        if not await self._let_go():
            self._store.release()

    async def _let_go(self) -> bool:
        """Read old segments again, until there is something to be written of one."""
        while await self._move():
            if self._journal.is_dirty:
                return True
        return False

    async def _move(self) -> bool:
        """Read one piece of an old segment again, if that lets it go."""
        move = self._journal.take_move()
        if move is None:
            return False
        error: Exception | None = None
        try:
            await self._thread.do(lambda: move.run(self._disk))
        except Exception as raised:  # noqa: BLE001 - the segment is left alone
            error = raised
        self._store.on_moved(move, error)
        self._wakeup.set()
        return True

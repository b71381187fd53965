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
from warren_broker.server.group_commit import GroupCommit
from warren_broker.server.rounds import JournalFailed, Rounds
from warren_broker.server.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.core.broker import Broker
    from warren_broker.server.event_log import EventLog
    from warren_broker.server.journal_store import JournalStore
    from warren_broker.server.rounds import Task
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.journal import Journal

BEHIND_BYTES: Final = 64 << 20
"""What may wait to be written before publishers wait as well."""
CHECKPOINT_SECONDS: Final = 1.0
"""How long after the last write it is noted how far all is safe."""
LAZY_SECONDS: Final = 0.1
"""How long may wait what nobody was promised: acks, and publishes without confirms."""
SHORT_BYTES: Final = 16 << 10
"""A quick disk has written and synced so much before anybody notices."""
RETRY_SECONDS: Final = 1.0
"""How long to wait for room on a full disk before trying once more."""


@final
class Keeper:
    """Owner of the thread in which the disk is written: the hands of its rounds.

    Attributes:
        alarm: whether there is room; somebody must `run` it.
    """

    __slots__ = (
        "_broker",
        "_caught_up",
        "_disk",
        "_is_writing",
        "_journal",
        "_log",
        "_pause",
        "_rounds",
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
        self._rounds = Rounds(journal, store, broker, self)
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
        rounds = self._rounds
        if rounds.is_behind and not self._is_writing:
            if rounds.is_urgent:
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
        rounds = self._rounds
        self._wakeup.set()  # the last broker may have left segments that can go
        try:
            while not rounds.is_stopping:
                with self._pause:
                    await self._wakeup.wait()
                if self._pause.cancelled_caught and not rounds.is_behind:
                    self._journal.request_checkpoint()
                self._pause = trio.CancelScope()
                await self._write()
                if await rounds.tidy():
                    self._wakeup.set()  # for the rest, when nobody waits
            await self._write()
            await rounds.write_end()
        except JournalFailed as failure:
            self._log.event("journal failed", {"reason": str(failure)})
            raise
        finally:
            self._thread.close()
            self._store.streams.close()
            self._disk.unlock()

    def stop(self) -> None:
        """Let `run` come to its end: no turn will say anything any more."""
        self._rounds.is_stopping = True
        self._wakeup.set()

    def _wake_within(self, seconds: float) -> None:
        self._pause.deadline = min(self._pause.deadline, trio.current_time() + seconds)

    async def _write(self) -> None:
        """Let a round write, and see to it that the next one comes in time."""
        store, committed = self._store, self._store.committed
        self._is_writing = True  # it will look by itself for what comes meanwhile
        await self._rounds.write()
        self._is_writing = False
        if not store.is_dirty:
            self.alarm.wrote(0, is_full=False)  # what found no room is gone
        if self._rounds.is_behind:
            self._wake_within(LAZY_SECONDS)
        elif store.committed > committed:
            self._wake_within(CHECKPOINT_SECONDS)
        if self._sync_seconds and store.is_unsynced:
            self._wake_within(self._sync_seconds)

    # --- the hands of a round

    async def do(self, task: Task) -> None:
        """Run `task` in the thread; the event loop may wait for a small commit."""
        is_short = (
            isinstance(task, GroupCommit)
            and task.size <= SHORT_BYTES
            and self._rounds.is_urgent
        )
        await self._thread.do(lambda: task.run(self._disk), is_short=is_short)

    async def wait_for_room(self) -> None:
        """Give the disk some time, it is full."""
        await trio.sleep(RETRY_SECONDS)

    async def before_commit(self) -> None:
        """If it will be a small one, let those who are ready go first.

        They send what is due and may say more, and do not compete with the disk's
        thread for the interpreter.
        """
        if self._store.waiting_bytes <= SHORT_BYTES:
            await trio.lowlevel.cancel_shielded_checkpoint()
        now = trio.current_time()
        if self._sync_seconds and now >= self._synced_at + self._sync_seconds:
            self._synced_at = now
            self._store.request_sync()

    def after_commit(self, commit: GroupCommit, *, is_full: bool) -> None:
        """Keep what was promised."""
        self.alarm.wrote(commit.size, is_full=is_full or self._store.is_short)
        now = trio.current_time()
        self._broker.on_committed(now)
        for log, _ in commit.streams:
            self._contain(log.on_safe)
        self._contain(partial(self._broker.pump.serve, now))
        self._run_relay()
        caught_up, self._caught_up = self._caught_up, trio.Event()
        caught_up.set()

    # --- turns

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

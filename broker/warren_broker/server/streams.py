"""Streams: the logs of all streams of a data directory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, final

from warren_broker.core.stream.segment_size import SEGMENT_BYTES_MIN
from warren_broker.server.record_codec import RecordDecoder
from warren_broker.server.stored_log import StoredLog
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.stream.books import OpenedStream
from warren_broker.storage.stream.log import StoreFacts, StreamLog
from warren_broker.storage.stream.reading import StreamReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from warren_broker.core.stream.log import LogOwner
    from warren_broker.server.background import Done, Worker
    from warren_broker.server.group_commit import GroupCommit
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.start import Start
    from warren_broker.storage.stream.batch import Replacement, StreamBatch
    from warren_broker.storage.stream.compaction import Compaction


class Sayer(Protocol):
    """The store: it knows what has been said."""

    count: int
    said: int
    next_number: int
    """Of the group commit that collects."""


@final
class Streams:
    """Owner of what is written, read and compacted of streams.

    Attributes:
        facts: what all logs have in common.
        reading: does what `reader` and `decoder` are used for, and nobody else may.
        report: writes an event to the log, with fields.
        tell: takes a turn in which somebody is told something.
        is_restoring: streams are opened that were there before.
        missing: streams that were there once, and had no file.
    """

    __slots__ = (
        "_deleted",
        "_dirty",
        "_disk",
        "_logs",
        "_opened",
        "_sayer",
        "_segment_bytes_min",
        "_upkeep",
        "decoder",
        "facts",
        "is_restoring",
        "missing",
        "reader",
        "reading",
        "report",
        "tell",
    )

    def __init__(
        self,
        start: Start,
        opened: Mapping[int, OpenedStream],
        disk: Disk,
        *,
        reading: Worker,
        upkeep: Worker,
        segment_bytes_min: int = SEGMENT_BYTES_MIN,
        runway_size: int = 0,
    ) -> None:
        """`disk` is used by both workers, and by nobody who writes the journal.

        Nobody gets segments below `segment_bytes_min`: each is two files and two syncs.
        """
        block = start.superblock
        self.facts: Final = StoreFacts(block.store_id, block.epoch, runway_size)
        self.reader: Final = StreamReader(disk, block.store_id)
        self.decoder: Final = RecordDecoder()
        self.reading: Final = reading
        self.tell: Callable[[Done], None] = lambda what: what()
        self.report: Callable[[str, dict[str, object]], None] = lambda *_: None
        self.missing: list[int] = []
        self.is_restoring = True
        self._segment_bytes_min = segment_bytes_min
        self._upkeep = upkeep
        self._disk = disk
        self._opened = dict(opened)
        self._logs: dict[StoredLog, None] = {}
        self._dirty: dict[StoredLog, None] = {}
        self._deleted: list[int] = []
        self._sayer: Sayer | None = None

    def belong_to(self, sayer: Sayer) -> None:
        """What is said is said there."""
        self._sayer = sayer

    def open_log(self, number: int, owner: LogOwner, segment_bytes: int) -> StoredLog:
        """See `Store.open_log`."""
        opened = self._opened.pop(number, None)
        if opened is None:
            if self.is_restoring:
                self.missing.append(number)
            opened = OpenedStream.new(number)
        files = StreamLog(opened, self.facts, self.segment_size(segment_bytes))
        log = StoredLog(files, owner, self)
        self._logs[log] = None
        if files.is_dirty:
            self.note(log)
        return log

    def segment_size(self, segment_bytes: int) -> int:
        """Return what segments are to have of which a stream wants so much."""
        return max(segment_bytes, self._segment_bytes_min)

    def close(self) -> None:
        """Nothing more is read or compacted."""
        self.reading.close()
        self._upkeep.close()

    @property
    def number_max(self) -> int:
        """The largest number of a stream that has files; 0: there is none."""
        return max(self._opened, default=0)

    # --- what waits to be written

    def say(self, log: StoredLog) -> None:
        """A record was appended. Hot: once a record."""
        sayer = self._sayer
        assert sayer is not None
        sayer.count += 1
        sayer.said = sayer.next_number
        if not log.is_dirty:
            log.is_dirty = True
            self._dirty[log] = None

    def note(self, log: StoredLog) -> None:
        """There is something to be done that nobody waits for."""
        if self._sayer is not None:
            self._sayer.said = self._sayer.next_number
        log.is_dirty = True
        self._dirty[log] = None

    def delete(self, log: StoredLog) -> None:
        """Let all files of a log go."""
        self._logs.pop(log, None)
        self._dirty.pop(log, None)
        self._deleted.append(log.files.number)
        if self._sayer is not None:
            self._sayer.said = self._sayer.next_number
        self.reading.do(partial(self._forget, log.files.number))

    def _forget(self, number: int) -> Done:
        self.reader.forget(number)
        return _nothing

    @property
    def waiting_bytes(self) -> int:
        """Bytes of records that are not safe yet."""
        return sum(log.files.waiting_bytes for log in self._dirty)

    @property
    def is_watched(self) -> bool:
        """Whether readers wait for what is not safe yet."""
        return any(log.is_watched for log in self._dirty)

    @property
    def is_dirty(self) -> bool:
        """Whether something waits to be written."""
        is_dirty = any(log.files.is_dirty for log in self._dirty)
        return is_dirty or bool(self._deleted)

    @property
    def is_unsynced(self) -> bool:
        """Whether something that is written would not survive a power cut."""
        return any(log.files.synced < log.files.end for log in self._dirty)

    # --- group commits

    def take_batches(
        self, *, syncs: bool, is_last: bool
    ) -> list[tuple[StoredLog, StreamBatch]]:
        """What is to be written of each log; see `StreamLog.take_batch`."""
        taken = []
        for log in self._logs if is_last else self._dirty:
            batch = log.files.take_batch(syncs=syncs, is_last=is_last)
            if batch is not None:
                taken.append((log, batch))
        return taken

    def take_deleted(self) -> list[int]:
        """The streams whose files are to go."""
        deleted, self._deleted = self._deleted, []
        return deleted

    def on_written(self, commit: GroupCommit) -> Outcome:
        """A group commit was tried; return the worst of what became of its parts."""
        worst = Outcome.WRITTEN
        for log, batch in commit.streams:
            error = commit.stream_errors.get(log)
            outcome = log.files.on_written(batch, error)
            if outcome is Outcome.FAILED:
                return outcome  # what came behind it was not tried
            if outcome is Outcome.FULL:
                worst = outcome
            files = log.files
            if batch.done:  # what is open of it may be of files that are gone
                self.reading.do(partial(self._forget, files.number))
            if log.is_deleted or not (files.is_dirty or files.synced < files.end):
                self._dirty.pop(log, None)
                log.is_dirty = False
        self._deleted += commit.deleted
        return worst

    # --- compaction

    def compact(self, log: StoredLog, compaction: Compaction) -> None:
        """Let it be done, segment by segment, while nothing else has to be."""
        steps = compaction.steps(self._disk)
        self._upkeep.do(partial(self._step, log, steps))

    def _step(self, log: StoredLog, steps: Iterator[Replacement | None]) -> Done:
        """Do one step, in the thread, and return how to go on."""
        try:
            replacement = next(steps)
        except StopIteration:
            return log.on_compaction_ended
        except Exception as error:  # noqa: BLE001 - what there is stays as it is
            return partial(self._on_compaction_failed, log, error)
        return partial(self._go_on, log, steps, replacement)

    def _go_on(
        self,
        log: StoredLog,
        steps: Iterator[Replacement | None],
        replacement: Replacement | None,
    ) -> None:
        if replacement is not None:
            log.on_compacted(replacement)
        if not log.is_deleted:
            self._upkeep.do(partial(self._step, log, steps))

    def _on_compaction_failed(self, log: StoredLog, error: Exception) -> None:
        log.on_compaction_ended()
        self.report("compaction failed", {"reason": str(error) or repr(error)})


def _nothing() -> None:
    """There is nothing to be told."""

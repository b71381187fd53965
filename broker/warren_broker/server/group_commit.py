"""GroupCommit: everything that turns have said since the last one, made safe at once.

First all streams, each with one write and one sync; then the journal's record. Streams
that are deleted lose their files behind it, since the record says so.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, final

from warren_broker.storage.disk import is_full
from warren_broker.storage.stream.batch import delete_streams

if TYPE_CHECKING:
    from warren_broker.server.stored_log import StoredLog
    from warren_broker.storage.batch import Batch
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.stream.batch import StreamBatch


@final
class GroupCommit:
    """Made in a turn; `run` is called in another thread, once.

    Attributes:
        number: from 1, without gaps, in this process.
        journal: the journal's part, if it has one.
        streams: the parts of the streams that have one.
        deleted: numbers of streams whose files go.
        journal_error, stream_errors: what has failed; nobody else need be told.
    """

    __slots__ = (
        "deleted",
        "journal",
        "journal_error",
        "number",
        "stream_errors",
        "streams",
    )

    def __init__(
        self,
        number: int,
        journal: Batch | None,
        streams: list[tuple[StoredLog, StreamBatch]],
        deleted: list[int],
    ) -> None:
        self.number = number
        self.journal = journal
        self.streams = streams
        self.deleted = deleted
        self.journal_error: OSError | None = None
        self.stream_errors: dict[StoredLog, OSError] = {}

    @property
    def size(self) -> int:
        """Bytes of what was said."""
        journal = self.journal
        record = journal.header.size if journal and journal.header else 0
        return record + sum(batch.size for _, batch in self.streams)

    @property
    def error(self) -> OSError | None:
        """The first thing that has failed."""
        return next(iter(self.stream_errors.values()), self.journal_error)

    def run(self, disk: Disk) -> None:
        """Do it all, unless the disk is broken. Raises nothing: see the errors."""
        for log, batch in self.streams:
            try:
                batch.run(disk)
            except OSError as error:
                self.stream_errors[log] = error
                if not batch.is_undone:
                    return
        try:
            if self.stream_errors:
                self._make_files(disk)
            if self.journal is not None:
                self.journal.run(disk)
            if self.deleted:
                delete_streams(disk, self.deleted)
                self.deleted.clear()
        except OSError as error:
            if self.journal is None and is_full(error):
                return  # the files go another time
            self.journal_error = error

    def _make_files(self, disk: Disk) -> None:
        """A stream that is defined has a file, or a start would take it for damaged."""
        for _, batch in self.streams:
            if not batch.lacks_file:
                continue
            make = partial(batch.make_file, disk)
            try:
                if self.journal is None:
                    make()
                else:
                    self.journal.with_room(disk, make)
            except OSError as error:
                if not is_full(error):
                    raise

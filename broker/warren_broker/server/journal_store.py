"""JournalStore: the broker's store, which tells journal and streams in bytes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, final

import cbor2

from warren_broker.amqp.deliver import encode_route
from warren_broker.core.checksum import checksum_of, verify
from warren_broker.core.definitions import QUEUE_SOURCE, STREAM_OFFSET
from warren_broker.core.store import Store
from warren_broker.server.group_commit import GroupCommit
from warren_broker.server.revival import revived
from warren_broker.server.unsafe import Unsafe
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.settings import SyncMode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from warren_broker.core.message import Message
    from warren_broker.core.queue.packing import Run
    from warren_broker.core.store import Key
    from warren_broker.core.stream.log import Log, LogOwner
    from warren_broker.server.book import Book
    from warren_broker.server.streams import Streams
    from warren_broker.server.unsafe import Place, Waiting
    from warren_broker.storage.journal import Journal
    from warren_broker.storage.lookup import Lookup
    from warren_broker.storage.moving import Move
    from warren_broker.storage.outcome import Refused


_NOTES: Final = frozenset({STREAM_OFFSET, QUEUE_SOURCE})
"""Kinds of definitions that nobody declares: how far somebody has come."""


@final
class JournalStore(Store):
    """What the broker says, as operations of the journal and records of streams.

    Attributes:
        book: what is defined at present.
        next_number: of the group commit that collects.
        streams: the logs.
    """

    __slots__ = (
        "_journal",
        "_last",
        "_lookup",
        "_replaced",
        "_runs",
        "_syncs",
        "_unsafe",
        "_wants_sync",
        "book",
        "next_number",
        "streams",
    )

    def __init__(
        self,
        journal: Journal,
        book: Book,
        lookup: Lookup,
        streams: Streams,
        sync: SyncMode = SyncMode.ALWAYS,
    ) -> None:
        self.count = self.said = self.defined = 0
        self.committed = self.recorded = 0
        self.next_number = 1
        self.book = book
        self.streams = streams
        streams.belong_to(self)
        self._syncs = sync is SyncMode.ALWAYS
        self._wants_sync = False
        self._journal = journal
        self._lookup = lookup
        self._runs: deque[tuple[int, Run]] = deque()  # and when they are written
        self._last: tuple[int, Message] | None = None
        self._unsafe = Unsafe()
        self._replaced: dict[Place, int] = {}

    def new_number(self) -> int:
        """Return a number that was never used in this data directory."""
        self.book.last_number += 1
        self._define(self.book.number_entry())
        return self.book.last_number

    def add(self, number: int, sequence: int, message: Message, expires_ms: int) -> int:
        """Write `message`; once only if it goes to several queues in a row."""
        journal = self._journal
        journal.bound_record()
        ticket = journal.ticket
        if self._last is not None and self._last == (ticket, message):
            position = journal.add_copy(number, sequence, expires_ms)
        else:
            route = message.route
            position = journal.add_message(
                number,
                sequence,
                expires_ms,
                route.encoded or encode_route(route),
                message.header.payload,
                message.body,
            )
            self._last = (ticket, message)
        self._say()
        place = number, sequence
        self._unsafe.add(place, ticket, self.said, message, expires_ms)
        return position

    def settle(self, number: int, sequence: int, position: int) -> None:
        """Write that a message is gone."""
        place = number, sequence
        if self._replaced:
            position = self._replaced.pop(place, position)
        if self.book.returns:
            self.book.returns.pop(place, None)
        if self._unsafe.forget(place):
            return
        self._journal.add_settled(number, sequence, position)
        self._say()

    def settle_all(self, number: int, places: Iterable[tuple[int, int]]) -> None:
        """Write runs of messages that are gone, each as one operation."""
        run: list[tuple[int, int]] = []
        for sequence, position in sorted(places):
            self.book.returns.pop((number, sequence), None)
            known = self._replaced.pop((number, sequence), position)
            if self._unsafe.forget((number, sequence)):
                continue
            if run and sequence != run[-1][0] + 1:
                self._journal.add_range(number, run[0][0], run[-1][0], run)
                run = []
            run.append((sequence, known))
        if run:
            self._journal.add_range(number, run[0][0], run[-1][0], run)
            self._say()

    def doubt(self, number: int, sequence: int) -> None:
        """Write that all up to `sequence` may have been delivered by a broker before.

        That is true as long as they live, however often a broker is stopped.
        """
        self.book.doubts[number] = sequence
        self._define([number, sequence])

    def when_written(self, run: Run) -> None:
        """Let `run` know when what was said is in the journal's files."""
        self._runs.append((self.said, run))
        self._tell_runs()

    def recall(
        self, number: int, places: Iterable[tuple[int, int]], checksum: int
    ) -> list[Message]:
        """Read messages from the journal's files. Raises OSError."""
        found = self._lookup.read(number, self._given(number, places))
        bodies = b"".join([body for _, _, body in found])
        kinds = [(route, header) for route, header, _ in found]
        verify(checksum_of(bodies, kinds), checksum)
        return [*revived(found)]

    def want(self, number: int, first: tuple[int, int], last: tuple[int, int]) -> None:
        """Have the system read messages ahead."""
        self._lookup.want(number, *self._given(number, (first, last)))

    def count_return(self, number: int, sequence: int, count: int) -> None:
        """Write how often a message was returned."""
        self.book.returns[number, sequence] = count
        self._note([number, sequence, count])

    def define(self, key: Key, value: Mapping[str, object] | None) -> None:
        """Write a definition, or that it is gone."""
        entry = self.book.put(key, value)
        if key[0] in _NOTES:
            self._note(entry)
        else:
            self._define(entry)

    def open_log(self, number: int, owner: LogOwner, *, segment_bytes: int) -> Log:
        """Return the log of a stream, as its files are."""
        return self.streams.open_log(number, owner, segment_bytes)

    # --- group commits

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are not safe yet."""
        return self._journal.waiting_bytes + self.streams.waiting_bytes

    @property
    def is_dirty(self) -> bool:
        """Whether something waits for `take_commit`."""
        return self._journal.is_dirty or self.streams.is_dirty

    @property
    def is_unsynced(self) -> bool:
        """Whether something counts as safe that a power cut would take."""
        journal = self._journal
        return journal.synced < journal.committed or self.streams.is_unsynced

    def request_sync(self) -> None:
        """With the settings interval and os: make what was written safe."""
        self._journal.request_sync()
        self._wants_sync = True

    def take_commit(self, *, is_last: bool = False) -> GroupCommit | None:
        """What was said, to be written; None if there is nothing.

        It gets a number, unless it is not all of it: records that were closed are
        written by themselves. Streams leave room for the reserve, or settlements would
        find none; and so does what was published since the disk is full. Definitions
        are written anew if that lets a segment go. `is_last`: of a clean stop, after
        which nothing may be said.
        """
        journal = self._journal
        if not is_last:
            if journal.is_full and self._unsafe.is_waiting:
                self._on_record(journal.take_apart())
            if journal.wants_snapshot:
                journal.add_snapshot(self.snapshot())
        spares = 0 if is_last else journal.spares
        batch = journal.take_last_batch() if is_last else journal.take_batch()
        is_all = not (journal.closed or journal.is_begun)
        syncs = self._syncs or self._wants_sync
        streams = self.streams.take_batches(syncs=syncs, is_last=is_last)
        for _, each in streams:
            each.spares = spares
        deleted = self.streams.take_deleted() if is_all else []
        self._wants_sync = False
        if batch is None and not streams and not deleted:
            return None
        number = self.committed
        if is_all:
            number, self.next_number = self.next_number, self.next_number + 1
        return GroupCommit(number, batch, streams, deleted)

    def on_written(self, commit: GroupCommit) -> Outcome:
        """`commit.run` has returned: return the worst of what became of its parts.

        What was refused for want of room is said again, at once or by `release`.
        `committed` moves when all that was said before has been written, and `recorded`
        though streams or messages have found no room.
        """
        worst = self.streams.on_written(commit)
        if worst is Outcome.FAILED:
            return worst
        if commit.journal is not None:
            written = self._journal.on_written(commit.journal, commit.journal_error)
            if written.outcome is not Outcome.WRITTEN:
                worst = written.outcome
            self._on_record(written.refused)
        elif commit.journal_error is not None:
            worst = Outcome.FAILED
        if commit.journal_error is None:
            self.recorded = max(self.recorded, commit.number)
        if worst is Outcome.WRITTEN:
            self.committed = self._unsafe.safe_up_to(commit.number)
            self._tell_runs()
        return worst

    def end_turn(self) -> None:
        """A turn is over. Call it after each, or several count as one."""
        self._unsafe.end_turn(self.count, self._journal.ticket, self.said)

    def release(self) -> None:
        """Say again what was held back for want of room."""
        self._say_again(self._unsafe.release())
        self._unsafe.begin_turn(self.count)

    @property
    def is_holding(self) -> bool:
        """Whether anything is held back until all else is written."""
        return self._unsafe.is_holding

    @property
    def is_short(self) -> bool:
        """Whether a message still waits for room."""
        return self._unsafe.is_short

    def _on_record(self, refused: Iterable[Refused]) -> None:
        """A record was tried, and what is `refused` was not written."""
        committed = self._journal.committed
        self._unsafe.on_committed(committed)
        self._last = None
        self._say_again(self._unsafe.refuse((*each,) for each in refused))
        self._unsafe.begin_turn(self.count)

    def _say_again(self, messages: Mapping[Place, Waiting]) -> None:
        for place, waiting in messages.items():
            self._replaced[place] = self.add(
                *place, waiting.message, waiting.expires_ms
            )
            self._unsafe.say_again(place, waiting, self._journal.ticket)

    def on_moved(self, move: Move, error: Exception | None) -> None:
        """A move is done: what it wrote is now the last message of the journal."""
        self._journal.on_moved(move, error)
        self._last = None

    def snapshot(self) -> bytes:
        """Return all definitions as they are now."""
        return cbor2.dumps(self.book.entries())

    def _tell_runs(self) -> None:
        """They are in the order of their tickets."""
        while self._runs and self._runs[0][0] <= self.committed:
            self._runs.popleft()[1].on_written()

    def _given(
        self, number: int, places: Iterable[tuple[int, int]]
    ) -> Iterable[tuple[int, int]]:
        """The positions by which the journal knows messages, also those said again."""
        if not self._replaced:
            return places
        replaced = self._replaced
        return [
            (sequence, replaced.get((number, sequence), position))
            for sequence, position in places
        ]

    def _note(self, entry: list[object]) -> None:
        """Write what no answer speaks of."""
        self._journal.add_definition(cbor2.dumps(entry))
        self._say()

    def _define(self, entry: list[object]) -> None:
        self._note(entry)
        self.defined = self.said

    def _say(self) -> None:
        self.count += 1
        self.said = self.next_number

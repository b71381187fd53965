"""Bugs in the wiring between broker and journal, for the simulation to find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren.wire.frames import encode_method
from warren.wire.methods import BasicAck
from warren_broker.amqp.confirms import ConfirmLedger
from warren_broker.amqp.promises import SafeOutput
from warren_broker.core.broker import Broker
from warren_broker.core.definitions import Definitions
from warren_broker.core.queue import Queue, tail
from warren_broker.core.queue.dispatcher import Dispatcher
from warren_broker.core.queue.packing import Run
from warren_broker.core.queue.tail import RunReminder
from warren_broker.core.restoration import Restoration
from warren_broker.core.schedule import Schedule
from warren_broker.server import journal_store
from warren_broker.server.journal_store import JournalStore
from warren_broker.storage.collector import Collector
from warren_broker.storage.lookup import Lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

    from warren.wire.methods import Method
    from warren_broker.core.queue.consumer import Consumer
    from warren_broker.core.queue.entry import Entry
    from warren_broker.storage.lookup import Content
    from warren_broker.storage.moving import Move

    Plant = Callable[[pytest.MonkeyPatch], None]


def replaced(owner: type, name: str, bug: object) -> Plant:
    """Put `bug` in the place of what `owner` has under `name`."""
    return lambda patch: patch.setattr(owner, name, bug)


def sent_at_once(self: ConfirmLedger) -> None:
    """The confirm does not wait for the journal."""
    count = self.published - self.confirmed
    if count:
        self.confirmed = self.published
        right, self._broker.store = self._broker.store, None
        self.confirmed -= count
        RIGHT_FLUSH(self)
        self._broker.store = right


def safe_with_the_record_before(self: Broker, *, is_late: bool = False) -> int:
    return max(0, RIGHT_TICKET(self, is_late=is_late) - 1)


def only_of_this_turn(self: Broker) -> int:
    return RIGHT_TICKET(self)


def given_and_kept(self: Dispatcher, entry: Entry, consumer: Consumer) -> None:
    position, entry.position = entry.position, 0
    if not consumer.no_ack:
        entry.position = position
    RIGHT_DELIVER(self, entry, consumer)


def buried_and_kept(self: Dispatcher, entry: Entry, reason: str) -> None:
    entry.position = 0
    RIGHT_BURY(self, entry, reason)


def moved_in_two_records(self: Dispatcher, entry: Entry, reason: str) -> None:
    """The letter is sent now, and what it is of is forgotten in another turn."""
    store = self.vhost.broker.store
    if entry.position and isinstance(store, JournalStore):
        LATER.append((store, self.number, entry.sequence, entry.position))
        entry.position = 0
    RIGHT_BURY(self, entry, reason)


def settled_with_the_next_batch(self: JournalStore, refused: Iterable[object]) -> None:
    RIGHT_WRITTEN(self, refused)  # type: ignore[arg-type]
    for store, *place in [*LATER]:
        if store is self:
            LATER.remove((store, *place))
            store.settle(*place)


def acked_and_forgotten(self: Queue, entry: Entry) -> None:
    position, entry.position = entry.position, 0
    RIGHT_SETTLE(self, entry)
    if entry.sequence % 5:
        entry.position = position
        self.forget(entry)


def the_same_number_again(self: JournalStore) -> int:
    """The number of the last queue is remembered, but not beyond a restart."""
    self.book.last_number += 1
    return self.book.last_number


def copied_after_a_move(
    self: JournalStore, move: Move, error: Exception | None
) -> None:
    self._journal.on_moved(move, error)


def given_places(
    self: Collector, queue: int, places: Iterable[tuple[int, int]], *, is_run: bool
) -> list[int]:
    return [position for _, position in places]


def moved_at_once(
    self: Collector, queue: int, places: Iterable[tuple[int, int]], *, is_run: bool
) -> list[int]:
    return [self.position_of(queue, *place) for place in places]


def only_where_it_was(
    self: Lookup, queue: int, places: Iterable[tuple[int, int]]
) -> list[Content]:
    return self._read(queue, [*places], is_run=False)


def forgotten_at_once(self: JournalStore, run: Run) -> None:
    run.on_written()


def counted_as_gone(self: JournalStore, run: Run) -> None:
    for place in run.places():
        self._journal._forget(run._queue.number, *place)
    RIGHT_WHEN_WRITTEN(self, run)


def never_returned(self: Run) -> list[Entry]:
    entries = RIGHT_ENTRIES(self)
    for entry in entries:
        entry.delivery_count = 0
    return entries


def read_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tail, "_read", lambda run: run.entries())


def never_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal_store, "verify", nothing)


LATER: list[tuple[JournalStore, int, int, int]] = []
RIGHT_FLUSH = ConfirmLedger.flush
RIGHT_TICKET = Broker.ticket_due
RIGHT_DELIVER = Dispatcher._deliver
RIGHT_BURY = Dispatcher.bury
RIGHT_WRITTEN = JournalStore.on_written
RIGHT_SETTLE = Queue.settle
RIGHT_WHEN_WRITTEN = JournalStore.when_written
RIGHT_ENTRIES = Run.entries


def two_records(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Dispatcher, "bury", moved_in_two_records)
    patch.setattr(JournalStore, "on_written", settled_with_the_next_batch)


def nothing(*_: object, **__: object) -> None:
    """Do not do it."""


def answered_at_once(self: object, channel: int, method: Method, **_: bool) -> bool:
    self._outbox.write(encode_method(channel, method))  # type: ignore[attr-defined]
    return False


def all_answers_at_once(patch: pytest.MonkeyPatch) -> None:
    right = SafeOutput.send

    def send(
        self: SafeOutput, channel: int, method: Method, *, is_late: bool = False
    ) -> bool:
        if isinstance(method, BasicAck):
            return right(self, channel, method, is_late=is_late)
        return answered_at_once(self, channel, method)

    patch.setattr(SafeOutput, "send", send)


BUGS: dict[str, Plant] = {
    "confirms do not wait": replaced(ConfirmLedger, "flush", sent_at_once),
    "answers do not wait": all_answers_at_once,
    "all wait for the record before": replaced(
        Broker, "ticket_due", safe_with_the_record_before
    ),
    "what others have declared is believed": replaced(
        Broker, "definition_due", only_of_this_turn
    ),
    "what goes without an ack is kept": replaced(
        Dispatcher, "_deliver", given_and_kept
    ),
    "what dies is kept": replaced(Dispatcher, "bury", buried_and_kept),
    "a letter and its settlement are in two records": two_records,
    "some acks are forgotten": replaced(Queue, "settle", acked_and_forgotten),
    "a purge is forgotten": replaced(Queue, "_forget_waiting", nothing),
    "returns are not counted": replaced(JournalStore, "count_return", nothing),
    "nobody doubts after a crash": replaced(JournalStore, "doubt", nothing),
    "numbers are given twice": replaced(
        JournalStore, "new_number", the_same_number_again
    ),
    "sequences are given twice": replaced(Restoration, "go_on_after", nothing),
    "deletions are forgotten": replaced(Definitions, "remove", nothing),
    "unbinding is forgotten": replaced(Definitions, "remove_bindings", nothing),
    "what was for later comes twice": replaced(Schedule, "_forget", nothing),
    "a copy is of what was moved": replaced(
        JournalStore, "on_moved", copied_after_a_move
    ),
    "what has moved is looked for where it was": replaced(
        Collector, "whereabouts", given_places
    ),
    "what is moved is looked for before it is written": replaced(
        Collector, "whereabouts", moved_at_once
    ),
    "a segment that has gone is not looked for elsewhere": replaced(
        Lookup, "read", only_where_it_was
    ),
    "what is spilled is forgotten before it is written": replaced(
        JournalStore, "when_written", forgotten_at_once
    ),
    "segments go from under runs": replaced(
        JournalStore, "when_written", counted_as_gone
    ),
    "what is packed outlives its time": replaced(RunReminder, "unpack", nothing),
    "returns are not packed": replaced(Run, "entries", never_returned),
    "a disk that fails gets no second chance": read_once,
    "checksums of runs are not compared": never_compared,
}

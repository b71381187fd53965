"""Streams do what the model does; and the machine finds each bug that is planted."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.core.machine_bugs import replaced
from tests.core.stream_machine import StreamMachine
from warren_broker.core.stream import group, subscription
from warren_broker.core.stream.choice import Choice
from warren_broker.core.stream.cursor import Cursor
from warren_broker.core.stream.loan import Loan
from warren_broker.core.stream.loans import Loans
from warren_broker.core.stream.memory_log import MemoryLog
from warren_broker.core.stream.offsets import Offsets
from warren_broker.core.stream.producers import Producers
from warren_broker.core.stream.reader import Reader
from warren_broker.core.stream.stream import Stream

if TYPE_CHECKING:
    from tests.core.machine_bugs import Plant
    from warren_broker.core.queue import Entry
    from warren_broker.core.stream.log import Retention
    from warren_broker.core.stream.record import Page

SEARCH = settings(
    database=None,
    max_examples=2000,
    stateful_step_count=40,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(1800)  # under the profile `thorough`
def test_streams_do_what_the_model_does() -> None:
    run_state_machine_as_test(StreamMachine, settings=settings(stateful_step_count=40))


RIGHT_TAKE = Cursor.take
RIGHT_TAKE_BACK = Reader.take_back
RIGHT_JUMP = Cursor._jump
RIGHT_SETTLE_RUN = Loans.settle_run
RIGHT_BREAK_UP = Loans.break_up
RIGHT_OPEN = Stream.open
RIGHT_RETAIN = MemoryLog.retain
RIGHT_SHARE = group.share


def one_too_far(self: Cursor, page: Page) -> None:
    RIGHT_TAKE(self, page)
    self.index = min(self.index + (page.start < self.next), len(page.records))
    if page.start < self.offset:
        self.index = bisect_right(page.records, self.offset, key=lambda r: r.offset)


def returned_comes_later(self: Reader, entry: Entry, *, failed: bool) -> None:
    RIGHT_TAKE_BACK(self, entry, failed=failed)
    cursor = self._cursor
    if cursor.index < len(cursor.records):
        self._deliver(cursor.records[cursor.index])
        cursor.index += 1


def jumps_silently(self: Cursor, reader: Reader, first: int) -> None:
    RIGHT_JUMP(self, reader, first)
    self.gap = 0


def settles_what_does_not_follow(self: Loans, tags: list[int], start: int) -> int:
    if self._loans[0].count < len(tags) - start:
        return RIGHT_SETTLE_RUN(self, tags, start)
    self._settle_first(len(tags) - start)
    return len(tags) - start


def forgets_one(self: Loans) -> dict[int, Entry]:
    entries = RIGHT_BREAK_UP(self)
    if len(entries) > 2:
        entries.popitem()
    return entries


def offsets_by_count(self: Stream) -> None:
    RIGHT_OPEN(self)
    self.next_offset = self.log.end = self.log.count


def drops_the_active_segment(self: MemoryLog, retention: Retention, now: int) -> None:
    RIGHT_RETAIN(self, retention, now)
    if retention.max_records is not None and self.count > retention.max_records:
        self._segments[-1].keep([])
        self.count = 0


def all_for_the_first(parts: object, members: object, owners: object) -> object:
    return dict.fromkeys(parts, next(iter(members)))  # type: ignore[call-overload]


BUGS: dict[str, Plant] = {
    "stored ahead of what was settled": replaced(
        Reader, "settled_until", property(lambda self: self.position)
    ),
    "a duplicate is appended": replaced(
        Producers, "came_before", lambda self, producer: False
    ),
    "a new record counts as a duplicate": replaced(
        Producers, "came_before", lambda self, producer: producer[0] in self._last
    ),
    "nobody looks at the expected offset": replaced(
        Stream, "_answer", lambda self, claims: None
    ),
    "what is lent counts as settled": replaced(
        Loan,
        "offset",
        property(lambda self: self.page.records[self.stop - 1].offset + 1),
    ),
    "whatever is acked is the first": replaced(
        Loans, "settle_run", settles_what_does_not_follow
    ),
    "a broken loan is not whole": replaced(Loans, "break_up", forgets_one),
    "what was returned comes later": replaced(
        Reader, "take_back", returned_comes_later
    ),
    "a page begins one too far": replaced(Cursor, "take", one_too_far),
    "a gap is not told": replaced(Cursor, "_jump", jumps_silently),
    "every record is chosen": replaced(Choice, "passes", lambda self, record: True),
    "offsets are counted again": replaced(Stream, "open", offsets_by_count),
    "nobody is woken at the end": replaced(
        Stream, "wait_at_end", lambda self, reader: None
    ),
    "the active segment goes": replaced(MemoryLog, "retain", drops_the_active_segment),
    "offsets are not restored": replaced(
        Offsets, "restore", lambda self, reference, offset: None
    ),
    "one member has it all": replaced(group, "share", all_for_the_first),
    "last is one before the last": replaced(
        subscription,
        "begin_at",
        lambda reader, stream, at: reader.begin(max(0, stream.next_offset - 2)),
    ),
}


THEMES: dict[str, dict[str, tuple[object, ...]]] = {
    "a gap is not told": {"lengths": (5,), "segments": (60,), "compacts": (False,)},
    "the active segment goes": {"lengths": (5,), "compacts": (False,)},
}
"""What is declared, where it matters; otherwise anything."""


@pytest.mark.parametrize("plant", BUGS.values(), ids=BUGS)
def test_the_machine_finds(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    plant(monkeypatch)
    for attribute, values in THEMES.get(request.node.callspec.id, {}).items():
        monkeypatch.setattr(StreamMachine, attribute, values)
    with pytest.raises((Exception, ExceptionGroup)):
        run_state_machine_as_test(StreamMachine, settings=SEARCH)

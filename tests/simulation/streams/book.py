"""Book: what was appended to one stream, and what anybody has ever seen there.

It knows the rules of streams from the outside only. What a reader was given is there
for good: the same bytes at the same offset, until retention or compaction takes it.
What is not found after a crash and may not have gone in one of these ways is lost, and
what is lost must not come back by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from tests.simulation.history import Violation
from tests.simulation.ledger import Note

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RECORD_BYTES_MIN = 60  # in a segment


@dataclass(frozen=True)
class StreamTerms:
    """How a stream was declared. Bytes, records and seconds; 0: no limit."""

    segment: int = 1000
    length: int = 0
    age: int = 0
    is_compacted: bool = False

    @property
    def arguments(self) -> dict[str, object]:
        found: dict[str, object] = {
            "x-queue-type": "stream",
            "x-stream-max-segment-size-bytes": self.segment,
        }
        if self.length:
            found["x-max-length"] = self.length
        if self.age:
            found["x-max-age"] = f"{self.age}s"
        if self.is_compacted:
            found |= {"x-compact": True, "x-compact-tombstone-age": "4s"}
        return found

    @property
    def is_trimmed(self) -> bool:
        return bool(self.length or self.age)


@dataclass
class Word(Note):
    """A message for a stream. `topic`: its key for compaction; "": the routing key."""

    padding: int = 0
    topic: str = ""
    producer: tuple[str, int] | None = None
    is_tombstone: bool = False

    @property
    def body(self) -> bytes:
        return b"" if self.is_tombstone else self.name.encode() + b"." * self.padding

    @property
    def headers(self) -> dict[str, object]:
        found: dict[str, object] = {"x-name": self.name}
        if self.topic:
            found["x-compact-key"] = self.topic
        if self.producer:
            found["x-producer-id"], found["x-producer-seq"] = self.producer
        return found


class Sighting(NamedTuple):
    """A record as a reader was given it."""

    name: str
    topic: str
    body: bytes
    route: tuple[str, str]
    properties: tuple[object, ...]
    headers: Mapping[str, object]


@dataclass(eq=False)
class Line:
    """A record that may be in a stream.

    Attributes:
        rank: among all that were appended; `first_rank`: when it was sent first.
        may_repeat: what made it may happen once more after a crash.
        is_timely: it came because time had passed, nobody knows before what.
        ticket: with which it is safe in this life of the broker; 0: it was before.
    """

    note: Note
    rank: int
    first_rank: int
    at: float
    may_repeat: bool = False
    is_timely: bool = False
    is_confirmed: bool = False
    ticket: int = 0

    @property
    def topic(self) -> str:
        return getattr(self.note, "topic", "") or self.note.key

    @property
    def is_tombstone(self) -> bool:
        return not self.note.body


@dataclass(eq=False)
class Course:
    """How far those have come who share a name: its owner is to get all from `begun`.

    Attributes:
        is_stored: it was found after a restart.
    """

    begun: int
    settled: set[int] = field(default_factory=set)
    is_stored: bool = False


class Book:
    """One stream.

    Attributes:
        lines: by name, what was appended and may be there.
        at: by offset, what somebody was given.  places: the same by name.
        courses: by reference.
        trimmed_until: at most so much was ever let go of by retention.
    """

    def __init__(self, name: str, terms: StreamTerms) -> None:
        self.name = name
        self.terms = terms
        self.lines: dict[str, Line] = {}
        self.at: dict[int, Sighting] = {}
        self.places: dict[str, int] = {}
        self.courses: dict[str, Course] = {}
        self.trimmed_until = 0
        self._rank = 0
        self._rank_before = 0  # of what was appended in other lives
        self._first_ranks: dict[str, int] = {}
        self._unseen: dict[str, int] = {}  # by topic: ranks of what came and went

    # --- what publishers do

    def append(self, name: str, note: Note, now: float, **what: bool) -> None:
        """A publisher has sent it; what is here already is a duplicate."""
        line = self.lines.get(name)
        if line is not None and not line.may_repeat:
            line.may_repeat = not isinstance(note, Word)  # it came in two ways
            return
        self._rank += 1
        first_rank = self._first_ranks.setdefault(name, self._rank)
        self.lines[name] = Line(note, self._rank, first_rank, now, **what)

    def restart(self) -> None:
        """The broker is gone, and what it had appended and not yet written."""
        self._rank_before = self._rank
        for line in self.lines.values():
            line.ticket = 0

    # --- what readers are given

    def see(self, offset: int, seen: Sighting) -> None:
        """A reader was given this. Raises Violation if that may not be."""
        line = self.lines.get(seen.name)
        if line is None:
            raise Violation(f"{self.name}: {seen.name} at {offset} is of nobody")
        if seen.body != line.note.body:
            raise Violation(f"{self.name}: {seen.name} has become {seen.body!r}")
        known = self.at.setdefault(offset, seen)
        if known != seen:
            raise Violation(f"{self.name}: {known} at {offset} has become {seen}")
        place = self.places.setdefault(seen.name, offset)
        if place != offset and not line.may_repeat:
            raise Violation(f"{self.name}: {seen.name} at {place} and {offset}")

    def may_be_gone(self, offset: int) -> bool:
        """Whether a reader may be given nothing at `offset`, which is not trimmed."""
        if not self.terms.is_compacted:
            return False
        seen = self.at.get(offset)
        return seen is None or not seen.body or self._is_superseded(offset, seen)

    def _is_superseded(self, offset: int, seen: Sighting) -> bool:
        """Whether there is a newer record with the same key."""
        rank = self.lines[seen.name].rank
        return (
            self._unseen.get(seen.topic, 0) > rank
            or any(
                line.topic == seen.topic and line.rank > rank
                for name, line in self.lines.items()
                if self.places.get(name, offset + 1) > offset
            )
            or any(  # it may have come twice
                at > offset and other.topic == seen.topic
                for at, other in self.at.items()
            )
        )

    def check_passed(self, course: Course, offset: int, what: str) -> None:
        """Somebody goes on at `offset`: all before it must be settled, or gone."""
        for each in range(max(course.begun, self.trimmed_until), offset):
            if each not in course.settled and not self.may_be_gone(each):
                raise Violation(
                    f"{self.name}: {what} is at {offset}, and had no {each}"
                )

    # --- all of it, after a crash and in the end

    def audit(
        self, found: Sequence[tuple[int, Sighting]], end: int, now: float
    ) -> None:
        """Compare with all that is there; what is not is lost. Raises Violation."""
        for offset, seen in found:
            self.see(offset, seen)
        offsets = [offset for offset, _ in found]
        first = offsets[0] if found else end
        for before, after in pairwise([*offsets, end]):
            holes = range(before + 1, after)
            if before >= after or not all(map(self.may_be_gone, holes)):
                raise Violation(f"{self.name}: {after} follows {before}")
        self._check_gone(set(offsets), first)
        self._check_order(found)
        self._check_trimmed(len(found), first, now)
        self._check_confirmed({seen.name for _, seen in found}, first)
        for name, line in self.lines.items():
            if name not in self.places and line.rank <= self._rank_before:
                newest = self._unseen.get(line.topic, 0)
                self._unseen[line.topic] = max(newest, line.rank)
        self.lines = {
            name: line
            for name, line in self.lines.items()
            if name in self.places or line.rank > self._rank_before
        }

    def _check_gone(self, offsets: set[int], first: int) -> None:
        for offset, seen in self.at.items():
            if offset in offsets or self.may_be_gone(offset):
                continue
            if offset > first or not self.terms.is_trimmed:
                raise Violation(
                    f"{self.name}: {seen.name} was at {offset}, and is gone"
                )

    def _check_order(self, found: Sequence[tuple[int, Sighting]]) -> None:
        lines = [self.lines[seen.name] for _, seen in found]
        ranks = [each.rank for each in lines if not (each.is_timely or each.may_repeat)]
        if ranks != sorted(ranks):
            raise Violation(f"{self.name}: out of order: {found}")

    def _check_trimmed(self, count: int, first: int, now: float) -> None:
        """Whole segments go, and no more of them than are too much."""
        terms = self.terms
        if not terms.is_compacted and not terms.is_trimmed and first:
            raise Violation(f"{self.name} begins at {first}")
        at_once = terms.segment // RECORD_BYTES_MIN
        if terms.length and self.trimmed_until and count + at_once < terms.length:
            raise Violation(f"{self.name} has only {count} of {terms.length}")
        for seen in (self.at.get(each) for each in range(first)):
            if terms.age and seen and self.lines[seen.name].at > now - terms.age:
                raise Violation(f"{self.name}: {seen.name} is too young to be gone")

    def _check_confirmed(self, found: set[str], first: int) -> None:
        """A confirmed record that nobody has seen may be gone only as others are."""
        oldest = min((self.lines[name].rank for name in found), default=None)
        newest: dict[str, int] = {}
        for name, line in self.lines.items():
            if line.is_tombstone or name in found:
                newest[line.topic] = max(line.rank, newest.get(line.topic, 0))
        for name, line in self.lines.items():
            if not line.is_confirmed or name in found or name in self.places:
                continue
            is_superseded = newest.get(line.topic, 0) > line.first_rank
            if self.terms.is_compacted and (is_superseded or line.is_tombstone):
                continue
            is_old = oldest is None or line.first_rank < oldest
            if not (self.terms.is_trimmed and first and is_old):
                raise Violation(f"{self.name}: {name} was confirmed, and is lost")

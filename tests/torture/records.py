"""What clients have appended to a stream and read there, and what must be found."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, final

from tests.torture.ledger import (
    DISORDERED,
    DOUBLED,
    EXPECTED,
    FINDINGS_MAX,
    INVENTED,
    LOST,
    body_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.torture.ledger import Key

RECORDS_MAX: Final = 6_000  # with more, reading all of them takes seconds
READ: Final = "read"


class Record(NamedTuple):
    """A record as a reader was given it."""

    offset: int
    body: bytes

    @property
    def key(self) -> Key:
        """Which it is. Raises ValueError: none of ours."""
        publisher, number = self.body.split(b"|")[:2]
        return int(publisher), int(number)


@dataclass(frozen=True)
class RecordMoment:
    """What was known of a stream at some time. `seen`: bodies by offset."""

    stream: str
    confirmed: frozenset[Key]
    seen: dict[int, bytes]


@final
class RecordLedger:
    """One for all threads, and for one stream after the other.

    Attributes:
        findings: what is wrong, in words; the first ones.
        arguments: how streams are declared.
    """

    def __init__(self, size_max: int = 900, **limits: int) -> None:
        """`limits`: of retention, as `max_length_bytes`."""
        self.size_max = size_max
        self.findings: list[str] = []
        self.arguments: dict[str, object] = {"x-queue-type": "stream"}
        for name, value in limits.items():
            self.arguments[f"x-{name.replace('_', '-')}"] = value
        self._is_trimmed = bool(limits)
        self._lock = threading.Lock()
        self._figures: Counter[str] = Counter()
        self._streams = 0
        self._last: Counter[int] = Counter()  # by publisher, of all streams
        self.begin_stream()

    def begin_stream(self) -> None:
        """From now on it is about another stream."""
        with self._lock:
            self._streams += 1
            self.stream = f"torture.stream.{self._streams}"
            self._attempted: dict[int, list[int]] = {}
            self._confirmed: set[Key] = set()
            self._refused: set[Key] = set()
            self._seen: dict[int, bytes] = {}
            self._acked_until = 0

    @property
    def is_long(self) -> bool:
        """Whether it is time for another stream."""
        return not self._is_trimmed and len(self._confirmed) > RECORDS_MAX

    # --- what publishers do

    def next_number(self, publisher: int) -> int:
        """The publisher is about to append a record of this number."""
        with self._lock:
            self._last[publisher] += 1
            self._figures["attempted"] += 1
            self._attempted.setdefault(publisher, []).append(self._last[publisher])
            return self._last[publisher]

    def unconfirmed(self, publisher: int) -> list[int]:
        """Return what it is to send once more: nobody knows what became of it."""
        with self._lock:
            answered = self._confirmed | self._refused
            attempted = self._attempted.get(publisher, ())
            return [one for one in attempted if (publisher, one) not in answered]

    def body_of(self, publisher: int, number: int) -> bytes:
        return body_of(publisher, number, self.size_max)

    def confirm(self, publisher: int, numbers: Iterable[int]) -> None:
        with self._lock:
            before = len(self._confirmed)
            self._confirmed.update((publisher, number) for number in numbers)
            self._figures["confirmed"] += len(self._confirmed) - before

    def refuse(self, publisher: int, numbers: Iterable[int]) -> None:
        """They were nacked: may be there or not.

        They cannot be sent once more, since the publisher has gone on.
        """
        with self._lock:
            before = len(self._refused)
            self._refused.update((publisher, number) for number in numbers)
            self._figures["nacked"] += len(self._refused) - before

    # --- what readers are given

    def see(self, record: Record) -> None:
        """A reader got it: from now on it is there for good."""
        with self._lock:
            self._figures[READ] += 1
            if self._seen.setdefault(record.offset, record.body) != record.body:
                self._note(INVENTED, f"{record.offset} of {self.stream} has changed")
            elif not self._is_known(record):
                self._note(INVENTED, f"{record.offset} of {self.stream}")

    def begin_group(self, offset: int) -> None:
        """The group goes on there. What it has settled may come again."""
        with self._lock:
            if offset > self._acked_until and not self._is_trimmed:
                text = f"a group had all before {self._acked_until}, is at {offset}"
                self._note(LOST, f"{self.stream}: {text}")

    def ack(self, offset: int) -> None:
        """The group is about to settle all up to there."""
        with self._lock:
            self._acked_until = max(self._acked_until, offset + 1)

    def moment(self) -> RecordMoment:
        """Return what is known now."""
        with self._lock:
            return RecordMoment(
                self.stream, frozenset(self._confirmed), self._seen.copy()
            )

    # --- what must be found

    def judge(self, before: RecordMoment, found: Sequence[Record]) -> Counter[str]:
        """Compare all that is in the stream with what was known `before`."""
        figures = Counter({EXPECTED: len(before.confirmed), READ: len(found)})
        offsets = [each.offset for each in found]
        first = offsets[0] if found else 0
        bodies = {each.offset: each.body for each in found}
        keys = [each.key for each in found if self._is_known(each)]
        gone = {offset for offset in before.seen if offset >= first} - bodies.keys()
        holes = sum(max(0, other - one - 1) for one, other in pairwise(offsets))
        if not self._is_trimmed:
            holes += first
        figures[LOST] += max(len(gone), holes, self._lost(before.confirmed, keys))
        figures[DISORDERED] += sum(other <= one for one, other in pairwise(offsets))
        figures[DOUBLED] += len(keys) - len(set(keys))
        figures[INVENTED] += len(found) - len(keys)
        figures[INVENTED] += sum(
            bodies.get(offset, body) != body for offset, body in before.seen.items()
        )
        return figures

    def _lost(self, confirmed: frozenset[Key], keys: list[Key]) -> int:
        """How many are missing; of what retention may have taken, none are."""
        lost = confirmed - set(keys)
        if self._is_trimmed:
            oldest: dict[int, int] = {}
            for publisher, number in keys:
                oldest.setdefault(publisher, number)
            lost = {
                (publisher, number)
                for publisher, number in lost
                if number > oldest.get(publisher, number)
            }
        return len(lost)

    def enter(self, figures: Counter[str]) -> None:
        """Count what was found."""
        with self._lock:
            self._figures += figures

    def report(self) -> Counter[str]:
        """Return all figures; those of `WRONG` should be 0."""
        with self._lock:
            return self._figures.copy()

    def _is_known(self, record: Record) -> bool:
        """Whether a publisher has sent just this."""
        try:
            publisher, number = record.key
        except ValueError:
            return False
        is_sent = 0 < number <= self._last[publisher]
        return is_sent and record.body == self.body_of(publisher, number)

    def _note(self, kind: str, text: str) -> None:
        self._figures[kind] += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(f"{kind}: {text}")

"""What the clients have done and seen: loss, duplication, invention and order."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Iterable

QUEUES: Final = ("torture.one", "torture.two")
EXCHANGE: Final = "torture"

EXPECTED: Final = "to be found"
LOST: Final = "lost"
DOUBLED: Final = "duplicated without the flag"
INVENTED: Final = "invented or altered"
DISORDERED: Final = "out of order"
DAMAGED: Final = "damaged states found"
WRONG: Final = (LOST, DOUBLED, INVENTED, DISORDERED, DAMAGED)

Key = tuple[int, int]
"""Publisher and number of a message."""

FINDINGS_MAX: Final = 10


def body_of(publisher: int, number: int, size_max: int) -> bytes:
    """A message that cannot be mistaken for another, nor be altered unnoticed."""
    text = f"{publisher}|{number}|" + "x" * (number * 37 % size_max)
    return f"{text}|{hashlib.sha256(text.encode()).hexdigest()}".encode()


@dataclass(frozen=True)
class Given:
    """A delivery."""

    queue: str
    body: bytes
    is_redelivered: bool

    @property
    def key(self) -> Key:
        """Which message it is. Raises ValueError: none of ours."""
        publisher, number = self.body.split(b"|")[:2]
        return int(publisher), int(number)


@final
class Ledger:
    """One for all threads. Every message goes to all queues.

    Attributes:
        findings: what is wrong, in words; the first ones.
    """

    def __init__(self, size_max: int = 900) -> None:
        """Bodies are padded with less than `size_max` bytes."""
        self.size_max = size_max
        self.findings: list[str] = []
        self._lock = threading.Lock()
        self._attempted: Counter[int] = Counter()  # by publisher, the last number
        self._confirmed: set[Key] = set()
        self._seen: dict[str, dict[Key, str]] = {name: {} for name in QUEUES}
        self._settled: dict[str, set[Key]] = {name: set() for name in QUEUES}
        self._fresh: dict[tuple[str, int], int] = {}  # the last that was no redelivery
        self._figures: Counter[str] = Counter()
        self._life = ""

    def begin_life(self, name: str) -> None:
        """A broker is about to start; `name` tells how it will end."""
        with self._lock:
            self._life = name

    def next_number(self, publisher: int) -> int:
        """The publisher is about to send a message of this number."""
        with self._lock:
            self._attempted[publisher] += 1
            return self._attempted[publisher]

    def body_of(self, publisher: int, number: int) -> bytes:
        return body_of(publisher, number, self.size_max)

    def confirm(self, publisher: int, numbers: Iterable[int]) -> None:
        with self._lock:
            self._confirmed.update((publisher, number) for number in numbers)

    def refuse(self, publisher: int, numbers: Iterable[int]) -> None:
        """They were nacked: may be there or not."""
        with self._lock:
            self._figures["nacked"] += sum(1 for _ in numbers)

    def settle(self, queue: str, keys: Iterable[Key]) -> None:
        """A client is about to ack them: from now on they may be gone."""
        with self._lock:
            self._settled[queue].update(keys)

    def see(self, given: Given) -> None:
        """A client got it."""
        with self._lock:
            if not self.is_known(given):
                self._figures[INVENTED] += 1
                return
            if given.is_redelivered:
                self._figures["redelivered"] += 1
            else:
                self._see_fresh(given.queue, *given.key)
            self._seen[given.queue].setdefault(given.key, self._life)

    def is_known(self, given: Given) -> bool:
        """Whether a publisher has sent just this."""
        try:
            publisher, number = given.key
        except ValueError:
            return False
        is_sent = 0 < number <= self._attempted[publisher]
        return is_sent and given.body == self.body_of(publisher, number)

    @property
    def confirmed(self) -> int:
        return len(self._confirmed)

    @property
    def unseen(self) -> int:
        """How many are confirmed and still to come, from one of the queues."""
        return max(len(self._confirmed) - len(seen) for seen in self._seen.values())

    def moment(self) -> Moment:
        """Return what is known now."""
        with self._lock:
            return Moment(
                frozenset(self._confirmed),
                {queue: frozenset(seen) for queue, seen in self._seen.items()},
                {queue: frozenset(keys) for queue, keys in self._settled.items()},
            )

    def note(self, kind: str, text: str) -> None:
        """Something is wrong, in words as well."""
        self._figures[kind] += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(f"{kind}: {text}")

    def _see_fresh(self, queue: str, publisher: int, number: int) -> None:
        before = self._seen[queue].get((publisher, number))
        if before is not None:
            message = f"{publisher}|{number} of {queue}"
            self.note(DOUBLED, f"{message}: given in {before}, new in {self._life}")
        if self._fresh.get((queue, publisher), 0) > number:
            self._figures[DISORDERED] += 1
        self._fresh[queue, publisher] = number

    def report(self) -> Counter[str]:
        """Return all figures; those of `WRONG` should be 0.

        To be called after all queues were drained: what was not seen is lost.
        """
        with self._lock:
            figures = self._figures.copy()
            figures["attempted"] = self._attempted.total()
            figures["confirmed"] = len(self._confirmed)
            for seen in self._seen.values():
                figures[LOST] += len(self._confirmed - seen.keys())
            return figures


@dataclass(frozen=True)
class Moment:
    """What the clients knew at some time."""

    confirmed: frozenset[Key]
    seen: dict[str, frozenset[Key]]  # by queue
    settled: dict[str, frozenset[Key]]


@dataclass(frozen=True)
class Promise:
    """What must be found after an end that began and was over at known times.

    What was confirmed before it began is there, unless somebody settled it before it
    was over; what was given before it began does not come as new.
    """

    before: Moment
    after: Moment

    def judge(self, ledger: Ledger, drained: Iterable[Given]) -> Counter[str]:
        """Compare with all that was left: figures as in `Ledger.report`."""
        figures: Counter[str] = Counter()
        found: dict[str, set[Key]] = {queue: set() for queue in QUEUES}
        last: dict[tuple[str, int], int] = {}
        for given in drained:
            if not ledger.is_known(given):
                figures[INVENTED] += 1
                continue
            queue, (publisher, number) = given.queue, given.key
            was_given = given.key in self.before.seen[queue]
            is_twice = given.key in found[queue]
            figures[DOUBLED] += is_twice or (was_given and not given.is_redelivered)
            figures[DISORDERED] += last.get((queue, publisher), 0) > number
            last[queue, publisher] = number
            found[queue].add(given.key)
        for queue, keys in found.items():
            expected = self.before.confirmed - self.after.settled[queue]
            figures[EXPECTED] += len(expected)
            figures[LOST] += len(expected - keys)
        return figures

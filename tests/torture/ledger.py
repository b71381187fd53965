"""What the clients have done and seen: loss, duplication, invention and order."""

from __future__ import annotations

import hashlib
import threading
from typing import final

QUEUES = ("torture.one", "torture.two")
EXCHANGE = "torture"


def body_of(publisher: int, number: int) -> bytes:
    """A message that cannot be mistaken for another, nor be altered unnoticed."""
    text = f"{publisher}|{number}|" + "x" * (number * 37 % 900)
    return f"{text}|{hashlib.sha256(text.encode()).hexdigest()}".encode()


@final
class Ledger:
    """One for all threads. Every message goes to all queues."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempted: dict[int, int] = {}  # by publisher, the last number
        self._confirmed: set[tuple[int, int]] = set()
        self._seen: dict[str, dict[tuple[int, int], str]] = {
            name: {} for name in QUEUES
        }
        self._life = ""
        self.findings: list[str] = []
        self._fresh: dict[tuple[str, int], int] = {}  # the last that was no redelivery
        self.duplicates = self.invented = self.disordered = self.redelivered = 0

    def begin_life(self, name: str) -> None:
        """A broker is about to start; `name` tells how it will end."""
        with self._lock:
            self._life = name

    def next_number(self, publisher: int) -> int:
        with self._lock:
            number = self._attempted.get(publisher, 0) + 1
            self._attempted[publisher] = number
            return number

    def confirm(self, publisher: int, number: int) -> None:
        with self._lock:
            self._confirmed.add((publisher, number))

    def see(self, queue: str, body: bytes, *, redelivered: bool) -> None:
        publisher, number = (int(part) for part in body.split(b"|")[:2])
        with self._lock:
            known = self._attempted.get(publisher, 0) >= number
            if not known or body != body_of(publisher, number):
                self.invented += 1
                return
            if redelivered:
                self.redelivered += 1
            else:
                self._see_fresh(queue, publisher, number)
            self._seen[queue].setdefault((publisher, number), self._life)

    def _see_fresh(self, queue: str, publisher: int, number: int) -> None:
        before = self._seen[queue].get((publisher, number))
        if before is not None:
            self.duplicates += 1
            message = f"{publisher}|{number} of {queue}"
            self.findings.append(f"{message}: given in {before}, new in {self._life}")
        if self._fresh.get((queue, publisher), 0) > number:
            self.disordered += 1
        self._fresh[queue, publisher] = number

    def report(self) -> dict[str, int]:
        """Return all figures; the last four are wrong if they are not 0."""
        with self._lock:
            return {
                "attempted": sum(self._attempted.values()),
                "confirmed": len(self._confirmed),
                "redelivered": self.redelivered,
                "lost": sum(
                    len(self._confirmed - seen.keys()) for seen in self._seen.values()
                ),
                "duplicated without the flag": self.duplicates,
                "invented or altered": self.invented,
                "out of order": self.disordered,
            }

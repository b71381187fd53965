"""Queues with a limit, in slow and obvious lines: a twin of `x-overflow`.

Entries are (publish, size) in lists. A publish learns from each queue it went to
whether it was taken; what that comes to is `Publish.fate`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

AMPLE = 10**9


@dataclass(eq=False)
class Publish:
    """One publish: how many queues it waits for, and whether one refused it."""

    body: bytes = b""
    waits: int = 0
    is_refused: bool = False

    @property
    def fate(self) -> bool | None:
        """True: taken by all.  False: not by one.  None: nobody knows yet."""
        if self.is_refused:
            return False
        return None if self.waits else True


@dataclass(eq=False)
class FullQueue:
    """A queue whose entries leave only when it is told so."""

    rule: str = "block"
    length: int = AMPLE
    size_max: int = AMPLE
    deadline: float = 30.0
    line_length: int = AMPLE
    line_size_max: int = AMPLE
    ready: list[tuple[Publish, int]] = field(default_factory=list)
    line: list[tuple[Publish, int, float]] = field(default_factory=list)

    def fits(self, size: int) -> bool:
        full = sum(each for _, each in self.ready)
        return len(self.ready) < self.length and full + size <= self.size_max

    def offer(self, publish: Publish, size: int, now: float) -> None:
        if self.rule == "drop-head":
            self.ready.append((publish, size))
            self.trim()
        elif self.fits(size) and not self.line:
            self.ready.append((publish, size))
        elif self.rule == "block" and self.may_wait(size):
            self.line.append((publish, size, now))
            publish.waits += 1
        else:
            publish.is_refused |= self.rule != "drop-tail"

    def may_wait(self, size: int) -> bool:
        if not self.length or size > self.size_max:
            return False
        waiting = sum(each for _, each, _ in self.line)
        return not self.line or (
            len(self.line) < self.line_length and waiting + size <= self.line_size_max
        )

    def trim(self) -> None:
        """Drop the oldest; this twin knows drop-head with lengths only."""
        while len(self.ready) > self.length:
            self.ready.pop(0)

    def let_in(self) -> None:
        while self.line and self.fits(self.line[0][1]):
            publish, size, _ = self.line.pop(0)
            publish.waits -= 1
            self.ready.append((publish, size))

    def tick(self, now: float) -> None:
        while self.line and self.line[0][2] + self.deadline <= now:
            publish = self.line.pop(0)[0]
            publish.waits -= 1
            publish.is_refused = True
            self.let_in()

    def take(self) -> Publish | None:
        taken = self.ready.pop(0)[0] if self.ready else None
        self.let_in()
        return taken

    def drain(self) -> list[Publish]:
        taken = []
        while (publish := self.take()) is not None:
            taken.append(publish)
        return taken

    def purge(self) -> None:
        self.ready.clear()
        self.let_in()

    def resize(self, length: int) -> None:
        self.length = length
        self.let_in()

    def change_rule(self, rule: str, now: float) -> None:
        """What waits is offered anew, if it need wait no longer."""
        line, self.line, self.rule = self.line, [], rule
        for publish, size, _ in line:
            publish.waits -= 1
            self.offer(publish, size, now)
        if rule == "drop-head":
            self.trim()

    def delete(self) -> None:
        for publish, _, _ in self.line:
            publish.waits -= 1
        self.line.clear()
        self.ready.clear()

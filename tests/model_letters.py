"""What the queues of a model give up, and the dead letters that come of it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from tests.model_parts import dead, is_cycle
from tests.model_topology import Topology

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model_parts import Message
    from tests.model_queue import Entry, Queue, Waiting


class Letters(Topology):
    """A virtual host with dead letters."""

    in_order: Callable[[Message, set[str]], list[str]]

    def __init__(self) -> None:
        super().__init__()
        self.letters: list[tuple[Queue, Message, str]] = []
        self.is_busy = False  # letters wait

    @abstractmethod
    def accept(self, queue: Queue, message: Message) -> bool | Waiting:
        """Put a message into a queue, if its limits allow it."""

    def trim(self, queue: Queue) -> None:
        """Drop the oldest of the lowest priority until the limits are kept."""
        if queue.overflow == "drop-head":
            while queue.is_over():
                if queue.ready:
                    oldest = queue.oldest()
                    queue.take(oldest)
                    self.bury(oldest, "maxlen")
                else:
                    soonest = min(
                        queue.delayed, key=lambda one: (one.until, one.entry.place)
                    )
                    queue.delayed.remove(soonest)
                    self.bury(soonest.entry, soonest.reason or "maxlen")

    def bury(self, entry: Entry, reason: str) -> None:
        entry.queue.fates[reason] += 1
        if not entry.queue.is_deleted:
            self.dead_letter(entry.queue, entry.message, reason)

    def dead_letter(self, queue: Queue, message: Message, reason: str) -> None:
        """Letters wait in line: one is delivered before the next is sent."""
        self.letters.append((queue, message, reason))
        self.send_letters()

    def send_letters(self) -> None:
        """One after the other, and each with all that it sets off."""
        while self.letters and not self.is_busy:
            self.is_busy = True
            line, later = self.letters[:1], self.letters[1:]
            while line:
                self.letters = []
                self.send(*line.pop(0))
                line += self.letters
            self.letters = later
            self.is_busy = False

    def send(self, queue: Queue, message: Message, reason: str) -> None:
        name = queue.rules.get("x-dead-letter-exchange")
        if name not in self.exchanges:
            return
        letter = dead(message, queue, reason)
        for target in self.in_order(letter, self.route(letter)):
            if not is_cycle(target, letter.deaths):
                self.accept(self.queues[target], letter)

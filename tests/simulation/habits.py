"""Habits: what the users of a story do, each time something that is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.ledger import Note, QueueTerms

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.simulation.ledger import Ledger
    from tests.simulation.user import User

QUEUES = ("a", "b", "c", "d")
DEAD = ("dead", "grave")
EXCHANGES = ("x", "y")


class Habits:
    """The part of a story that is about users."""

    NOTE: type[Note] = Note
    TTLS: tuple[int, ...] = (0, 0, 0, 1, 3)

    random: Random
    ledger: Ledger
    users: list[User]
    _names: int
    _has_limits: bool
    _is_long: bool

    def declare_queue(self, user: User) -> None:
        draw = self.random
        name = draw.choice(QUEUES + DEAD)
        terms = self.ledger.queues.get(name)
        if terms is None:
            is_dead = name in DEAD
            terms = QueueTerms(
                durable=draw.random() < 0.8,
                ttl=draw.choice((0, 0, 0, 2, 5)),
                letters="" if is_dead else draw.choice(("", *DEAD)),
                length=draw.choice((0, 3)) if self._has_limits and not is_dead else 0,
                tap=self._tap() if not is_dead else "",
            )
        user.declare_queue(name, terms, then_get=draw.random() < 0.2)

    def _tap(self) -> str:
        """A stream that gets copies of what a new queue gets, perhaps."""
        return ""

    def delete_queue(self, user: User) -> None:
        if self.ledger.queues and not any(each.is_busy for each in self.users):
            user.delete_queue(self.random.choice(list(self.ledger.queues)))

    def purge_queue(self, user: User) -> None:
        if self.ledger.queues:
            user.purge_queue(self.random.choice(list(self.ledger.queues)))

    def declare_exchange(self, user: User) -> None:
        name = self.random.choice(EXCHANGES)
        durable = self.ledger.exchanges.get(name, self.random.random() < 0.8)
        user.declare_exchange(name, durable=durable)

    def delete_exchange(self, user: User) -> None:
        if self.ledger.exchanges:
            user.delete_exchange(self.random.choice(list(self.ledger.exchanges)))

    def bind(self, user: User) -> None:
        if self.ledger.exchanges and self.ledger.queues:
            source = self.random.choice(list(self.ledger.exchanges))
            user.bind(source, self.random.choice(list(self.ledger.queues)))

    def unbind(self, user: User) -> None:
        if self.ledger.bindings:
            user.unbind(*self.random.choice(list(self.ledger.bindings)))

    def publish(self, user: User) -> None:
        draw = self.random
        notes = []
        for _ in range(draw.choice((2, 5, 9) if self._is_long else (1, 1, 2, 5))):
            self._names += 1
            exchange = draw.choice(["", "", *self.ledger.exchanges])
            note = self.NOTE(
                f"m{self._names}",
                exchange,
                draw.choice([*self._queues_to_fill(), "nowhere"]),
                persistent=draw.random() < 0.8,
                ttl=draw.choice(self.TTLS),
                delay=0 if self._has_limits else draw.choice((0, 0, 0, 0, 2)),
            )
            notes.append(note)
        user.publish(*notes)

    def _queues_to_fill(self) -> list[str]:
        return [*self.ledger.queues, *(["a", "a"] if self._is_long else [])]

    def _queues_to_empty(self) -> list[str]:
        """One may have to wait longer than others, whose messages come and go."""
        waits = "a" if self._is_long and self.random.random() < 0.8 else ""
        return [name for name in self.ledger.queues if name != waits]

    def consume(self, user: User) -> None:
        queues = self.ledger.queues
        names = [name for name in self._queues_to_empty() if not queues[name].length]
        if names and len(user.consumers) < 2:
            user.consume(
                self.random.choice(names),
                no_ack=self.random.random() < 0.2,
                prefetch=self.random.choice((1, 2, 5)),
            )

    def get(self, user: User) -> None:
        if names := self._queues_to_empty():
            name = self.random.choice(names)
            user.get(name, no_ack=self.random.random() < 0.3)

    def settle(self, user: User) -> None:
        tags = list(user.unacked)
        if tags:
            at = self.random.randrange(len(tags))
            multiple = self.random.random() < 0.4
            chosen = tags[: at + 1] if multiple else [tags[at]]
            kind = self.random.choice(("ack", "ack", "ack", "refuse", "requeue"))
            user.settle(chosen, kind, multiple=multiple)

    def commit(self, user: User) -> None:
        if user.mode == "tx":
            if user.can_commit and self.random.random() < 0.8:
                user.commit()
            else:
                user.roll_back()


ACTIONS: dict[Callable[[Habits, User], None], int] = {
    Habits.declare_queue: 6,
    Habits.delete_queue: 1,
    Habits.purge_queue: 1,
    Habits.declare_exchange: 3,
    Habits.delete_exchange: 1,
    Habits.bind: 5,
    Habits.unbind: 1,
    Habits.publish: 14,
    Habits.consume: 3,
    Habits.get: 6,
    Habits.settle: 14,
    Habits.commit: 4,
}

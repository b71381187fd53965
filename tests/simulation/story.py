"""A story: what users do to a site, all of it drawn from one seed.

After every step all users hear what there is for them. After every end of the broker,
whether stopped or cut off, the ledger is asked whether what survived may be.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Self

from tests.simulated_disk import broken
from tests.simulation.habits import ACTIONS, Habits
from tests.simulation.history import Violation
from tests.simulation.ledger import Ledger
from tests.simulation.site import Fuse, PowerCut, Site, facts_of, name_of, short_heads
from tests.simulation.user import User

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.core.limits import Limits
    from warren_broker.core.queue import Queue

STEPS = 120
USERS_MAX = 4
MODES = ("plain", "confirm", "confirm", "tx")
DOWNTIMES = (0, 0, 1, 5)


def fail(_: bytes) -> bytes:
    """As a disk that cannot read."""
    raise broken("once")


def garble(data: bytes) -> bytes:
    """As a disk that does not notice: bodies are named by their digits."""
    return data.translate(_OTHER_DIGITS)


_OTHER_DIGITS = bytes.maketrans(b"0123456789", b"1234567890")


class Story(Habits):
    """One seed. `play` raises Violation, and counts what has happened."""

    LEDGER: type[Ledger] = Ledger
    USER: type[User] = User
    SITE: type[Site] = Site
    LIMITS: Limits | None = None
    CUT_BATCHES = 0.02

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.ledger = self.LEDGER()
        self.site = self.SITE(
            segment_size=self.random.choice((600, 2000, 8000)),
            segments_min=self.random.choice((1, 1, 4)),
            memory=self.random.choice((0, 0, 60, 1 << 20)),
            limits=self.LIMITS,
        )
        self.users: list[User] = []
        self.counts: Counter[str] = Counter()
        self._names = 0
        self._tickets: dict[int, int] = {}  # by step: with which it is safe
        # Steps of which somebody was told, and whether of definitions alone.
        self._promises: list[tuple[int, bool]] = []
        # With limits and delays it counts what of one moment comes first: one of them.
        self._has_limits = self.random.random() < 0.3
        # Or queues grow long, and what is in them can be spilled.
        self._is_long = not self._has_limits and self.random.random() < 0.5
        self._writes = self.random.choice((1, 3, 10))  # how eager the disk is
        self._likes = self._taste()
        swing = self.random.choice((0.0, 1.0, 2.0))
        self._habits = [
            weight * self.random.uniform(0.1, 2.0) ** swing
            for weight in self._actions().values()
        ]

    def play(self, steps: int = STEPS) -> None:
        with short_heads():
            for _ in range(steps):
                self._take_step()
            self._end_play()
            self.crash()
            self.stop()

    def _end_play(self) -> None:
        """All steps are taken, and it has not ended yet."""

    def _take_step(self) -> None:
        kind = self.random.choices(list(self._likes), [*self._likes.values()])[0]
        self.counts[kind] += 1
        self._steps()[kind](self)
        self._end_step()

    def join(self, mode: str) -> User:
        """One more user."""
        user = self.USER(self.site, self.ledger, mode, self._promise)
        self.users.append(user)
        return user

    def do(self, step: Callable[[], object], *, is_settled: bool = False) -> None:
        """Take a step that is not drawn; with `is_settled` wait until it is safe."""
        step()
        self._end_step()
        if is_settled:
            self.settle_down()
            self._end_step()

    def _taste(self) -> dict[str, float]:
        """Which steps this story is made of, and how many of each."""
        likes = {kind: 3 * self.random.random() for kind in self._steps()}
        likes["act"] = 30.0
        for kind in ("take", "run", "end"):
            likes[kind] = float(self._writes)
        likes["tidy"] *= self.random.choice((0, 1, 4))
        for kind, most in (("crash", 1.5), ("stop", 1.5), ("hang_up", 1.5)):
            likes[kind] = self.random.random() * most
        return likes

    # --- steps

    def act(self) -> None:
        """Somebody who is free does something."""
        free = [user for user in self.users if not user.is_waiting]
        if len(self.users) < USERS_MAX and (not free or self.random.random() < 0.05):
            mode = self.random.choice(MODES)
            self.join(mode)
        elif free:
            kind = self.random.choices(list(self._actions()), self._habits)[0]
            kind(self, self.random.choice(free))

    def pass_time(self) -> None:
        self.site.advance(1)
        self.ledger.pass_time(self.site.now)

    def take(self) -> None:
        self.site.take_batch()

    def run(self) -> None:
        """The batch is written; sometimes its end is not seen any more."""
        if self.random.random() > self.CUT_BATCHES:
            self.site.run_batch()
            return
        fuse = Fuse(self.site.disk, self.random.randint(0, 6))
        try:
            self.site.run_batch()
        except PowerCut:
            self.counts["cut within a batch"] += 1
            self.crash()
        else:
            fuse.remove()

    def end(self) -> None:
        self.site.end_batch()

    def settle_down(self) -> None:
        """All is written: nobody may be left who waits for an answer."""
        self.site.write_all()
        self.hear()
        for user in self.users:
            if user.owes_answers:
                raise Violation("all is safe, and somebody was not told")

    def tidy(self) -> None:
        self.site.tidy()

    def misread(self) -> None:
        """Somebody does something, and the disk fails once, or does not notice."""
        self.misread_of(self.act)()

    def misread_of(self, step: Callable[[], object]) -> Callable[[], None]:
        """`step`, in which a disk does not give back what it was given, once."""

        def misread() -> None:
            with self.site.misreading(self.random.choice((fail, garble))):
                step()

        return misread

    def checkpoint(self) -> None:
        self.site.journal.request_checkpoint()

    def hang_up(self) -> None:
        if self.users:
            user = self.users.pop(self.random.randrange(len(self.users)))
            user.leave("hang up")

    # --- the end of a broker, and the next one

    def crash(self) -> None:
        """The power goes; it may go once more while the next broker begins."""
        self.hear()
        self.users.clear()
        self.site.cut_power(self.random)
        while self.random.random() < 0.3:
            fuse = Fuse(self.site.disk, self.random.randint(0, 12))
            try:
                self.site.try_to_recover()
            except PowerCut:
                self.counts["cut within recovery"] += 1
            fuse.remove()
            self.site.cut_power(self.random)
        self._begin_again(is_clean=False)

    def stop(self) -> None:
        """The broker ends in an orderly way."""
        while self.users:
            self.users.pop().leave("stop")
            self._end_step()
        self._begin_again(is_clean=self.site.stop())

    def _begin_again(self, *, is_clean: bool | None) -> None:
        """The next broker begins; None: nobody knows how the last one has ended."""
        self.site.now += self.random.choice(DOWNTIMES)
        self.ledger.now = self.site.now
        recovered = self.site.recover()
        if is_clean is None:
            is_clean = recovered.was_clean
        if recovered.was_clean != is_clean:
            raise Violation(f"clean: {recovered.was_clean}, was {is_clean}")
        self.ledger.restart(facts_of(recovered), is_clean=is_clean)
        self.ledger.history.advance()
        self.site.start(recovered)
        self._tickets.clear()
        self.ledger.come_back()
        self.ledger.history.advance()
        self.site.advance(0)
        self.ledger.pass_time(self.site.now)
        self.check()

    # --- after each step

    def hear(self) -> None:
        """Promises count last: what is gone at once needs not be kept."""
        for user in self.users:
            user.go_on()
            user.hear()
        for step, of_definitions in self._promises:
            self._promised(step, of_definitions=of_definitions)
        self._promises.clear()

    def _promise(self, step: int, of_definitions: bool) -> None:
        self._promises.append((step, of_definitions))

    def _end_step(self) -> None:
        self._tickets[self.ledger.history.step] = self.site.store.said
        self.hear()
        if not self.ledger.history.advance():
            self._tickets.pop(self.ledger.history.step - 1, None)
        self.check()

    def _promised(self, step: int, *, of_definitions: bool) -> None:
        """Somebody was told that what was done in `step` is safe."""
        history, store = self.ledger.history, self.site.store
        ticket = self._tickets.get(step, 0)
        if step == history.step and not history.is_changed:
            return  # there was nothing to be kept
        if ticket > (store.recorded if of_definitions else store.committed):
            raise Violation(f"promised before {ticket} was safe")
        if step in self._tickets:
            history.recorded = max(history.recorded, step)
            if not of_definitions:
                history.safe = max(history.safe, step)

    def check(self) -> None:
        """What the broker has is what the ledger has."""
        queues = self._queues()
        if queues.keys() != self.ledger.queues.keys():
            raise Violation(f"queues: {queues.keys()}")
        for name, queue in queues.items():
            found = [
                name_of(one.message.body, one.message.header.headers())
                for one in queue.backlog
            ]
            known = {each.name: each.rank for each in self.ledger.ready(name)}
            if sorted(found) != sorted(known) or found != sorted(found, key=known.get):
                raise Violation(f"{name} has {found}, not {list(known)}")

    def _queues(self) -> dict[str, Queue]:
        """All queues of the broker that are in the ledger."""
        return self.site.broker.vhosts["/"].queues  # type: ignore[return-value]

    @classmethod
    def _steps(cls) -> dict[str, Callable[[Self], None]]:
        return _STEPS

    @classmethod
    def _actions(cls) -> dict[Callable[[Self, User], None], int]:
        return ACTIONS


_STEPS: dict[str, Callable[[Story], None]] = {
    "act": Story.act,
    "pass_time": Story.pass_time,
    "take": Story.take,
    "run": Story.run,
    "end": Story.end,
    "settle_down": lambda story: story.settle_down(),
    "tidy": Story.tidy,
    "misread": Story.misread,
    "checkpoint": Story.checkpoint,
    "hang_up": Story.hang_up,
    "crash": Story.crash,
    "stop": Story.stop,
}

"""A story on a small disk: it becomes full again and again, and somebody makes room.

Meanwhile brokers end and begin there as well. In the end the disk stays as it is, what
is in the way is consumed, and then nobody may be left who waits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

from tests.simulation.history import Violation
from tests.simulation.ledger import Note, QueueTerms
from tests.simulation.small_disk.site import SmallSite
from tests.simulation.streams.book import Word
from tests.simulation.streams.ledger import StreamLedger
from tests.simulation.streams.story import StreamStory

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.user import User

ROOMS = (0, 0, 30, 100, 400, 2000, 8000)
WEIGHTS = (0, 0, 0, 40, 300, 0, 0, 3000)  # bytes
MUCH = 8
SECONDS = 8
PATIENCE = 60  # things that are done in one of them
MARGIN = 1500  # bytes, for files that are begun
OVERHEAD = 3  # times as large as what waits is what is written of it, at most


class HeavyNote(Note):
    """Some are much larger than all others."""

    @property
    def headers(self) -> dict[str, object]:
        size = WEIGHTS[int(self.name[1:]) % len(WEIGHTS)]
        return {**super().headers, "filler": "." * size}


class HeavyWord(Word):
    """So large that the reserve is not enough for many of them."""

    @property
    def headers(self) -> dict[str, object]:
        return {**super().headers, "filler": "." * WEIGHTS[-1]}


class SmallLedger(StreamLedger):
    """Messages may wait for room, and what comes behind them does not."""

    WAITS = True


class SmallStory(StreamStory):
    """One seed."""

    LEDGER = SmallLedger
    SITE = SmallSite
    NOTE = HeavyNote
    site: SmallSite

    def _taste(self) -> dict[str, float]:
        likes = super()._taste()
        for kind in ("take", "run", "end"):
            likes[kind] *= 2
        likes["shorten"] = self.random.choice((0.5, 2, 6))
        likes["give_room"] = self.random.choice((0.1, 0.5, 2))
        likes["relieve"] = self.random.choice((0.0, 0.3, 1.0))
        return likes

    def _end_play(self) -> None:
        if self.random.random() < 0.5:
            self.do(self.site.give_room)
        self.relieve()
        self._end_step()
        self.site.give_room()
        self.settle_down()
        self._end_step()

    # --- steps

    def shorten(self) -> None:
        """Somebody else fills the disk."""
        self.site.make_short(self.random.choice(ROOMS))

    def give_room(self) -> None:
        """Somebody else makes room, a little or much."""
        disk = self.site.disk
        if disk.capacity is not None and self.random.random() < 0.5:
            disk.capacity += self.random.choice(ROOMS)
        else:
            self.site.give_room()

    def settle_down(self) -> None:
        """On a disk that may be full, only for a while."""
        if not self.site.is_short:
            super().settle_down()
            return
        self.site.keep(PATIENCE)
        self._pump()
        self.hear()

    # --- relief

    def relieve(self) -> None:
        """Somebody makes room on a disk that has little, and all goes on."""
        disk = self.site.disk
        if disk.capacity is None:
            self._declare("stock")
            self._publish_to("stock")
            self.site.make_short(self.random.choice(ROOMS))
        else:
            disk.capacity += self.random.choice(ROOMS)
        had_reserve = self.site.has_reserve
        names = [*self.ledger.queues]
        if had_reserve:
            self._declare("press")
            self._publish_to(self.random.choice(["press", *self.ledger.streams]))
        self._empty(names)
        self._let_time_pass()
        self._check_relief(had_reserve=had_reserve)
        for name in ("stock", "press"):
            if name not in self.ledger.queues:
                continue
            user = self.join("plain")
            self.do(partial(user.delete_queue, name))
            self._part_with(user)

    def _declare(self, name: str) -> None:
        """Whoever declares is answered, though others wait for room."""
        user = self.join("plain")
        self.do(lambda: user.declare_queue(name, QueueTerms()))
        self._let_time_pass()
        if any(each.awaits_definitions for each in self.users):
            raise Violation("somebody declares, there is a reserve, and no answer")
        self.counts["declared on a short disk"] += self.site.is_short
        self._part_with(user)

    def _publish_to(self, name: str) -> None:
        """Somebody publishes much, which nobody consumes."""
        user = self.join("confirm")
        for _ in range(self.random.choice((0, MUCH))):
            self._names += 1
            word = HeavyWord(f"w{self._names}", "", name, persistent=True)
            self.do(partial(user.publish, word))
            self.do(lambda: self.site.keep(PATIENCE))

    def _empty(self, names: list[str]) -> None:
        """Nobody holds anything, nor gets more of it, and these queues are purged."""
        for user in [*self.users]:
            if user.unacked and not user.is_waiting:
                tags = [*user.unacked]
                self.do(
                    lambda user=user, tags=tags: user.settle(tags, "ack", multiple=True)
                )
            if user.unacked or user.consumers or user.hearers or user.mode == "tx":
                self._part_with(user)
        for name in names:
            user = self.join("plain")
            self.do(lambda user=user, name=name: user.purge_queue(name))
        streams = [*self.ledger.streams]
        if streams and self.random.random() < 0.2:
            self.do(lambda: self.join("plain").delete_stream(streams[0]))

    def _part_with(self, user: User) -> None:
        self.users.remove(user)
        self.do(lambda: user.leave("hang up"))

    def _let_time_pass(self) -> None:
        """So many seconds, in which the keeper does what it can."""
        for _ in range(SECONDS):
            self.do(self.pass_time)
            self.do(self.site.worker.run_all)
            self.do(lambda: self.site.keep(PATIENCE))

    def _check_relief(self, *, had_reserve: bool) -> None:
        """What can go has gone, and nobody waits if there is room for it."""
        site = self.site
        if had_reserve or site.room >= MARGIN:
            leftovers = site.leftovers
            self.do(lambda: site.keep(PATIENCE))  # one may just be on its way
            if leftovers & site.leftovers:
                raise Violation(f"what could go is still there: {leftovers}")
        if site.spare < OVERHEAD * site.waiting + MARGIN:
            self.counts["too little room"] += 1
            return
        self.counts["relieved"] += 1
        if site.rounds.is_behind or site.store.is_short:
            raise Violation("there is room, and something waits for it")
        if any(user.owes_answers for user in self.users):
            raise Violation("there is room, and somebody was not told")

    @classmethod
    def _steps(cls) -> dict[str, Callable[[Self], None]]:
        steps = {
            "shorten": cls.shorten,
            "give_room": cls.give_room,
            "relieve": cls.relieve,
        }
        return {**super()._steps(), **steps}

"""The core does what the model does, whatever is done to it.

And the machine that says so would notice: each bug in `BUGS` is planted into the core
by itself, and must be found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.core.machine import BrokerMachine
from tests.core.machine_bugs import SPECIAL_BUGS, and_then, replaced
from tests.themes import PLAIN
from warren_broker.core import dead_letter, unacked
from warren_broker.core.queue import Consumer, Queue, Window
from warren_broker.core.queue.backlog import FifoBacklog, PriorityBacklog
from warren_broker.core.queue.entry import READY, SETTLED, Entry
from warren_broker.core.queue.overflow import RejectPublish
from warren_broker.core.queue.roster import Roster
from warren_broker.core.queue.times import QueueTimes
from warren_broker.core.session import Session
from warren_broker.core.unacked import Unacked
from warren_broker.core.vhost import VHost

if TYPE_CHECKING:
    from tests.core.machine_bugs import Plant
    from tests.themes import Theme
    from warren_broker.core.message import Message

SEARCH = settings(
    database=None,
    max_examples=1000,
    stateful_step_count=60,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core may see an ack timeout microseconds late; the model never does."""
    monkeypatch.setattr(unacked, "_LOOK_SECONDS", 0.0)


@pytest.mark.timeout(1800)  # under the profile `thorough`
def test_the_core_does_what_the_model_does() -> None:
    examples = 3 * settings().max_examples
    run_state_machine_as_test(
        BrokerMachine, settings=settings(max_examples=examples, stateful_step_count=60)
    )


def returned_to_the_tail(self: FifoBacklog, entry: Entry) -> None:
    entry.queue.sequence += 1
    entry.sequence = entry.queue.sequence
    self.push(entry)


def counted_as_new(self: Queue, entry: Entry) -> None:
    entry.delivery_count = 0


def one_too_many(self: Consumer) -> bool:
    return not self.paused and (
        self.no_ack or (self.unacked <= self.prefetch and not self.window.is_full)
    )


def all_but_the_last(
    entries: dict[int, Entry], tag: int, *, multiple: bool
) -> dict[int, Entry]:
    up_to = tag - 1 if multiple and tag else tag
    tags = [one for one in entries if one <= up_to or not tag]
    return {one: entries.pop(one) for one in (tags if multiple else [tag])}


def deleted_before_its_first_consumer(self: Queue, message: Message) -> None:
    if self.auto_delete and not len(self.roster) and not self.is_deleted:
        self.vhost.drop_queue(self)


def settled_late_and_again(self: Queue, entry: Entry) -> None:
    if entry.state != READY:
        entry.state = SETTLED
        self.unacked_count -= 1


def window_kept_by_the_cancelled(self: Queue, consumer: Consumer) -> None:
    consumer.window.unacked += bool(consumer.unacked)


def nobody_moves_on(self: Roster) -> Consumer | None:
    ready = [one for ring in self._rings for one in ring if one.has_room()]
    return ready[0] if ready else None


def lowest_first(self: Roster) -> None:
    rings = self._rings_by_priority
    self._rings = [rings[priority] for priority in sorted(rings)]


def everybody_is_active(self: Roster, consumer: Consumer) -> None:
    if consumer.is_attached and not consumer.is_listed:
        consumer.is_listed = True
        self._rings_by_priority[consumer.priority].append(consumer)


def newest_dropped(self: FifoBacklog) -> Entry:
    self.count -= 1
    return self._ready.pop() if self._ready else self._returned.pop()


def limit_less_one(self: Queue, entry: Entry) -> None:
    limit = self.rules.delivery_limit
    if entry.state == READY and entry.delivery_count == limit:
        self.backlog.remove(entry)
        self.bury(entry, "delivery_limit")


def purged_before_it_is_checked(
    self: Session, name: str, *, if_unused: bool, if_empty: bool
) -> int:
    if if_unused and name in self.vhost.queues:
        self.vhost.queues[name].purge()
    return RIGHT_DELETE(self, name, if_unused=if_unused, if_empty=if_empty)


def routes_remembered_for_ever(self: VHost, *args: object) -> None:
    self.generation -= 1


RIGHT_DELETE = Session.delete_queue

BUGS: dict[str, Plant] = {
    "requeue goes to the tail": replaced(
        FifoBacklog, "push_returned", returned_to_the_tail
    ),
    "redelivered is lost": and_then(Queue, "take_back", counted_as_new),
    "prefetch is one too many": replaced(Consumer, "has_room", one_too_many),
    "multiple leaves one out": replaced(unacked, "_take", all_but_the_last),
    "expired entries are delivered": replaced(
        Queue, "_is_expired", lambda self, entry: False
    ),
    "expired entries stay": replaced(QueueTimes, "on_deadline", lambda self, now: None),
    "auto-delete before the first consumer": and_then(
        Queue, "accept", deleted_before_its_first_consumer
    ),
    "a late ack settles again": replaced(Queue, "settle_late", settled_late_and_again),
    "priority is ignored": replaced(
        PriorityBacklog,
        "_level",
        lambda self, entry: self._levels.setdefault(
            0, self._order[0] if self._order else FifoBacklog()
        ),
    ),
    "consumer priority is upside down": replaced(Roster, "_order_rings", lowest_first),
    "a cancelled consumer keeps the window": and_then(
        Queue, "detach", window_kept_by_the_cancelled
    ),
    "nobody hears that the window reopened": replaced(
        Window, "reopen", lambda self: None
    ),
    "nobody hears of room": replaced(Roster, "list", lambda self, consumer: None),
    "the first consumer gets all": replaced(Roster, "next_ready", nobody_moves_on),
    "all are active": replaced(Roster, "list", everybody_is_active),
    "the newest is dropped": replaced(FifoBacklog, "pop_oldest", newest_dropped),
    "a full queue takes one more": replaced(
        RejectPublish, "admits", lambda self, queue, message: not self._is_over(queue)
    ),
    "the delivery limit is one less": and_then(Queue, "take_back", limit_less_one),
    "deaths are not merged": replaced(
        dead_letter, "_merge", lambda deaths, record: [record, *deaths]
    ),
    "a reject does not open a circle": replaced(
        dead_letter.DeadLetters,
        "_is_cycle",
        lambda self, queue, deaths: any(
            death["queue"] == queue.name for death in deaths
        ),
    ),
    "nobody watches for ack timeouts": replaced(
        Unacked, "watch", lambda self, when: None
    ),
    "a closed channel keeps its entries": replaced(Unacked, "close", lambda self: None),
    "exclusive queues outlive their connection": replaced(
        Session, "close", lambda self: None
    ),
    "a refused delete purges": replaced(
        Session, "delete_queue", purged_before_it_is_checked
    ),
    "routes outlive their bindings": and_then(
        VHost, "unbind", routes_remembered_for_ever
    ),
}
ALL_BUGS = [
    pytest.param((one, other), plant, id=bug)
    for one, other, plants in [(PLAIN, PLAIN, BUGS), *SPECIAL_BUGS]
    for bug, plant in plants.items()
]


@pytest.mark.parametrize(("themes", "plant"), ALL_BUGS)
def test_the_machine_finds(
    themes: tuple[Theme, Theme], plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    monkeypatch.setattr(BrokerMachine, "pairs", [themes])
    with pytest.raises((Exception, ExceptionGroup)):
        run_state_machine_as_test(BrokerMachine, settings=SEARCH)

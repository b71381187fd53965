"""Bugs in what the core does by special rules, for the machine to find.

Each is planted by itself, see `test_machine.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from tests.themes import (
    FULL,
    GROUPS,
    LATER,
    LEASES,
    OTHER_RULES,
    RETRIES,
    UNIQUE,
)
from warren_broker.core import unacked
from warren_broker.core.arguments.modes import RetryType
from warren_broker.core.deduplication import SeenIds
from warren_broker.core.lease import LeaseTerms
from warren_broker.core.queue import Queue, group_modes, retry, times
from warren_broker.core.queue import queue as queue_module
from warren_broker.core.queue.entry import READY
from warren_broker.core.queue.group_modes import FairGroups, StickyGroups
from warren_broker.core.queue.groups import Groups
from warren_broker.core.queue.overflow import Block, DropTail, Overflow, overflow_for
from warren_broker.core.queue.times import QueueTimes
from warren_broker.core.queue.uniqueness import Presence, Reject
from warren_broker.core.queue.waiting_room import Waiting, WaitingRoom
from warren_broker.core.schedule import Schedule
from warren_broker.core.unacked import Unacked

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.themes import Theme
    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.deduplication import UniqueId
    from warren_broker.core.exchange import Exchange
    from warren_broker.core.message import Message
    from warren_broker.core.queue import Consumer, Entry
    from warren_broker.core.queue.groups import GroupedEntry

    Plant = Callable[[pytest.MonkeyPatch], None]


def replaced(owner: object, name: str, bug: object) -> Plant:
    """Put `bug` in the place of what `owner` has under `name`."""
    return lambda patch: patch.setattr(owner, name, bug)


def and_then(owner: type, name: str, bug: Callable[..., None]) -> Plant:
    """Let `bug` happen, with the same arguments, after `owner` did it right."""
    right = getattr(owner, name)

    def both(self: object, *args: object, **kwargs: object) -> object:
        result = right(self, *args, **kwargs)
        bug(self, *args, **kwargs)
        return result

    return replaced(owner, name, both)


def as_if_it_were_the_first(
    rules: QueueArguments, entry: Entry, **how: object
) -> float:
    count, entry.delivery_count = entry.delivery_count, 1
    seconds = RIGHT_DELAY(rules, entry, **how)
    entry.delivery_count = count
    return seconds


def only_the_ready_count(
    self: Overflow, queue: Queue, extra: Message | None = None
) -> bool:
    count, queue.times._delays.count = queue.times._delays.count, 0
    is_over = RIGHT_IS_OVER(self, queue, extra)
    queue.times._delays.count = count
    return is_over


def the_shortest_line_first(
    self: FairGroups, consumer: Consumer | None
) -> GroupedEntry | None:
    groups = [group for group in self._groups.values() if group.head() is not None]
    if not groups:
        return None
    return self._pop_from(min(groups, key=lambda group: len(group.waiting)))


def limits_of_before(
    queue: Queue, rules: QueueArguments, former: Overflow | None
) -> Overflow | None:
    return former or overflow_for(queue, rules, former)


def time_to_live_of_before(self: Queue, rules: QueueArguments) -> None:
    known = self.rules.message_ttl_ms
    RIGHT_APPLY(self, attrs.evolve(rules, message_ttl_ms=known))


def rejected_in_any_case(self: Queue, entry: Entry, reason: str = "") -> None:
    RIGHT_REJECT(self, entry)


def for_ever_renewed(
    self: LeaseTerms, delivered_at: float, *, heard_at: float, extended_until: float
) -> float:
    terms = attrs.evolve(self, max_seconds=1e9)
    return RIGHT_END(
        terms, delivered_at, heard_at=heard_at, extended_until=extended_until
    )


def due_by_delay(self: Schedule, exchange: Exchange, message: Message) -> float:
    directives = message.header.directives
    delay_ms = directives.delay_ms if directives is not None else None
    return self._vhost.broker.now + (delay_ms or 0) / 1000.0


def limited_from_now(self: QueueTimes, entry: Entry, since: float) -> None:
    RIGHT_LIMIT(self, entry, self._queue.vhost.broker.now)


def present_if_ready(self: Presence, unique: UniqueId) -> Entry | None:
    entry = RIGHT_PRESENT(self, unique)
    return entry if entry is not None and entry.state == READY else None


def replaced_at_the_end(
    self: Queue,
    message: Message,
    unique: UniqueId | None = None,
    *,
    instead_of: Entry | None = None,
) -> None:
    if instead_of is not None:
        self.withdraw(instead_of)
    RIGHT_TAKE_IN(self, message, unique)


def in_before_all_others(self: Block, queue: Queue, message: Message) -> bool:
    if self.has_room(queue, message):
        return True
    return RIGHT_ADMITS(self, queue, message)


RIGHT_LIMIT = QueueTimes.limit_life
RIGHT_PRESENT = Presence._present
RIGHT_TAKE_IN = Queue.take_in
RIGHT_ADMITS = Block.admits
RIGHT_DELAY = retry.retry_delay_seconds
RIGHT_IS_OVER = Overflow._is_over
RIGHT_APPLY = Queue.apply_rules
RIGHT_REJECT = Queue.reject
RIGHT_END = LeaseTerms.end

# By the themes of the examples in which they show.
SPECIAL_BUGS: list[tuple[Theme, Theme, dict[str, Plant]]] = [
    (
        RETRIES,
        RETRIES,
        {
            "a retry comes at once": replaced(
                QueueTimes, "delay_retry", lambda self, entry, *, failed: False
            ),
            "a nack counts as failed": replaced(
                retry,
                "_WAITS",
                {kind: {True, False} for kind in RetryType}
                | {RetryType.DISABLED: set()},
            ),
            "the second retry comes as soon as the first": replaced(
                times, "retry_delay_seconds", as_if_it_were_the_first
            ),
            "a purge leaves the delayed": replaced(
                QueueTimes, "forget_waiting", lambda self: 0
            ),
        },
    ),
    (
        GROUPS,
        GROUPS,
        {
            "a key has two unacked": replaced(
                group_modes, "_has_nothing_out", lambda group: True
            ),
            "a key goes to anybody": replaced(
                StickyGroups, "_own", lambda self, group, consumer: None
            ),
            "a key stays with who is gone": replaced(
                StickyGroups, "forget_owner", lambda self, consumer: None
            ),
            "keys do not take turns": replaced(
                FairGroups, "take", the_shortest_line_first
            ),
        },
    ),
    (
        OTHER_RULES,
        OTHER_RULES,
        {
            "who is dropped is refused": replaced(DropTail, "is_silent", False),
            "limits stay as declared": replaced(
                queue_module, "overflow_for", limits_of_before
            ),
            "times to live stay as declared": replaced(
                Queue, "apply_rules", time_to_live_of_before
            ),
        },
    ),
    (
        LEASES,
        LEASES,
        {
            "an extension is forgotten": replaced(
                Unacked, "extend", lambda self, tag, seconds: bool(self.entries)
            ),
            "a lease is renewed for ever": replaced(
                LeaseTerms, "end", for_ever_renewed
            ),
            "what was held too long is rejected": replaced(
                Queue, "reject", rejected_in_any_case
            ),
            "a late consumer stays": replaced(
                unacked, "_cancel", lambda consumer: None
            ),
        },
    ),
    (
        LATER,
        LATER,
        {
            "what is taken out comes all the same": replaced(
                Schedule, "_remove", lambda self, name: name in self._agenda
            ),
            "only the delay counts": replaced(Schedule, "_due", due_by_delay),
            "a queue lets nothing wait for its moment": replaced(
                QueueTimes,
                "ready_at",
                lambda self, message: self._queue.vhost.broker.now,
            ),
            "a life begins before its moment": replaced(
                QueueTimes, "limit_life", limited_from_now
            ),
        },
    ),
    (
        UNIQUE,
        UNIQUE,
        {
            "an id is known for ever": replaced(
                SeenIds, "knows", lambda self, unique, now: unique.key in self._expiries
            ),
            "a refused duplicate counts as taken": replaced(
                Reject, "answer_to_duplicates", True
            ),
            "who is unacked is not there": replaced(
                Presence, "_present", present_if_ready
            ),
            "what is replaced loses its place": replaced(
                Queue, "take_in", replaced_at_the_end
            ),
        },
    ),
    (
        FULL,
        FULL,
        {
            "nobody waits too long for room": replaced(
                WaitingRoom, "_patience_seconds", lambda self: 1e6
            ),
            "nobody learns what became of it": replaced(
                Waiting, "answer", lambda self, *, taken: None
            ),
            "who comes last gets in first": replaced(
                Block, "admits", in_before_all_others
            ),
            "who waits is forgotten": replaced(
                WaitingRoom, "dissolve", lambda self: None
            ),
        },
    ),
    (
        RETRIES,
        GROUPS,
        {
            "a key goes on while its entry is delayed": replaced(
                Groups, "expect", lambda self, entry: None
            ),
        },
    ),
    (
        RETRIES,
        OTHER_RULES,
        {
            "the delayed do not count": replaced(
                Overflow, "_is_over", only_the_ready_count
            ),
        },
    ),
]

"""QueueTimes: what a queue has to do at some moment, under one deadline.

Entries expire, delayed entries become ready, and a queue that nobody uses is deleted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.moment import moment_of
from warren_broker.core.queue.delays import Delays
from warren_broker.core.queue.entry import DELAYED, READY
from warren_broker.core.queue.expiry import Expiry, Reminder
from warren_broker.core.queue.retry import own_delay_seconds, retry_delay_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.message import Message
    from warren_broker.core.queue.entry import Entry
    from warren_broker.core.queue.queue import Queue

SLICE: Final = 5000
"""Entries that expire or become ready in one turn, and copies of dead letters that they
set off; the others follow in the next."""

_MILLISECONDS: Final = 1000.0


@final
class QueueTimes(DeadlineOwner):
    """The moments of one queue.

    Attributes:
        used_at: when somebody last used the queue, for `x-expires`.
    """

    __slots__ = (
        "_armed_for",
        "_delays",
        "_expiry",
        "_is_too_long",
        "_queue",
        "used_at",
    )

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._delays = Delays()
        self._expiry = Expiry()
        self._is_too_long = False
        self._armed_for = math.inf  # the moment it has asked to be told of
        self.used_at = queue.vhost.broker.now

    @property
    def delayed_count(self) -> int:
        """How many entries wait before they are ready."""
        return self._delays.count

    @property
    def delayed_bytes(self) -> int:
        """Bytes of their messages."""
        return self._delays.size_bytes

    def drop_soonest(self) -> None:
        """Give up the entry that has to wait least, for want of room."""
        entry, reason = self._delays.take_soonest()
        self._queue.backlog.forget_expected(entry)
        self._queue.bury(entry, reason or "maxlen")

    def touch(self) -> None:
        """Somebody uses the queue."""
        self.used_at = self._queue.vhost.broker.now

    def delayed(self) -> Iterator[Entry]:
        """Go through the delayed entries."""
        return iter(self._delays)

    def limit_life(self, entry: Entry, since: float) -> None:
        """Let `entry` live as long as its queue and its message say, from `since`."""
        time_ms = self._queue.rules.message_ttl_ms
        own_ms = entry.message.header.expiration_ms
        if time_ms is None or (own_ms is not None and own_ms < time_ms):
            time_ms = own_ms
        if time_ms is not None:
            self.limit_life_until(entry, since + time_ms / _MILLISECONDS)

    def limit_life_until(self, entry: Entry, expires_at: float) -> None:
        """Let `entry` expire at that moment."""
        self._expiry.watch(entry, expires_at)
        if expires_at < self._armed_for:  # mostly others expire before
            self.arm()

    def remind(self, reminder: Reminder, when: float) -> None:
        """Have entries unpacked at that moment: until now each was watched itself."""
        self._expiry.remind(reminder, when)

    def ready_at(self, message: Message) -> float:
        """When `message`, which has just come, is to be ready.

        That is now, unless the rules name a header with a later moment.
        """
        broker = self._queue.vhost.broker
        name = self._queue.rules.deliver_at_header
        if name is None:
            return broker.now
        moment = moment_of(message.header.headers().get(name))
        return broker.now if moment is None else max(broker.now, broker.at(moment))

    def delay(self, entry: Entry, until: float, reason: str | None = None) -> None:
        """Let `entry` wait; then it is ready or, with a `reason`, given up."""
        self._delays.add(entry, until, reason)
        self.arm()
        self._queue.trim()  # it counts, though it is no longer, or not yet, ready

    def put_back(self, entry: Entry, until: float) -> None:
        """Let `entry` go on waiting after a restart; limits are kept afterwards."""
        self._delays.add(entry, until, None)
        self.arm()

    def delay_retry(self, entry: Entry, *, failed: bool) -> bool:
        """Let `entry`, which has come back, wait; False if it need not."""
        vhost = self._queue.vhost
        seconds = retry_delay_seconds(
            self._queue.rules,
            entry,
            failed=failed,
            random=vhost.surroundings.random,
            jitter=vhost.broker.limits.retry_jitter,
        )
        if not seconds:
            return False
        self._queue.backlog.expect(entry)
        self.delay(entry, vhost.broker.now + seconds)
        return True

    def delay_letter(self, entry: Entry, reason: str) -> bool:
        """Let `entry` wait before it is dead-lettered; False if it need not."""
        seconds = own_delay_seconds(entry)
        rules = self._queue.rules
        if not seconds or rules.dead_letter_exchange is None:
            return False
        self.delay(entry, self._queue.vhost.broker.now + seconds, reason)
        return True

    def end_delay(self, entry: Entry) -> None:
        """Let `entry` wait no longer; it counts as settled."""
        self._delays.remove(entry)
        self._queue.backlog.forget_expected(entry)

    def trim_soon(self) -> None:
        """The queue is longer than it may be: go on with that in the next turn."""
        self._is_too_long = True
        self.arm()

    def arm(self) -> None:
        """Ask to be told of the earliest moment."""
        known = [
            when
            for when in (
                self._expiry.next(),
                self._delays.next(),
                self._unused_until(),
                self._queue.vhost.broker.now if self._is_too_long else None,
            )
            if when is not None
        ]
        self._armed_for = min(known, default=math.inf)
        if known:
            self._queue.vhost.broker.deadlines.set(self, self._armed_for)

    def on_deadline(self, now: float) -> None:
        """Do what is due: entries first, then the queue itself."""
        self._armed_for = math.inf
        queue = self._queue
        for step in (self._expire, self._end_delays, self._go_on_trimming):
            step(now)
            if queue.is_deleted:  # a dead letter may set off anything
                return
        unused_until = self._unused_until()
        if unused_until is not None and unused_until <= now:
            queue.vhost.drop_queue(queue)
        else:
            self.arm()

    def _expire(self, now: float) -> None:
        queue, broker = self._queue, self._queue.vhost.broker
        work_until = broker.work + SLICE
        while broker.work < work_until and not queue.is_deleted:
            entry = self._expiry.take_due(now)
            if entry is None:
                return
            broker.work += 1  # and what its dead letter sets off
            if isinstance(entry, Reminder):
                entry.unpack()
            elif entry.state in {READY, DELAYED}:
                queue.withdraw(entry)
                queue.bury(entry, "expired")

    def _go_on_trimming(self, now: float) -> None:
        if self._is_too_long:
            self._is_too_long = False
            self._queue.trim()

    def _end_delays(self, now: float) -> None:
        """What has waited enough is in its place before any of it leaves."""
        queue = self._queue
        given_up = []
        due = self._delays.take_due(now, SLICE)
        for entry, reason in due:
            if reason is None:
                entry.state = READY
                queue.backlog.push_returned(entry)
            else:
                given_up.append((entry, reason))
        if due:
            queue.trim()
            queue.dispatch()
        for entry, reason in given_up:
            queue.bury(entry, reason)

    def forget_waiting(self) -> int:
        """Forget the delayed and the ready entries; return how many were delayed.

        Those that are out may come back.
        """
        count = self._delays.count
        delayed = self._delays.clear()
        for _, _, entry, _ in delayed:
            self._queue.backlog.forget_expected(entry)
        sweeper = self._queue.vhost.broker.sweeper
        sweeper.add([delayed, self._expiry.keep_unacked()])
        return count

    def close(self) -> None:
        """The queue is deleted: wait for nothing, and know it no longer."""
        self._queue.vhost.broker.deadlines.cancel(self)
        self.forget_waiting()
        self._expiry = Expiry()  # it knows entries, and they the queue
        del self._queue  # the two would be a cycle

    def _unused_until(self) -> float | None:
        """When `x-expires` deletes the queue, if nobody uses it until then."""
        expires_ms = self._queue.rules.expires_ms
        if expires_ms is None or len(self._queue.roster):
            return None
        return self.used_at + expires_ms / _MILLISECONDS

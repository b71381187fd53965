"""Unacked: the deliveries of one channel that are not settled yet, by delivery tag.

Tags grow and deliveries are kept in their order, so the oldest come first: that is
what `multiple` needs, and what leases need. A lease costs nothing per message: a
channel registers one deadline, for the oldest entry that has one, and looks at its
entries only when that moment comes; only then it matters whether what is over was
extended, or renewed.

What becomes of an entry whose lease ends is a matter of its terms. By default it goes
back to its queue, alone: consumer and channel live on. Its tag is remembered, because
the ack may still come. Then the work is done: if the entry still waits it is taken
out, otherwise the ack is counted and ignored.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from warren.errors import PreconditionFailed
from warren_broker.core.arguments import TimeoutAction
from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.lease import NOBODY
from warren_broker.core.returning import return_entries
from warren_broker.core.stream.loans import Loans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from warren_broker.core.broker import Broker
    from warren_broker.core.lease import LeaseHolder, LeaseTerms
    from warren_broker.core.queue import Consumer, Entry
    from warren_broker.core.stream.loan import Loan

    Due = list[tuple[int, Entry]]

_LOOK_SECONDS: Final = 1e-7
"""About what it takes to look at one entry."""

_ASKING_LOOKS: Final = 5
"""What it costs besides to find out whether a lease that is over was made longer."""

EXPIRED_MAX: Final = 10_000
"""Tags of timed out deliveries that a channel remembers with their entries."""

EXTENSIONS_OF_WORK: Final = 16
"""Leases that are extended in about the time that a delivery takes."""

_STALE_MAX: Final = 64
"""Extensions of what is settled that are kept beside twice as many as are needed."""

SLICE: Final = 5000
"""Leases that end in one turn; the others follow in the next."""


@final
class _Ended:
    """Entries whose leases end together, by what becomes of them.

    Attributes:
        entries: all of them, with their tags, but for those that the channel takes
            with it: then `timeout_seconds` is set, the timeout of one of these.
        cancelled: whose consumers they were, if these are to be cancelled.
    """

    __slots__ = ("buried", "cancelled", "entries", "returned", "timeout_seconds")

    def __init__(self) -> None:
        self.entries: Due = []
        self.returned: list[Entry] = []
        self.buried: list[Entry] = []
        self.cancelled: dict[Consumer, None] = {}
        self.timeout_seconds: float | None = None


@final
class Unacked(DeadlineOwner):
    """Delivery tags of one channel and what they stand for.

    `entries` is open to the delivering front end: it adds what it has sent. What is
    lent together, without a time limit, has no entries as long as it is in `loans`.
    """

    __slots__ = (
        "_expired",
        "_extended",
        "_forgotten_tag",
        "_holder",
        "_watched",
        "broker",
        "entries",
        "loans",
        "tag",
    )

    def __init__(self, broker: Broker, holder: LeaseHolder) -> None:
        self.broker = broker
        self._holder = holder
        self.entries: OrderedDict[int, Entry] = OrderedDict()
        self.loans = Loans()
        self.tag = 0  # the last one given
        self._extended: dict[int, float] = {}  # until when, at least
        self._expired: OrderedDict[int, Entry] = OrderedDict()
        self._forgotten_tag = 0  # timed out tags up to here are no longer known
        self._watched: float | None = None

    def add(self, entry: Entry) -> int:
        """Remember `entry` and return its delivery tag."""
        self.tag += 1
        self.entries[self.tag] = entry
        timeout = _terms(entry).timeout_seconds
        if timeout is not None:
            self.watch(entry.delivered_at + timeout)
        return self.tag

    def lend(self, loan: Loan) -> Loan:
        """Remember `loan` under the tags that follow; see `Loans.add`."""
        loan.tag = self.tag + 1
        self.tag += loan.count
        return self.loans.add(loan)

    @property
    def count(self) -> int:
        """How many deliveries are not settled."""
        return len(self.entries) + self.loans.count

    def unpack(self) -> OrderedDict[int, Entry]:
        """Return `entries`, in which there is now everything."""
        if self.loans.count:
            lent = self.loans.break_up()
            self.broker.work += len(lent) // EXTENSIONS_OF_WORK
            if next(reversed(self.entries), 0) < next(iter(lent)):
                self.entries.update(lent)
            else:
                self.broker.work += len(self.entries) // EXTENSIONS_OF_WORK
                self._merge(lent)
        return self.entries

    def watch(self, when: float) -> None:
        """Look for timed out entries at `when`, if not earlier."""
        if self._watched is None or when < self._watched:
            self._watched = when
            self.broker.deadlines.set(self, when)

    def settle(self, tag: int, *, multiple: bool) -> None:
        """The peer acked `tag`, with `multiple` all up to it (0: all there are).

        Raises:
            PreconditionFailed: it was never given, or is settled already.
        """
        if self._settle_lent(tag, multiple=multiple):
            return
        for entry in self.take(tag, multiple=multiple).values():
            entry.queue.settle(entry)
        if self._expired:
            for entry in _take(self._expired, tag, multiple=multiple).values():
                entry.queue.settle_late(entry)

    def _settle_lent(self, tag: int, *, multiple: bool) -> bool:
        if not multiple:
            return self.loans.settle(tag)
        return not (self.entries or self._expired) and self.loans.settle_until(tag)

    def refuse(
        self, tag: int, *, multiple: bool, requeue: bool, failed: bool = False
    ) -> None:
        """The peer nacked or, as `failed`, rejected; errors as `settle`."""
        entries = self.take(tag, multiple=multiple).values()
        _take(self._expired, tag, multiple=multiple)  # they are back in their queue
        if requeue:
            return_entries(entries, failed=failed)
        else:
            for entry in entries:
                entry.queue.reject(entry)

    def extend(self, tag: int, seconds: float) -> bool:
        """Let the lease of `tag`, 0: all there are, end `seconds` from now.

        One that lasts longer stays as it is. False: there is nothing to extend.
        """
        entries = self.unpack()
        tags: Iterable[int] = entries if tag == 0 else (tag,)
        if not entries or (tag and tag not in entries):
            return False
        until, extended = self.broker.now + seconds, self._extended
        for each in tags:
            if extended.get(each, -math.inf) < until:
                extended[each] = until
        count = 1 if tag else len(entries)
        self.broker.work += 1 + count // EXTENSIONS_OF_WORK
        self._forget_extensions()
        return True

    def _forget_extensions(self) -> None:
        """Forget those of settled entries, when there are many.

        Only `extend` does: a transaction may put back what it has taken, but one that
        extends is at its commit, after which nothing is put back.
        """
        entries, extended = self.entries, self._extended
        if len(extended) > 2 * len(entries) + _STALE_MAX:
            self._extended = {
                tag: until for tag, until in extended.items() if tag in entries
            }

    def recover(self) -> None:
        """Give every entry back to its queue."""
        self._return_all(failed=False)

    def close(self) -> None:
        """The channel ends: give everything back and forget the rest."""
        self.broker.deadlines.cancel(self)
        self._watched = None
        self._holder = NOBODY
        self._expired.clear()
        self._extended.clear()
        self._return_all(failed=True)

    def _return_all(self, *, failed: bool) -> None:
        entries = list(self.unpack().values())
        self.entries.clear()
        return_entries(entries, failed=failed)

    def check(self, tag: int, *, multiple: bool) -> None:
        """Raise what `settle` would raise, and change nothing."""
        if tag == 0 and multiple:
            self.unpack()
            return
        if tag in self.unpack() or tag in self._expired:
            return
        if 0 < tag <= self._forgotten_tag:
            return
        raise PreconditionFailed(f"unknown delivery tag {tag}")

    def take(self, tag: int, *, multiple: bool) -> dict[int, Entry]:
        """Remove and return what `tag` stands for; errors as `settle`."""
        self.check(tag, multiple=multiple)
        return _take(self.entries, tag, multiple=multiple)

    def put_back(self, entries: Mapping[int, Entry]) -> None:
        """Undo `take`: the entries are unacked again, under their old tags."""
        self._merge(entries)
        self.watch(self.broker.now)  # their time may have come meanwhile

    def _merge(self, entries: Mapping[int, Entry]) -> None:
        merged = sorted([*self.entries.items(), *entries.items()])
        self.entries = OrderedDict(merged)

    # The end of leases

    def on_deadline(self, now: float) -> None:
        """End the leases that are over; look again when the next one may be."""
        due, following = self._look(now)
        ended = self._sort(due[:SLICE])
        self._watched = None
        if ended.timeout_seconds is not None:
            self._holder.close_late(ended.timeout_seconds)
        elif len(due) > SLICE:
            self.watch(now)
        elif following < math.inf:
            self.watch(following)
        self._end(ended)

    def _look(self, now: float) -> tuple[Due, float]:
        """Return what is due at `now`, and when to look again (`math.inf`: never)."""
        due: Due = []
        following = math.inf
        looks = len(self.entries)
        heard_at, extended = self._holder.heard_at(), self._extended
        for tag, entry in self.entries.items():
            consumer = entry.consumer
            terms = entry.queue.lease if consumer is None else consumer.lease
            timeout = terms.timeout_seconds
            if timeout is None:
                continue
            when = entry.delivered_at + timeout
            if when <= now:
                looks += _ASKING_LOOKS
                until = extended.get(tag, -math.inf)
                when = terms.end(
                    entry.delivered_at, heard_at=heard_at, extended_until=until
                )
                if when <= now:
                    due.append((tag, entry))
                    continue
                # What its consumer gets meanwhile has one timeout, and no watch.
                when = min(when, now + timeout)
            if when < following:
                following = when
        # Looking costs the number of entries: do it a tenth of the time at most.
        return due, max(following, now + looks * _LOOK_SECONDS * 10)

    def _sort(self, due: Due) -> _Ended:
        """Return what is to become of entries whose time is over."""
        ended = _Ended()
        for tag, entry in due:
            entry.queue.on_timeout()
            consumer, terms = entry.consumer, _terms(entry)
            action = self._possible(terms.action, consumer)
            if action is TimeoutAction.CLOSE_CHANNEL:
                ended.timeout_seconds = terms.timeout_seconds
                continue  # it goes back with all the others
            ended.entries.append((tag, entry))
            if action is TimeoutAction.DEAD_LETTER:
                ended.buried.append(entry)
            else:
                ended.returned.append(entry)
            if action is TimeoutAction.CANCEL and consumer is not None:
                ended.cancelled[consumer] = None
        return ended

    def _possible(
        self, action: TimeoutAction, consumer: Consumer | None
    ) -> TimeoutAction:
        """Return what can be done of `action`, or what RabbitMQ does instead."""
        if action is not TimeoutAction.CANCEL:
            return action
        if consumer is not None and not consumer.is_attached:
            return TimeoutAction.REQUEUE  # it is cancelled already
        can_cancel = consumer is not None and self._holder.hears_cancel()
        return action if can_cancel else TimeoutAction.CLOSE_CHANNEL

    def _end(self, ended: _Ended) -> None:
        """Do what `_sort` found.

        Who is cancelled gets nothing more, but leaves last: an heir begins with what
        is oldest.
        """
        for tag, _ in ended.entries:
            del self.entries[tag]
        self._remember(ended.entries)
        for consumer in ended.cancelled:
            consumer.paused = True
        return_entries(ended.returned, failed=False)
        for consumer in ended.cancelled:
            _cancel(consumer)
        for entry in ended.buried:
            entry.queue.reject(entry, "consumer_timeout")

    def _remember(self, due: Due) -> None:
        """Keep what timed out for a late ack, in the order of tags.

        It does not time out in that order where consumers have timeouts of their own.
        """
        last = next(reversed(self._expired), 0)
        self._expired.update(due)
        if due and due[0][0] < last:
            self._expired = OrderedDict(sorted(self._expired.items()))
        while len(self._expired) > EXPIRED_MAX:
            forgotten = self._expired.popitem(last=False)[0]
            self._forgotten_tag = max(self._forgotten_tag, forgotten)


def _cancel(consumer: Consumer) -> None:
    """End a consumer that does not want it, if it has not come to its end already."""
    if consumer.is_attached:
        consumer.queue.detach(consumer)
        consumer.on_cancelled()


def _take(
    entries: OrderedDict[int, Entry], tag: int, *, multiple: bool
) -> dict[int, Entry]:
    taken = {}
    if multiple:
        while entries and (tag == 0 or next(iter(entries)) <= tag):
            first, entry = entries.popitem(last=False)
            taken[first] = entry
    elif tag in entries:
        taken[tag] = entries.pop(tag)
    return taken


def _terms(entry: Entry) -> LeaseTerms:
    """Return the terms on which `entry` was given: to a consumer, or by basic.get."""
    consumer = entry.consumer
    return entry.queue.lease if consumer is None else consumer.lease

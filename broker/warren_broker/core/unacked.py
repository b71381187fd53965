"""Unacked: the deliveries of one channel that are not settled yet, by delivery tag.

Tags grow and deliveries are kept in their order, so the oldest come first: that is
what `multiple` needs, and what the ack timeout needs. The timeout costs nothing per
message: a channel registers one deadline, for the oldest entry that has one, and
looks at its entries only when that moment comes.

An entry whose time is over goes back to its queue, alone: consumer and channel live
on. Its tag is remembered, because the ack may still come. Then the work is done: if
the entry still waits it is taken out, otherwise the ack is counted and ignored.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from warren.errors import PreconditionFailed
from warren_broker.core.deadlines import DeadlineOwner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from warren_broker.core.broker import Broker
    from warren_broker.core.queue import Entry, Queue, Window

_LOOK_SECONDS: Final = 1e-7
"""About what it takes to look at one entry."""

EXPIRED_MAX: Final = 10_000
"""Tags of timed out deliveries that a channel remembers with their entries."""


@final
class Unacked(DeadlineOwner):
    """Delivery tags of one channel and what they stand for.

    `entries` is open to the delivering front end: it adds what it has sent.
    """

    __slots__ = ("_broker", "_expired", "_forgotten_tag", "_watched", "entries", "tag")

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.entries: OrderedDict[int, Entry] = OrderedDict()
        self.tag = 0  # the last one given
        self._expired: OrderedDict[int, Entry] = OrderedDict()
        self._forgotten_tag = 0  # timed out tags up to here are no longer known
        self._watched: float | None = None

    def add(self, entry: Entry) -> int:
        """Remember `entry` and return its delivery tag."""
        self.tag += 1
        self.entries[self.tag] = entry
        timeout = _timeout_seconds(entry)
        if timeout is not None:
            self.watch(entry.delivered_at + timeout)
        return self.tag

    def watch(self, when: float) -> None:
        """Look for timed out entries at `when`, if not earlier."""
        if self._watched is None or when < self._watched:
            self._watched = when
            self._broker.deadlines.set(self, when)

    def settle(self, tag: int, *, multiple: bool) -> None:
        """The peer acked `tag`, with `multiple` all up to it (0: all there are).

        Raises:
            PreconditionFailed: it was never given, or is settled already.
        """
        for entry in self.take(tag, multiple=multiple).values():
            entry.queue.settle(entry)
        if self._expired:
            for entry in _take(self._expired, tag, multiple=multiple).values():
                entry.queue.settle_late(entry)

    def refuse(self, tag: int, *, multiple: bool, requeue: bool) -> None:
        """The peer nacked or rejected; errors as `settle`."""
        entries = self.take(tag, multiple=multiple).values()
        _take(self._expired, tag, multiple=multiple)  # they are back in their queue
        if requeue:
            return_entries(entries)
        else:
            for entry in entries:
                entry.queue.reject(entry)

    def recover(self) -> None:
        """Give every entry back to its queue."""
        entries = list(self.entries.values())
        self.entries.clear()
        return_entries(entries)

    def close(self) -> None:
        """The channel ends: give everything back and forget the rest."""
        self._broker.deadlines.cancel(self)
        self._watched = None
        self._expired.clear()
        self.recover()

    def check(self, tag: int, *, multiple: bool) -> None:
        """Raise what `settle` would raise, and change nothing."""
        if tag == 0 and multiple:
            return
        if tag in self.entries or tag in self._expired:
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
        merged = sorted([*self.entries.items(), *entries.items()])
        self.entries = OrderedDict(merged)
        self.watch(self._broker.now)  # their time may have come meanwhile

    def on_deadline(self, now: float) -> None:
        """Give back what was held too long; look again when the next one is due."""
        due: list[tuple[int, Entry]] = []
        following: float | None = None
        for tag, entry in self.entries.items():
            timeout = _timeout_seconds(entry)
            if timeout is None:
                continue
            when = entry.delivered_at + timeout
            if when <= now:
                due.append((tag, entry))
            elif following is None or when < following:
                following = when
        self._watched = None
        if following is not None:
            # Looking costs the number of entries: do it a tenth of the time at most.
            pause = len(self.entries) * _LOOK_SECONDS * 10
            self.watch(max(following, now + pause))
        for tag, entry in due:
            del self.entries[tag]
            entry.queue.ack_timeout_count += 1
        self._remember(due)
        return_entries(entry for _, entry in due)

    def _remember(self, due: list[tuple[int, Entry]]) -> None:
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


def return_entries(entries: Iterable[Entry]) -> None:
    """Put entries of one channel back to their queues, and let these hand them on."""
    returned = list(entries)
    if not returned:
        return
    dead_letters = returned[0].queue.vhost.dead_letters
    dead_letters.hold()
    try:
        _take_back(returned)
    finally:
        dead_letters.release()


def _take_back(entries: list[Entry]) -> None:
    queues: dict[Queue, None] = {}
    windows: dict[Window, None] = {}
    for entry in entries:
        if entry.consumer is not None:
            windows[entry.consumer.window] = None
        entry.queue.take_back(entry)
        queues[entry.queue] = None
    for window in windows:
        window.reopen()
    for queue in queues:
        queue.dispatch()


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


def _timeout_seconds(entry: Entry) -> float | None:
    consumer = entry.consumer
    if consumer is None:
        return entry.queue.ack_timeout_seconds
    return consumer.ack_timeout_seconds

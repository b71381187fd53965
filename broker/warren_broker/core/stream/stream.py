"""Stream: a log with offsets, to which is appended and which any number may read.

Offsets are given here, from 0, one after the other; what is safe is said by the log.
Readers see only what is safe. Those at the end wait until there is more and get it
from the tail, which is in memory; those that are behind get pages of the log, which
they share with whoever reads at the same place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from warren.errors import AccessRefused, NotImplemented_
from warren_broker.core.named_queue import NamedQueue
from warren_broker.core.stream.claims import read_claims
from warren_broker.core.stream.leases import stream_lease
from warren_broker.core.stream.log import LogOwner
from warren_broker.core.stream.memory_log import MemoryLog
from warren_broker.core.stream.offsets import Offsets
from warren_broker.core.stream.producers import Producers
from warren_broker.core.stream.record import Page, Record
from warren_broker.core.stream.segment_size import segment_bytes
from warren_broker.core.stream.shelf import Shelf
from warren_broker.core.stream.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.lease import LeaseTerms
    from warren_broker.core.message import Header, Message
    from warren_broker.core.named_queue import Declaration
    from warren_broker.core.queue import Entry
    from warren_broker.core.stream.claims import Claims
    from warren_broker.core.stream.group import Group
    from warren_broker.core.stream.log import Log
    from warren_broker.core.stream.reader import Reader
    from warren_broker.core.stream.subscription import Subscription
    from warren_broker.core.stream.tapped import Tapped
    from warren_broker.core.vhost import VHost


@final
class Stream(NamedQueue, LogOwner):
    """A stream of one virtual host.

    Attributes:
        log: what keeps the records.
        next_offset: the next record's.
        producers: the last sequence number of each.
        offsets: how far those have come who have a name.
        groups: consumer groups by name.
        subscriptions: who consumes, idle members of groups as well.
        tapped: the queues of which it gets copies.
        lease: on which terms records are held: for ever, unless a consumer asks.
    """

    __slots__ = (
        "_at_end",
        "_bytes",
        "_plain",
        "_shelf",
        "_tail",
        "_time_ms",
        "_timed_at",
        "_times",
        "_unsafe",
        "_upkeep",
        "_wanted",
        "duplicate_count",
        "groups",
        "lease",
        "log",
        "next_offset",
        "offsets",
        "producers",
        "refused_count",
        "subscriptions",
        "tapped",
    )

    def __init__(self, vhost: VHost, declaration: Declaration) -> None:
        super().__init__(vhost, declaration)
        limits = vhost.broker.limits
        self.lease: LeaseTerms = stream_lease(vhost.broker)
        self.subscriptions: dict[Subscription, None] = {}
        self.tapped: dict[Tapped, None] = {}
        self.groups: dict[str, Group] = {}
        self.offsets = Offsets()
        self.duplicate_count = 0
        self.refused_count = 0
        self._plain: Header | None = None  # the last one that claims nothing
        self._time_ms = 0
        self._timed_at = -1.0
        self._bytes = 0  # appended, and not safe yet
        self._unsafe: list[Record] = []
        self._tail = Shelf(limits.stream_tail_max_bytes)
        self._shelf = Shelf(limits.stream_tail_max_bytes)
        self._at_end: dict[Reader, None] = {}
        self._wanted: dict[int, dict[Reader, None]] = {}
        self._times: dict[int, dict[Reader, None]] = {}
        self._upkeep = Upkeep(self)
        if vhost.broker.store is not None:
            self.number = vhost.broker.store.new_number()
        self.open()

    def open(self) -> None:
        """Have the log that the store keeps, or one in memory if there is no store."""
        broker = self.vhost.broker
        size = segment_bytes(self.rules)
        if broker.store is None or not self.number:
            self.log: Log = MemoryLog(broker, self, segment_bytes=size)
        else:
            self.log = broker.store.open_log(self.number, self, segment_bytes=size)
        self.next_offset = self.log.end
        self.offsets.limit(self)
        self._time_ms = self.log.newest_ms
        maximum = broker.limits.stream_producers_max
        self.producers = Producers(maximum, self.log.producers)
        self._upkeep.start()

    # As a queue

    @property
    def ready_count(self) -> int:
        return self.log.count + self.next_offset - self.log.end

    @property
    def content_count(self) -> int:
        return self.ready_count

    @property
    def consumer_count(self) -> int:
        return len(self.subscriptions)

    def touch(self) -> None:
        """It does not expire."""

    def take_one(self) -> Entry | None:
        """Raise NotImplemented_: a stream is consumed."""
        raise NotImplemented_(f"basic.get not supported by stream queues {self}")

    def purge(self) -> int:
        """Raise NotImplemented_: what is in a stream stays as long as it may."""
        raise NotImplemented_(f"queue.purge not supported by stream queues {self}")

    def apply_rules(self, rules: QueueArguments) -> None:
        self.rules = rules
        self.log.size_segments(segment_bytes(rules))
        self._upkeep.start()

    def adopt(self, number: int) -> None:
        """See `NamedQueue.adopt`; `open` follows when there is a store."""
        self.number = number

    # Appending

    def accept(self, message: Message) -> bool:
        """Append `message`; False if it claims what is not so.

        Hot: once a message and stream.
        """
        header = message.header
        claims = None
        if header is not self._plain:
            if self.is_deleted:
                return True  # on the way here, by what came before
            claims = read_claims(header)
            if claims is None:
                self._plain = header
            else:
                answer = self._answer(claims)
                if answer is not None:
                    return answer
        self._append(message, claims)
        return True

    def accept_answered(self, message: Message) -> bool:
        """Append `message`, whatever it claims: nobody would learn of a refusal."""
        if not self.is_deleted:
            claims = read_claims(message.header)
            if claims is not None:
                claims = claims._replace(producer=None)
            self._append(message, claims)
        return True

    def _append(self, message: Message, claims: Claims | None) -> None:
        now = self.vhost.broker.now
        if now != self._timed_at:
            self._timed_at = now
            self._time_ms = max(self._time_ms, self.vhost.broker.wall_ms(now))
        offset = self.next_offset
        self.next_offset = offset + 1
        record = Record(offset, self._time_ms, message)
        producer = None
        if claims is not None:
            record.filter_value = claims.filter_value
            producer = claims.producer
            if producer is not None:
                self.producers.note(producer)
        self.log.append(record, producer)
        self._bytes += len(message.body) + len(message.header.payload)
        if self.subscriptions:
            self._unsafe.append(record)

    def _answer(self, claims: Claims) -> bool | None:
        """Return what a publisher is told of a record that is not to be appended."""
        producer = claims.producer
        if claims.is_valid and producer and self.producers.came_before(producer):
            self.duplicate_count += 1
            self.vhost.broker.lean_on_store()  # the first one may not be safe yet
            return True
        expected = claims.expected_offset
        if claims.is_valid and expected in {None, self.next_offset}:
            return None
        self.refused_count += 1
        return False

    # What the log says

    def on_safe(self) -> None:
        """Show those who read along what has come."""
        end, unsafe = self.log.end, self._unsafe
        if unsafe and unsafe[0].offset < end:
            count = end - unsafe[0].offset
            records = unsafe[:count]
            del unsafe[:count]
            self._tail.put(Page(records[0].offset, end, records))
        self._serve(self._at_end)
        self._at_end = {}
        appended_bytes, self._bytes = self._bytes, 0
        self._upkeep.after(appended_bytes)

    def on_trimmed(self) -> None:
        """Those who waited for what is gone go on at what is left."""
        first = self.log.first
        for offset in [each for each in self._wanted if each < first]:
            self._serve(self._wanted.pop(offset))

    def on_page(self, page: Page) -> None:
        self._shelf.put(page)
        for offset in [each for each in self._wanted if page.start <= each < page.end]:
            readers = self._wanted.pop(offset)
            for reader in readers:
                reader.take(page)
            if any(reader.consumer.is_quick for reader in readers):
                self._read_ahead(page)
            self._serve(readers)

    def on_unreadable(self, start: int, end: int, reason: str) -> None:
        """Cancel who was to read it: nobody passes over a hole without a word."""
        self.vhost.broker.notice(
            "stream unreadable",
            vhost=self.vhost.name,
            stream=self.name,
            first=start,
            last=end - 1,
            reason=reason,
        )
        for offset in [each for each in self._wanted if start <= each < end]:
            for reader in self._wanted.pop(offset):
                reader.subscription.cancel()

    def on_time_found(self, timestamp_ms: int, offset: int) -> None:
        readers = self._times.pop(timestamp_ms, {})
        for reader in readers:
            reader.begin(offset)
        self._serve(readers)

    def _serve(self, readers: Mapping[Reader, None]) -> None:
        pump = self.vhost.broker.pump
        for reader in readers:
            reader.is_waiting = False
            pump.add(reader)

    # For readers

    def page_with(self, offset: int, reader: Reader) -> Page | None:
        """Return the page with `offset`, which is safe and not gone.

        None: `reader` is given it later. For one that is quick what follows is read
        ahead in either case.
        """
        page = self._find(offset)
        if page is None:
            readers = self._wanted.setdefault(offset, {})
            readers[reader] = None
            self.log.want(offset)
            return None
        if reader.consumer.is_quick:
            self._read_ahead(page)
        return page

    def _read_ahead(self, page: Page) -> None:
        """Somebody is given `page`: have what follows by the time that it is read."""
        after = page.end
        if (
            after < self.log.end
            and after not in self._wanted
            and self._find(after) is None
        ):
            self._wanted[after] = {}
            self.log.want(after)

    def _find(self, offset: int) -> Page | None:
        return self._tail.find(offset) or self._shelf.find(offset)

    def wait_at_end(self, reader: Reader) -> None:
        """Serve `reader` when there is more."""
        self._at_end[reader] = None

    def find_time(self, timestamp_ms: int, reader: Reader) -> None:
        """Let `reader` begin at the first record that is not older."""
        self._times.setdefault(timestamp_ms, {})[reader] = None
        self.log.want_time(timestamp_ms)

    def note_gap(self, consumer_tag: str, missed: int) -> None:
        """A reader has lost records to retention."""
        self.vhost.broker.notice(
            "reader fell behind",
            vhost=self.vhost.name,
            stream=self.name,
            consumer=consumer_tag,
            missed=missed,
        )

    def forget(self, reader: Reader) -> None:
        """`reader` reads no more."""
        self._at_end.pop(reader, None)
        for waiting in (self._wanted, self._times):
            for readers in waiting.values():
                readers.pop(reader, None)

    # Subscriptions

    def check_free(self, *, exclusive: bool) -> None:
        """Raise AccessRefused if somebody has it for itself, or would like to."""
        is_taken = any(each.is_exclusive for each in self.subscriptions)
        single = self.rules.single_active_consumer
        if is_taken or (exclusive and (self.subscriptions or single)):
            raise AccessRefused(f"{self} in exclusive use")

    def add(self, subscription: Subscription) -> None:
        """`subscription` consumes from it, now or when it is its turn."""
        self.subscriptions[subscription] = None
        self.log.is_watched = True

    def remove(self, subscription: Subscription) -> None:
        """`subscription` consumes no more; nobody else: nothing need be in memory."""
        self.subscriptions.pop(subscription, None)
        if not self.subscriptions:
            self.log.is_watched = False
            self._unsafe.clear()
            self._tail.clear()
            self._shelf.clear()

    def close(self) -> None:
        self.offsets.clear(self)
        self.is_deleted = True
        self._plain = None
        self._upkeep.stop()
        for subscription in list(self.subscriptions):
            subscription.cancel()
        for queue in list(self.tapped):
            queue.end_tap()
        self.log.delete()

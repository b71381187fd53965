"""What the tests of streams share: a log on a simulated disk, and the obvious twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.simulated_disk import SimulatedDisk
from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream import entry as entries
from warren_broker.storage.stream.books import OpenedStream
from warren_broker.storage.stream.compaction import Compaction
from warren_broker.storage.stream.log import StoreFacts, StreamLog
from warren_broker.storage.stream.opening import Opened, open_streams
from warren_broker.storage.stream.producers import note_producers
from warren_broker.storage.stream.reading import StreamReader, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.stream.log import Retention
    from warren_broker.storage.outcome import Outcome
    from warren_broker.storage.stream.batch import StreamBatch

STORE_ID = b"sixteen bytes...."[:16]
NUMBER = 7
SEGMENT_BYTES = 700
RUNWAY = 4000  # before a small chunk as long as the file is, up to that
KEYS_MAX = 3  # so that one compaction takes several passes


class Appended(NamedTuple):
    """A record, as it was appended."""

    timestamp_ms: int
    key: bytes
    body: bytes
    producer: tuple[str, int] | None


class Seen(NamedTuple):
    """A record, as it was read."""

    timestamp_ms: int
    key: bytes
    body: bytes


def key_of(data: bytes, start: int) -> bytes:
    return entries.decode(data, start).route


def open_all(disk: SimulatedDisk) -> Opened:
    return open_streams(disk, STORE_ID, {NUMBER})


def log_of(opened: Opened, epoch: int = 1) -> StreamLog:
    stream = opened.streams.get(NUMBER) or OpenedStream.new(NUMBER)
    return StreamLog(stream, StoreFacts(STORE_ID, epoch, RUNWAY), SEGMENT_BYTES)


def read_from(
    reader: StreamReader, log: StreamLog, offset: int
) -> Iterator[tuple[int, Seen]]:
    """Everything from `offset` on. Raises `UnreadableError`."""
    while offset < log.end:
        page = reader.page(NUMBER, log.place_of(offset), offset)
        assert page.start <= offset < page.end <= log.end, (page, offset)
        for at, seen in seen_in(page.chunks):
            if at >= offset:
                yield at, seen
        offset = page.end


def seen_in(found: list[chunks.Chunk]) -> Iterator[tuple[int, Seen]]:
    for chunk in found:
        is_compacted = chunk.header.kind == chunks.COMPACTED
        for delta, start, _ in entries.spans(chunk.data, has_deltas=is_compacted):
            entry = entries.decode(chunk.data, start)
            seen = Seen(chunk.header.timestamp_ms, entry.route, entry.body)
            yield chunk.header.first + delta, seen


class Ledger:
    """What was appended, and what was promised of it."""

    def __init__(self) -> None:
        self.appended: list[Appended] = []
        self.safe = 0  # all before it is confirmed
        self.first = 0  # the highest that retention has come to
        self.may_be_gone: set[int] = set()
        self.gone: set[int] = set()  # for good

    def compact(self, end: int, before_ms: int) -> set[int]:
        """What a compaction of all before `end` takes away."""
        newest = {self.appended[at].key: at for at in range(self.first, end)}
        gone = {
            at for at in range(self.first, end) if newest[self.appended[at].key] > at
        }
        for at in range(self.first, end):
            one = self.appended[at]
            if not one.body and one.timestamp_ms < before_ms:
                gone.add(at)
        self.may_be_gone |= gone
        return gone

    def producers(self, end: int) -> dict[str, int]:
        known: dict[str, int] = {}
        for one in self.appended[:end]:
            if one.producer is not None:
                note_producers(known, dict([one.producer]))
        return known

    def complaints(self, opened: Opened, log: StreamLog, disk: SimulatedDisk) -> str:
        """The first broken promise that is found; empty if there is none."""
        if opened.damage:
            return f"damage: {opened.damage}"
        if not self.safe <= log.end <= len(self.appended):
            return f"end {log.end}: {self.safe} safe, {len(self.appended)} appended"
        if log.first > self.first:
            return f"first {log.first}, and retention was at {self.first}"
        if log.producers != self.producers(log.end):
            return f"producers {log.producers}, not {self.producers(log.end)}"
        return self._complaint_of_records(log, disk)

    def _complaint_of_records(self, log: StreamLog, disk: SimulatedDisk) -> str:
        reader = StreamReader(disk, STORE_ID)
        try:
            found = dict(read_from(reader, log, log.first))
        except (UnreadableError, OSError, ValueError) as error:
            return f"unreadable: {error!r}"
        if log.count != len(found):
            return f"{log.count} records counted, {len(found)} there"
        left: set[bytes] = set()  # keys that have a record so far
        for at in range(log.first, log.end):
            one = self.appended[at]
            if at in found:
                left.add(one.key)
            elif one.key in left:
                return f"gone before an older one: {at}"
            if at not in found and at not in self.may_be_gone:
                return f"lost: {at}"
            if at in found and found[at] != Seen(one.timestamp_ms, one.key, one.body):
                return f"altered: {at}"
            if at in found and at in self.gone:
                return f"came back: {at}"
        return ""


class Bench:
    """A log on a simulated disk, its ledger, and the one who uses both."""

    def __init__(self) -> None:
        self.disk = SimulatedDisk()
        self.ledger = Ledger()
        self.epoch = 0
        self.now_ms = 1_000
        self.opened = self.open()

    def open(self) -> Opened:
        self.epoch += 1
        self.opened = open_all(self.disk)
        self.log = log_of(self.opened, self.epoch)
        return self.opened

    def restart(self, disk: SimulatedDisk) -> None:
        """Another process goes on with `disk`: what it finds is what there is."""
        self.disk = disk
        self.open()
        ledger = self.ledger
        wrong = ledger.complaints(self.opened, self.log, disk)
        assert not wrong, wrong
        del ledger.appended[self.log.end :]
        ledger.safe = self.log.end
        ledger.first = self.log.first

    def append(
        self, key: bytes, body: bytes, producer: tuple[str, int] | None = None
    ) -> None:
        self.ledger.appended.append(Appended(self.now_ms, key, body, producer))
        self.log.append(self.now_ms, None, key, b"header", body, producer)

    def commit(self, *, syncs: bool = True, is_last: bool = False) -> Outcome | None:
        batch = self.log.take_batch(syncs=syncs, is_last=is_last)
        return None if batch is None else self.run(batch)

    def run(self, batch: StreamBatch) -> Outcome:
        error = None
        try:
            batch.run(self.disk)
        except OSError as caught:
            error = caught
        outcome = self.log.on_written(batch, error)
        self.ledger.safe = max(self.ledger.safe, self.log.synced)
        return outcome

    def retain(self, limit: Retention) -> None:
        if self.log.retain(limit, self.now_ms):
            self.ledger.first = self.log.first

    def compact(self, before_ms: int = 0) -> None:
        """The whole of it; each replacement is written with a batch of its own."""
        places = self.log.sealed()
        if not places:
            return
        gone = self.ledger.compact(places[-1].end, before_ms)
        compaction = Compaction(
            NUMBER,
            places,
            StoreFacts(STORE_ID, self.epoch),
            key_of,
            before_ms,
            KEYS_MAX,
        )
        for step in compaction.steps(self.disk):
            if step is not None and self.log.replace(step):
                self.commit()
        self.ledger.gone |= gone

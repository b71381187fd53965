"""What is promised of records, and shown of them, on a disk that takes its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from tests.amqp.slow_store import SlowStore
from tests.amqp.stream_scenes import consume, got, offsets, publish
from tests.pairs import World
from warren.wire.methods import (
    BasicAck,
    BasicNack,
    ConfirmSelect,
    QueueDeclare,
    TxCommit,
    TxSelect,
)
from warren_broker.core.stream.log import Log
from warren_broker.core.stream.record import Page

if TYPE_CHECKING:
    from tests.pairs import RawClient
    from warren_broker.core.stream.log import LogOwner, Retention
    from warren_broker.core.stream.record import Record


@final
class SlowLog(Log):
    """Keeps records in a list; they are safe when its store commits."""

    def __init__(self, store: StreamStore, owner: LogOwner) -> None:
        self.store, self.owner = store, owner
        self.records: list[Record] = []
        self.first = self.end = self.count = self.newest_ms = 0
        self.producers = {}

    def append(self, record: Record, producer: tuple[str, int] | None) -> None:
        assert record.offset == len(self.records)
        self.records.append(record)
        self.store.say()

    def make_safe(self) -> None:
        self.end = self.count = len(self.records)
        self.owner.on_safe()

    def size_segments(self, segment_bytes: int) -> None:
        """Have none."""

    def want(self, offset: int) -> None:
        assert self.first <= offset < self.end
        self.owner.on_page(Page(offset, self.end, self.records[offset : self.end]))

    def want_time(self, timestamp_ms: int) -> None:
        raise AssertionError("nobody asks")

    def retain(self, retention: Retention, now_ms: int) -> None:
        """Keep all."""

    def compact(self, tombstones_before_ms: int) -> None:
        """Keep all."""

    def delete(self) -> None:
        self.records.clear()


class StreamStore(SlowStore):  # type: ignore[misc]
    """A slow store with logs."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.logs: list[SlowLog] = []

    def open_log(self, number: int, owner: LogOwner, *, segment_bytes: int) -> Log:
        self.logs.append(SlowLog(self, owner))
        return self.logs[-1]

    def say(self) -> None:
        self._say()

    def commit(self) -> None:
        for log in self.logs:
            log.make_safe()
        super().commit()


def test_a_record_is_confirmed_and_seen_when_it_is_safe() -> None:
    world = World()
    store = StreamStore(world)
    client, reader = world.open(), world.open()
    client.call(ConfirmSelect())
    declared(client, store)
    assert consume(reader, offset="first") == []
    publish(client, b"0", b"1")
    assert client.methods() == []
    assert got(reader) == []
    store.commit()
    assert client.methods() == [BasicAck(2, multiple=True)]
    assert offsets(got(reader)) == [0, 1]


def test_a_duplicate_is_confirmed_only_when_the_first_one_is_safe() -> None:
    world = World()
    store = StreamStore(world)
    client = world.open()
    client.call(ConfirmSelect())
    declared(client, store)
    publish(client, b"0", x_producer_id="p", x_producer_seq=1)
    publish(client, b"0", x_producer_id="p", x_producer_seq=1)
    publish(client, b"0", x_expected_offset=7)
    assert client.methods() == []
    store.commit()
    assert client.methods() == [
        BasicAck(1, multiple=False),
        BasicAck(2, multiple=False),
        BasicNack(3, multiple=False, requeue=False),
    ]
    publish(client, b"0", x_producer_id="p", x_producer_seq=1)
    assert client.methods() == [BasicAck(4, multiple=False)]


def test_a_commit_is_answered_when_its_records_are_safe() -> None:
    world = World()
    store = StreamStore(world)
    client = world.open()
    declared(client, store)
    client.call(TxSelect())
    publish(client, b"0")
    client.send(TxCommit())
    assert client.methods() == []
    store.commit()
    assert len(client.methods()) == 1


def declared(client: RawClient, store: StreamStore) -> None:
    """Declare the stream and let that be safe."""
    stream = {"x-queue-type": "stream"}
    client.send(QueueDeclare(queue="s", durable=True, arguments=dict(stream)))
    store.commit()
    assert len(client.methods()) == 1

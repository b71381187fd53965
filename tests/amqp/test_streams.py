"""Streams over the wire: declare, append, read, settle."""

from __future__ import annotations

import gc
import itertools
from datetime import UTC, datetime

import pytest

from tests.amqp.stream_scenes import (
    ack,
    consume,
    declare,
    got,
    offsets,
    publish,
)
from tests.pairs import World
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicNack,
    BasicReject,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueueDeleteOk,
    TxCommit,
    TxCommitOk,
    TxSelect,
)
from warren_broker.amqp.channel import ClosingChannel
from warren_broker.core.limits import Limits
from warren_broker.core.stream.record import Record


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


def test_two_readers_get_every_record_with_its_offset() -> None:
    world = World()
    client = world.open(channels=(1, 2))
    assert declare(client) == 0
    publish(client, *numbered(5))
    assert declare(client) == 5
    first = consume(client, offset="first")
    assert offsets(first) == [0, 1, 2, 3, 4]
    assert [each.body for each in first] == numbered(5)
    second = consume(client, tag="d", channel=2, offset=3)
    assert offsets(second) == [3, 4]
    publish(client, b"5")
    assert [each.offset for each in got(client)] == [5, 5]


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("first", [0, 1, 2, 3, 4, 5]),
        ("last", [5]),
        ("next", []),
        (2, [2, 3, 4, 5]),
        (6, []),
        (99, []),
        (-2, [4, 5]),
        (-99, [0, 1, 2, 3, 4, 5]),
        (datetime.fromtimestamp(0, UTC), [0, 1, 2, 3, 4, 5]),
        (datetime.fromtimestamp(10, UTC), [2, 3, 4, 5]),
        (datetime.fromtimestamp(11, UTC), [4, 5]),
        (datetime.fromtimestamp(99, UTC), []),
        ("10s", [4, 5]),
        ("20s", [2, 3, 4, 5]),
        ("1h", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_a_reader_begins_where_it_says(offset: object, expected: list[int]) -> None:
    world = World()
    client = world.open()
    declare(client)
    for _ in range(3):
        publish(client, b"a", b"b")
        world.advance(10)
    assert offsets(consume(client, offset=offset)) == expected  # type: ignore[arg-type]
    publish(client, b"new")
    assert offsets(got(client)) == [6]


def test_prefetch_is_the_credit_and_acks_in_any_order_are_room() -> None:
    client = World().open()
    declare(client)
    publish(client, *numbered(9))
    first = consume(client, prefetch=3, offset="first")
    assert offsets(first) == [0, 1, 2]
    assert offsets(ack(client, first[1])) == [3]
    assert offsets(ack(client, first[2], multiple=True)) == [4, 5]


def test_no_ack_needs_no_prefetch() -> None:
    client = World().open()
    declare(client)
    publish(client, *numbered(2000))
    every = consume(client, prefetch=0, no_ack=True, offset="first")
    assert offsets(every) == list(range(2000))


@pytest.mark.parametrize("method", [BasicNack, BasicReject])
def test_a_returned_record_comes_again_before_what_follows(method: type) -> None:
    client = World().open()
    declare(client)
    publish(client, *numbered(4))
    one, two = consume(client, prefetch=2, offset="first")
    client.send(method(one.tag, requeue=True))
    (again,) = got(client)
    assert (again.offset, again.redelivered) == (0, True)
    assert again.headers == {"x-delivery-count": 1}
    assert offsets(ack(client, two)) == [2]
    client.send(method(again.tag, requeue=False))
    assert offsets(got(client)) == [3]


def test_others_do_not_notice_a_slow_reader() -> None:
    world = World()
    slow, quick = world.open(), world.open()
    declare(slow)
    assert consume(slow, prefetch=1, offset="first") == []
    assert consume(quick, prefetch=1000, offset="first") == []
    for start in range(0, 1000, 100):
        publish(slow, *numbered(100, start))
    assert len(got(slow)) == 1
    assert offsets(got(quick)) == list(range(1000))


# Appending


def test_a_duplicate_is_confirmed_and_not_appended() -> None:
    client = World().open()
    declare(client)
    client.call(ConfirmSelect())
    for sequence in (1, 2, 2, 1, 4, 3):
        publish(client, b"", x_producer_id="p", x_producer_seq=sequence)
        publish(client, b"", x_producer_id="other", x_producer_seq=1)
    assert client.methods() == [BasicAck(tag, multiple=False) for tag in range(1, 13)]
    assert declare(client) == 4


def test_the_longest_idle_producer_is_forgotten() -> None:
    client = World(Limits(stream_producers_max=2)).open()
    declare(client)
    for producer in ("a", "b", "a", "c", "a", "b"):
        publish(client, b"", x_producer_id=producer, x_producer_seq=1)
    assert declare(client) == 4  # a, b, c, and b once more


def test_an_append_may_expect_its_offset() -> None:
    client = World().open()
    declare(client)
    client.call(ConfirmSelect())
    publish(client, b"0", x_expected_offset=0)
    publish(client, b"again", x_expected_offset=0)
    publish(client, b"early", x_expected_offset=2)
    publish(client, b"1", x_expected_offset=1)
    answers = client.methods()
    assert [type(each) for each in answers] == [
        BasicAck,
        BasicNack,
        BasicNack,
        BasicAck,
    ]
    assert [each.body for each in consume(client, offset="first")] == [b"0", b"1"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x_producer_id": "p"},
        {"x_producer_id": 1, "x_producer_seq": 1},
        {"x_producer_id": "p", "x_producer_seq": "1"},
        {"x_producer_id": "p", "x_producer_seq": -1},
        {"x_producer_id": "p" * 256, "x_producer_seq": 1},
        {"x_producer_seq": 1},
        {"x_expected_offset": "0"},
        {"x_expected_offset": True},
        {"x_stream_filter_value": 1},
        {"x_stream_filter_value": "f" * 256},
    ],
)
def test_a_claim_that_cannot_be_is_refused(headers: dict[str, object]) -> None:
    client = World().open()
    declare(client)
    client.call(ConfirmSelect())
    publish(client, b"", **headers)  # type: ignore[arg-type]
    assert client.methods() == [BasicNack(1, multiple=False, requeue=False)]
    assert declare(client) == 0


def test_one_message_goes_to_many_streams() -> None:
    client = World().open()
    client.call(ExchangeDeclare(exchange="x", type="fanout"))
    for name in ("s", "t"):
        declare(client, name)
        client.call(QueueBind(queue=name, exchange="x"))
    client.call(QueueDeclare(queue="q"), QueueBind(queue="q", exchange="x"))
    client.publish("", b"1", b"2", exchange="x")
    assert declare(client, "s") == declare(client, "t") == 2


def test_a_transaction_appends_and_acks_at_its_commit() -> None:
    client = World().open()
    declare(client)
    publish(client, b"0")
    (record,) = consume(client, offset="first")
    client.call(TxSelect())
    publish(client, b"1")
    client.send(BasicAck(record.tag))
    assert declare(client) == 1
    assert client.call(TxCommit()) == [TxCommitOk()]
    assert offsets(got(client)) == [1]


def test_a_commit_with_an_expectation_that_fails_is_refused() -> None:
    client = World().open()
    declare(client)
    client.call(TxSelect())
    publish(client, b"0", x_expected_offset=7)
    (close,) = client.call(TxCommit())
    assert isinstance(close, ChannelClose)
    assert close.reply_text == "PRECONDITION_FAILED - partial tx completion"


# How far a reader has come


def test_a_reader_with_a_name_goes_on_where_it_was() -> None:
    client = World().open()
    declare(client)
    publish(client, *numbered(9))
    records = consume(client, tag="name", offset="first", prefetch=5)
    ack(client, records[0], records[1], records[3])
    client.call(BasicCancel("name"))
    client.send(BasicNack(0, multiple=True, requeue=True))
    assert offsets(consume(client, tag="name"))[0] == 2


def test_a_reader_without_a_name_begins_at_the_end() -> None:
    client = World().open()
    declare(client)
    publish(client, *numbered(3))
    made_up = "ctag1." + "0123456789abcdef" * 2
    for tag in ("", made_up):
        (*_, last) = consume(client, tag=tag, offset="first")
        ack(client, last, multiple=True)
    publish(client, b"3")
    got(client)
    client.call(ChannelClose(200, "", 0, 0), ChannelOpen())
    for tag in ("", made_up):
        assert consume(client, tag=tag) == []


def test_tracking_can_be_switched_off_and_have_another_name() -> None:
    world = World()
    client = world.open()
    declare(client)
    publish(client, *numbered(4))
    stream = world.broker.vhosts["/"].queues["s"]
    for arguments in ({"automatic_offset_tracking": False}, {"reference": "billing"}):
        records = consume(client, tag="t", offset="first", **arguments)  # type: ignore[arg-type]
        ack(client, records[1], multiple=True)
        client.call(BasicCancel("t"))
    assert dict(stream.offsets) == {"billing": 2}
    assert offsets(consume(client, tag="other", reference="billing"))[0] == 2


def test_an_offset_is_stored_once_a_second_at_most() -> None:
    world = World()
    client = world.open()
    declare(client)
    publish(client, *numbered(9))
    stream = world.broker.vhosts["/"].queues["s"]
    records = consume(client, tag="t", offset="first")
    assert dict(stream.offsets) == {"t": 0}
    ack(client, *records[:3])
    assert dict(stream.offsets) == {"t": 0}
    world.advance(1)
    assert dict(stream.offsets) == {"t": 3}
    ack(client, *records[3:6])
    assert dict(stream.offsets) == {"t": 3}
    client.hang_up()
    assert dict(stream.offsets) == {"t": 6}


def test_a_place_is_moved_back_at_once_and_ahead_by_an_ack() -> None:
    client = World().open()
    declare(client)
    publish(client, *numbered(9))
    stream = client.world.broker.vhosts["/"].queues["s"]
    for offset, acked, stored in ((5, 0, 5), (7, 0, 5), (7, 1, 8), (2, 0, 2)):
        records = consume(client, tag="t", offset=offset)
        ack(client, *records[:acked])
        client.call(BasicCancel("t"))
        assert dict(stream.offsets) == {"t": stored}


def test_the_longest_unused_offset_is_forgotten() -> None:
    world = World(Limits(stream_offsets_max=2))
    client = world.open()
    declare(client)
    for tag in ("a", "b", "c"):
        consume(client, tag=tag)
        client.call(BasicCancel(tag))
    stream = world.broker.vhosts["/"].queues["s"]
    assert [name for name, _ in stream.offsets] == ["b", "c"]


def test_a_deleted_stream_cancels_its_readers() -> None:
    client = World().open()
    declare(client)
    publish(client, *numbered(3))
    (first, *_) = consume(client, tag="t", offset="first")
    answers = client.call(QueueDelete(queue="s"))
    assert answers == [BasicCancel("t", no_wait=True), QueueDeleteOk(3)]
    assert ack(client, first) == []
    declare(client)
    assert consume(client, tag="t") == []


# Filters


def test_a_reader_gets_what_it_chose() -> None:
    client = World().open(channels=(1, 2, 3))
    declare(client)
    for value in ("a", "b", None, "a", "c"):
        headers = {} if value is None else {"x_stream_filter_value": value}
        publish(client, b"", **headers)
    assert offsets(consume(client, offset="first", filter="a")) == [0, 3]
    some = consume(client, tag="d", channel=2, offset="first", filter=["b", "c"])
    assert offsets(some) == [1, 4]
    more = consume(
        client,
        tag="e",
        channel=3,
        offset="first",
        filter="c",
        match_unfiltered=True,
    )
    assert offsets(more) == [2, 4]


def test_more_records_than_a_count_has_room_for() -> None:
    world = World()
    client = world.open()
    declare(client)
    world.broker.vhosts["/"].queues["s"].log.count = 5_000_000_000
    assert declare(client) == 2**32 - 1
    (answer,) = client.call(QueueDelete(queue="s"))
    assert answer == QueueDeleteOk(2**32 - 1)


# Retention


def test_a_reader_that_fell_behind_is_told_of_the_gap() -> None:
    world = World()
    client = world.open()
    declare(client, x_max_length=10, x_stream_max_segment_size_bytes=400)
    publish(client, *numbered(4))
    (record, *_) = consume(client, prefetch=1, offset="first")
    for start in range(4, 400, 20):
        publish(client, *numbered(20, start))
    got(client)
    stream = world.broker.vhosts["/"].queues["s"]
    assert stream.log.first > 100
    seen = [record]
    while seen[-1].offset < 399:
        seen += ack(client, seen[-1])
    gaps = {
        after.offset: after.offset - before.offset - 1
        for before, after in itertools.pairwise(seen)
        if after.offset != before.offset + 1
    }
    assert gaps
    told = {r.offset: r.headers["x-stream-gap"] for r in seen if r.headers}
    assert told == gaps


def test_what_a_cancelled_consumer_holds_keeps_no_page() -> None:
    world = World()
    client = world.open()
    declare(client, x_max_length=10, x_stream_max_segment_size_bytes=400)
    publish(client, *numbered(8))
    (held,) = consume(client, prefetch=1, offset="first")
    client.call(BasicCancel("c"))
    publish(client, *numbered(400))  # the log lets go of the first ones
    gc.collect()
    alive = {each.offset for each in gc.get_objects() if isinstance(each, Record)}
    assert min(alive - {held.offset}) > held.offset + 8


def test_what_is_too_old_goes_by_segments() -> None:
    world = World()
    client = world.open()
    declare(client, x_max_age="7D", x_stream_max_segment_size_bytes=100)
    publish(client, *numbered(10))
    world.advance(8 * 86_400)
    publish(client, *numbered(1))
    world.advance(120)
    assert 1 <= declare(client, x_max_age="7D", x_stream_max_segment_size_bytes=100) < 9


def test_a_clock_that_jumps_for_a_moment_makes_nothing_old() -> None:
    week = {"x_max_age": "7D", "x_stream_max_segment_size_bytes": 100}
    world = World()
    client, broker = world.open(), world.broker
    declare(client, **week)
    publish(client, *numbered(10))
    jumped = broker.wall_seconds + 8 * 86_400
    assert broker.set_wall(jumped) == pytest.approx(8 * 86_400)
    world.advance(120)
    assert declare(client, **week) == 10, "it was looked at once"
    broker.set_wall(jumped - 8 * 86_400)
    world.advance(120)
    assert declare(client, **week) == 10, "and was set back"
    for _ in range(2):
        broker.set_wall(jumped)
    world.advance(120)
    assert declare(client, **week) < 10, "that is what time it is"


def test_a_clock_that_is_doubted_makes_nothing_old() -> None:
    week = {"x_max_age": "7D", "x_stream_max_segment_size_bytes": 100}
    world = World()
    client, broker = world.open(), world.broker
    broker.set_wall(1e9)
    declare(client, **week)
    publish(client, *numbered(10))
    broker.doubt_wall()
    world.advance(8 * 86_400)
    assert declare(client, **week) == 10
    broker.set_wall(broker.wall_seconds)
    world.advance(120)
    assert declare(client, **week) < 10


# Snapshots


def test_a_snapshot_has_the_newest_of_each_key_and_then_what_follows() -> None:
    client = World().open()
    declare(client)
    for key, body in (("a", b"1"), ("b", b"2"), ("a", b"3"), ("c", b"4"), ("b", b"")):
        publish(client, body, x_compact_key=key)
    records = consume(client, offset="snapshot")
    assert [(each.offset, each.body) for each in records] == [(2, b"3"), (3, b"4")]
    assert all(each.headers["x-snapshot"] is True for each in records)
    publish(client, b"5", x_compact_key="a")
    (live,) = got(client)
    assert live.offset == 5
    assert "x-snapshot" not in live.headers


def test_a_record_that_comes_again_still_tells_what_it_is() -> None:
    client = World().open()
    declare(client, x_max_length=0, x_stream_max_segment_size_bytes=1)
    publish(client, b"1", x_compact_key="a")
    publish(client, b"2", x_compact_key="a")
    for offset, mark in (("snapshot", {"x-snapshot": True}), (0, {"x-stream-gap": 1})):
        (record,) = consume(client, offset=offset, prefetch=1)
        assert record.headers == {"x-compact-key": "a", **mark}
        client.send(BasicNack(record.tag, requeue=True))
        (again,) = got(client)
        assert again.headers == {**record.headers, "x-delivery-count": 1}
        client.call(BasicCancel("c"))


def test_a_snapshot_of_too_much_closes_the_channel() -> None:
    client = World(Limits(snapshot_keys_max=2)).open()
    declare(client)
    for key in "abc":
        publish(client, b"1", x_compact_key=key)
    assert consume(client, offset="snapshot") == []
    assert isinstance(client.connection.channels[1], ClosingChannel)


def test_all_snapshots_together_are_not_too_much() -> None:
    world = World(Limits(snapshots_max_bytes=2500))
    client = world.open(channels=(1, 2, 3))
    declare(client)
    for key in "abc":
        publish(client, bytes(100), x_compact_key=key)
    size = world.broker.snapshots
    first = consume(client, tag="a", offset="snapshot", prefetch=1)
    one = size.size_bytes
    assert 900 < one < 1250
    consume(client, tag="b", channel=2, offset="snapshot", prefetch=1)
    assert consume(client, tag="c", channel=3, offset="snapshot") == []
    assert isinstance(client.connection.channels[3], ClosingChannel)
    assert size.size_bytes == 2 * one
    for _ in range(3):
        first = ack(client, *first)
    assert size.size_bytes == one, "what is delivered is not kept"
    client.call(BasicCancel("b"), channel=2)
    assert size.size_bytes == 0

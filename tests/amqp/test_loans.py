"""What is lent and acked in runs is no different from what goes record by record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.amqp.stream_scenes import ack, consume, declare, got, is_record, offsets
from tests.pairs import World, content, random_cuts, whole
from warren.wire.frames import encode_method
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicNack,
    BasicPublish,
    BasicQos,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    TxCommit,
    TxSelect,
)
from warren_broker.amqp.channel import ServerChannel
from warren_broker.amqp.shared_frames import SHARED_MAX
from warren_broker.core.stream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.amqp.stream_scenes import Got
    from tests.pairs import Cut, RawClient
    from warren.wire.methods import Method
    from warren_broker.core.unacked import Unacked

HOUR_MS: Final = 3_600_000


def stream_of(world: World) -> Stream:
    stream = world.broker.vhosts["/"].queues["s"]
    assert isinstance(stream, Stream)
    return stream


def unacked_of(client: RawClient, number: int = 1) -> Unacked | None:
    channel = client.connection.channels.get(number)
    return channel.unacked if isinstance(channel, ServerChannel) else None


# --- deliveries

records = st.lists(
    st.tuples(
        st.sampled_from(("", "k", "key" * 50)),
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(("t", "another")),
                "headers": st.dictionaries(
                    st.sampled_from("ab"), st.sampled_from((1, "v" * SHARED_MAX))
                ),
                "delivery_mode": st.integers(1, 2),
            },
        ),
        st.integers(0, 3)
        | st.integers(SHARED_MAX - 1, SHARED_MAX + 1)
        | st.sampled_from((5000, 20_000)),
        st.integers(1, 3),
    ),
    max_size=8,
)
readers = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from(("c", "another")),
        st.sampled_from((4096, 131_072)),
        st.integers(1, 5),
    ),
    min_size=1,
    max_size=6,
)


@given(records=records, readers=readers)
def test_a_loan_is_sent_as_its_records_are(
    records: list[tuple[str, dict[str, object], int, int]],
    readers: list[tuple[int, str, int, int]],
) -> None:
    """Who has to ack in time is given entries, which are sent one by one."""
    world = World()
    client = world.open()
    declare(client)
    client.send(QueueBind(queue="s", exchange="amq.topic", routing_key="#"))
    watching = consume(client, offset="first")
    for key, properties, size, times in records:
        client.publish(key, *[bytes(size)] * times, exchange="amq.topic", **properties)
    count = sum(times for *_, times in records)
    assert offsets(watching + got(client)) == list(range(count))
    for reader in readers:
        lent, each = (all_of(world, *reader, is_lent=is_lent) for is_lent in (1, 0))
        assert lent == each


def all_of(
    world: World, channel: int, tag: str, frame_max: int, prefetch: int, *, is_lent: int
) -> bytes:
    """Return what a reader of the whole stream is sent, byte for byte."""
    client = world.open(channels=(channel,), frame_max=frame_max)
    timeout = {} if is_lent else {"x-consumer-timeout": HOUR_MS}
    arguments = {"x-stream-offset": "first", **timeout}
    client.send(BasicQos(0, prefetch), channel=channel)
    method = BasicConsume(queue="s", consumer_tag=tag, arguments=arguments)  # type: ignore[arg-type]
    client.send(method, channel=channel)
    client.arrivals()
    sent = []
    for _ in range(30):
        world.advance(0)
        sent += client.outbox.take(1 << 40)
        unacked = unacked_of(client, channel)
        if unacked is None:
            break  # a header that no frame can hold
        assert is_lent or not unacked.loans.count
        if unacked.count:
            client.send(BasicAck(0, multiple=True), channel=channel)
    client.hang_up()
    return b"".join(sent)


# --- acks

steps = st.lists(
    st.tuples(
        st.sampled_from(("ack",) * 4 + ("many", "return", "publish", "half")),
        st.sampled_from((1, 1, 2)),
        st.sampled_from((0, 0, 0, 0, 0, -1, 1, 2)),
        st.integers(1, 9),
    ),
    max_size=8,
)


def frames_of(steps: Iterable[tuple[str, int, int, int]]) -> list[bytes]:
    """Return frames that ack what may be there, mostly in order."""
    frames: list[bytes] = []
    next_tags = {1: 1, 2: 1}
    for what, channel, shift, count in steps:
        tag = next_tags[channel] + shift
        if what == "publish":
            frames.append(b"".join(content(BasicPublish(0, "", "s"), b"new")))
            continue
        if what == "half":  # an error, unless it is the last
            frames.append(encode_method(1, BasicPublish(0, "", "s")))
            continue
        methods: list[Method]
        if what == "ack":
            methods = [BasicAck(tag + number) for number in range(count)]
        elif what == "many":
            methods = [BasicAck(tag + count, multiple=True)]
        else:
            methods = [BasicNack(tag, requeue=True)]
        done = {"ack": count, "many": count + 1, "return": 1}
        next_tags[channel] = tag + done[what]
        frames += [encode_method(channel, method) for method in methods]
    return frames


def outcome(inputs: Iterable[bytes], prefetch: int, cut: Cut) -> object:
    """Return what a client hears, who reads a stream and a queue, and what is left."""
    world = World()
    publisher = world.open()
    declare(publisher)
    publisher.call(QueueDeclare(queue="q"))
    publisher.publish("s", *(b"%d" % number for number in range(60)))
    publisher.publish("q", *(b"%d" % number for number in range(60)))
    world.advance(0)
    client = world.open(cut, channels=(1, 2))
    first = consume(client, prefetch=prefetch, offset="first")
    client.send(BasicQos(0, prefetch), channel=2)
    client.send(BasicConsume(queue="q", consumer_tag="d"), channel=2)
    heard = client.arrivals()
    for data in inputs:
        client.send_raw(data)
    world.advance(2)
    heard += client.arrivals()
    books = (unacked_of(client, number) for number in (1, 2))
    counts = [unacked and unacked.count for unacked in books]
    return (
        offsets(first),
        {
            number: [each for each in heard if each.channel == number]
            for number in (1, 2)
        },
        counts,
        dict(stream_of(world).offsets),
    )


@given(
    steps=steps,
    prefetch=st.integers(1, 12),
    size=st.integers(1, 80),
    seed=st.integers(0, 9),
)
@example([("ack", 2, 0, 3), ("many", 2, 0, 4), ("ack", 2, 0, 2)], 12, 80, 0)
@example([("ack", 1, 0, 3), ("half", 1, 0, 1), ("ack", 1, 0, 4)], 12, 4, 0)
def test_a_run_of_acks_is_each_of_them(
    steps: list[tuple[str, int, int, int]], prefetch: int, size: int, seed: int
) -> None:
    """However many frames come together."""
    frames = frames_of(steps)
    one_by_one = outcome(frames, prefetch, random_cuts(seed))
    together = [b"".join(frames[at : at + size]) for at in range(0, len(frames), size)]
    assert outcome(together, prefetch, whole) == one_by_one


def delivered(client: RawClient, prefetch: int = 40, count: int = 100) -> list[Got]:
    declare(client)
    client.publish("s", *(b"%d" % number for number in range(count)))
    client.world.advance(0)
    return consume(client, prefetch=prefetch, offset="first")


def acks(tags: Iterable[int], channel: int = 1) -> bytes:
    return b"".join(encode_method(channel, BasicAck(tag)) for tag in tags)


def test_who_acks_in_order_holds_no_entries() -> None:
    client = World().open()
    first = delivered(client)
    unacked = unacked_of(client)
    assert unacked is not None
    assert (unacked.count, len(unacked.entries)) == (40, 0)
    client.send_raw(acks(range(1, 31)))
    second = got(client)
    assert offsets(first + second) == list(range(70))
    assert (unacked.count, len(unacked.entries)) == (40, 0)
    assert offsets(ack(client, second[-1], multiple=True)) == list(range(70, 100))
    assert (unacked.count, len(unacked.entries)) == (30, 0)


def test_whatever_is_settled_out_of_order_the_offset_stays_behind() -> None:
    world = World()
    client = world.open()
    first = delivered(client)
    client.send_raw(acks((*range(1, 6), *range(10, 20))))
    world.advance(2)
    assert dict(stream_of(world).offsets) == {"c": 5}
    client.send(BasicNack(6, requeue=True))
    back = [each for each in got(client) if each.redelivered]
    assert offsets(back) == [first[5].offset]
    client.send_raw(acks(range(7, 10)))
    ack(client, *back)
    world.advance(2)
    assert dict(stream_of(world).offsets) == {"c": 19}


def test_a_channel_that_ends_gives_back_what_was_lent() -> None:
    world = World()
    client = world.open()
    delivered(client)
    client.send_raw(acks(range(1, 11)))
    client.hang_up()
    assert dict(stream_of(world).offsets) == {"c": 10}
    assert not stream_of(world).subscriptions
    assert offsets(consume(world.open(), prefetch=3)) == [10, 11, 12]


@pytest.mark.parametrize("tags", [(1, 2, 2), (1, 2, 1000), (0, 1), (2, 2, 3)])
def test_an_unknown_tag_in_a_run_closes_the_channel(tags: tuple[int, ...]) -> None:
    client = World().open()
    delivered(client)
    client.send_raw(acks(tags))
    closes = [each for each in client.arrivals() if not is_record(each)]
    assert "unknown delivery tag" in str(closes[-1].method)
    assert unacked_of(client) is None


def test_a_transaction_takes_acks_when_it_is_committed() -> None:
    client = World().open()
    delivered(client)
    client.call(TxSelect())
    client.send_raw(acks(range(1, 11)))
    assert got(client) == []
    client.send(TxCommit())
    assert offsets(got(client)) == list(range(40, 50))


def test_readers_of_a_page_share_what_is_sent() -> None:
    """And it is made again by whoever has another channel."""
    world = World()
    delivered(world.open())
    for channel in (1, 2, 1):
        assert (
            len(
                consume(
                    world.open(channels=(channel,)), channel=channel, offset="first"
                )
            )
            == 100
        )
    pages = stream_of(world)._shelf._pages.values()
    assert [sorted(key[0] for key in page.encoded) for page in pages] == [[1, 2]]  # type: ignore[index]


def test_partitions_are_read_alone_and_together() -> None:
    """Their pages are the same, but not the headers of the deliveries."""
    world = World()
    client = world.open()
    client.call(
        ExchangeDeclare(
            exchange="sup",
            type="x-super-stream",
            durable=True,
            arguments={"partitions": 1},
        )
    )
    client.publish("k", b"0", b"1", exchange="sup")
    world.advance(0)
    alone = [each.headers for each in consume(client, "sup-0", offset="first")]
    other = world.open()
    together = [each.headers for each in consume(other, "sup", offset="first")]
    assert (alone, together) == ([{}] * 2, [{"x-stream-partition": "sup-0"}] * 2)


def test_an_ack_of_many_is_for_what_is_lent_and_for_what_is_not() -> None:
    world = World()
    client = world.open()
    client.call(QueueDeclare(queue="q"))
    client.publish("q", *(b"%d" % number for number in range(9)))
    client.send(BasicQos(0, 5), BasicConsume(queue="q", consumer_tag="d"))
    assert len(client.bodies()) == 5
    delivered(client, prefetch=5)
    unacked = unacked_of(client)
    assert unacked is not None
    assert (list(unacked.entries), unacked.loans.count) == ([1, 2, 3, 4, 5], 5)
    client.send(BasicAck(8, multiple=True))
    assert [each.method.consumer_tag for each in client.arrivals()] == [  # type: ignore[attr-defined]
        *"dddd",
        *"ccc",
    ]

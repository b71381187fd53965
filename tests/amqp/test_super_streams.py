"""Super streams, and groups that share their partitions."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from tests.amqp.stream_scenes import ack, consume, declare, got, offsets, publish
from tests.pairs import World
from warren.errors import ReplyCode
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicNack,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDelete,
    QueueUnbind,
)
from warren_broker.core.access import Access, Permissions
from warren_broker.core.exchange.murmur import murmur3_32
from warren_broker.core.exchange.super_stream import SEED
from warren_broker.core.stream import group
from warren_broker.core.stream.sharing import share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.amqp.stream_scenes import Got
    from tests.pairs import RawClient
    from warren.wire.methods import Method
    from warren_broker.core.stream.stream import Stream
    from warren_broker.core.stream.subscription import Subscription

KEYS = [f"key-{number}" for number in range(40)]


def super_stream(client: RawClient, partitions: int = 3, **more: object) -> Method:
    arguments = {"partitions": partitions}
    arguments.update({key.replace("_", "-"): value for key, value in more.items()})  # type: ignore[misc]
    return client.ask(
        ExchangeDeclare(
            exchange="sup",
            type="x-super-stream",
            durable=True,
            arguments=arguments,  # type: ignore[arg-type]
        )
    )


def send(client: RawClient, *keys: str, **headers: object) -> None:
    """Publish a record for each key."""
    for key in keys:
        client.publish(key, key.encode(), exchange="sup", headers=headers or None)
    client.world.advance(0)


def by_partition(records: list[Got]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for each in records:
        found[str(each.headers["x-stream-partition"])].append(each.offset)
    return dict(found)


def places(records: list[Got]) -> set[tuple[str, int]]:
    """Where in the super stream they are."""
    return {(str(each.headers["x-stream-partition"]), each.offset) for each in records}


def queues(world: World) -> list[str]:
    return sorted(world.broker.vhosts["/"].queues)


# The algorithm's published vectors; the last two with the seed of stream clients were
# made by the reference implementation's steps, done by hand in `by_the_book`.
@pytest.mark.parametrize(
    ("data", "seed", "expected"),
    [
        (b"", 0, 0),
        (b"", 1, 0x514E28B7),
        (b"", 0xFFFFFFFF, 0x81F16F39),
        (b"\xff\xff\xff\xff", 0, 0x76293B50),
        (b"\x21\x43\x65\x87", 0, 0xF55B516B),
        (b"\x21\x43\x65\x87", 0x5082EDEE, 0x2362F9DE),
        (b"\x21\x43\x65", 0, 0x7E4A8634),
        (b"\x21\x43", 0, 0xA0F7B07A),
        (b"\x21", 0, 0x72661CF4),
        (b"\0\0\0\0", 0, 0x2362F9DE),
        (b"\0\0\0", 0, 0x85F0B427),
        (b"aaaa", 0x9747B28C, 0x5A97808A),
        (b"aaa", 0x9747B28C, 0x283E0130),
        (b"aa", 0x9747B28C, 0x5D211726),
        (b"a", 0x9747B28C, 0x7FA09EA6),
        (b"Hello, world!", 0x9747B28C, 0x24884CBA),
        (b"The quick brown fox jumps over the lazy dog", 0x9747B28C, 0x2FA826CD),
    ],
)
def test_the_hash_is_the_published_one(data: bytes, seed: int, expected: int) -> None:
    assert murmur3_32(data, seed) == expected


def test_a_key_has_one_partition_and_its_order() -> None:
    world = World()
    client = world.open()
    assert super_stream(client) == ExchangeDeclareOk()
    assert queues(world) == ["sup-0", "sup-1", "sup-2"]
    send(client, *KEYS, *KEYS)
    records = consume(client, "sup", prefetch=1000, offset="first")
    where: dict[bytes, list[str]] = defaultdict(list)
    for each in records:
        where[each.body].append(str(each.headers["x-stream-partition"]))
    for key in KEYS:
        number = murmur3_32(key.encode(), SEED) % 3
        assert where[key.encode()] == [f"sup-{number}"] * 2
    assert all(each == sorted(each) for each in by_partition(records).values())
    assert len(by_partition(records)) == 3


def test_the_key_may_be_a_header_and_the_partition_may_be_named() -> None:
    client = World().open()
    super_stream(client, x_partition_key="customer")
    for key in KEYS:
        send(client, key, customer="one")
    send(client, "any", **{"x-partition": 2, "customer": "one"})
    records = consume(client, "sup", prefetch=1000, offset="first")
    number = murmur3_32(b"one", SEED) % 3
    found = by_partition(records)
    assert len(found[f"sup-{number}"]) >= len(KEYS)
    assert len(found["sup-2"]) == 1 + len(KEYS) * (number == 2)


def test_a_named_partition_does_not_stick_to_its_key() -> None:
    client = World().open()
    super_stream(client)
    number = murmur3_32(b"k", SEED) % 3
    other = (number + 1) % 3
    send(client, "k")
    send(client, "k", **{"x-partition": other})
    send(client, "k")
    found = by_partition(consume(client, "sup", offset="first"))
    assert {name: len(each) for name, each in found.items()} == {
        f"sup-{number}": 2,
        f"sup-{other}": 1,
    }


def test_a_partition_that_is_not_there_is_no_route() -> None:
    client = World().open()
    super_stream(client)
    client.publish("k", b"", exchange="sup", mandatory=True, headers={"x-partition": 3})
    (returned,) = client.methods()
    assert isinstance(returned, BasicReturn)


def test_more_partitions_may_be_asked_for() -> None:
    world = World()
    client = world.open()
    super_stream(client, 1)
    every = consume(client, "sup", prefetch=1000, offset="first")
    assert super_stream(client, 3) == ExchangeDeclareOk()
    assert queues(world) == ["sup-0", "sup-1", "sup-2"]
    send(client, *KEYS)
    every += got(client)
    assert len(by_partition(every)) == 3
    assert len(every) == len(KEYS)


def test_partitions_go_with_their_super_stream() -> None:
    world = World()
    client = world.open()
    super_stream(client)
    consume(client, "sup", tag="t")
    used = client.call(ExchangeDelete(exchange="sup", if_unused=True))
    assert isinstance(used[0], ChannelClose)
    client.send(ChannelCloseOk())
    other = world.open()
    consume(other, "sup", tag="t")
    assert other.call(ExchangeDelete(exchange="sup")) == [
        BasicCancel("t", no_wait=True),
        ExchangeDeleteOk(),
    ]
    assert queues(world) == []


def test_a_partition_that_was_deleted_can_be_made_again() -> None:
    world = World()
    client = world.open()
    super_stream(client)
    client.call(QueueDelete(queue="sup-1"))
    assert super_stream(client) == ExchangeDeclareOk()
    assert queues(world) == ["sup-0", "sup-1", "sup-2"]


def test_a_name_that_is_taken_leaves_nothing_half_made() -> None:
    world = World()
    client = world.open()
    declare(client, "sup-2")
    assert isinstance(super_stream(client), ChannelClose)
    assert queues(world) == ["sup-2"]
    assert "sup" not in world.broker.vhosts["/"].exchanges


def test_only_its_own_partition_can_be_bound_again() -> None:
    world = World()
    client = world.open()
    super_stream(client)
    declare(client, "other")
    client.call(
        QueueDelete(queue="sup-2"),
        QueueDeclare(queue="sup-2", durable=True),
        QueueUnbind(queue="sup-0", exchange="sup", routing_key="0"),
    )
    for bind in (
        QueueBind(queue="other", exchange="sup", routing_key="0"),
        QueueBind(queue="sup-2", exchange="sup", routing_key="2"),
        ExchangeBind(destination="amq.fanout", source="sup", routing_key="0"),
    ):
        assert isinstance(client.ask(bind), ChannelClose)
        client.call(ChannelCloseOk(), ChannelOpen())
    bind = QueueBind(queue="sup-0", exchange="sup", routing_key="0")
    assert isinstance(client.ask(bind), QueueBindOk)
    client.call(ExchangeDelete(exchange="sup"))
    assert queues(world) == ["other", "sup-2"]


def test_who_may_not_delete_a_partition_may_not_delete_them_all() -> None:
    access = Access()
    world = World(access=access)
    client = world.open()
    super_stream(client)
    allowed = Permissions(configure="^sup$", write=".*", read=".*")
    access.set_permissions("guest", "/", allowed)
    other = world.open()
    close = other.ask(ExchangeDelete(exchange="sup"))
    assert isinstance(close, ChannelClose)
    assert close.reply_code == ReplyCode.ACCESS_REFUSED
    assert len(queues(world)) == 3


# Groups


def members(world: World, count: int) -> list[RawClient]:
    return [world.open() for _ in range(count)]


def join(member: RawClient, **arguments: object) -> list[Got]:
    return consume(member, "sup", group="g", offset="first", prefetch=1000, **arguments)  # type: ignore[arg-type]


def shares(clients: list[RawClient]) -> list[int]:
    """How many partitions each has, by what it gets of a record for each."""
    for number in range(3):
        send(clients[0], "k", **{"x-partition": number})
    found = [got(client) for client in clients]
    for client, records in zip(clients, found, strict=True):
        for each in records:
            client.send(BasicAck(each.tag))
    return [len(by_partition(records)) for records in found]


def test_members_share_the_partitions_and_those_too_many_wait() -> None:
    world = World()
    clients = members(world, 4)
    super_stream(clients[0])
    join(clients[0])
    assert shares(clients[:1]) == [3]
    join(clients[1])
    assert shares(clients[:2]) == [2, 1]
    join(clients[2])
    join(clients[3])
    assert shares(clients) == [1, 1, 1, 0]
    clients[0].hang_up()
    assert shares(clients[1:]) == [1, 1, 1]
    clients[1].hang_up()
    clients[3].hang_up()
    assert shares(clients[2:3]) == [3]


def test_no_record_is_left_out_when_a_member_goes() -> None:
    world = World()
    one, two = members(world, 2)
    super_stream(one)
    join(one)
    join(two)
    send(one, *KEYS)
    first, second = got(one), got(two)
    ack(one, *first[: len(first) // 2])
    one.hang_up()
    again = got(two)
    settled = {
        (e.headers["x-stream-partition"], e.offset) for e in first[: len(first) // 2]
    }
    seen = {(e.headers["x-stream-partition"], e.offset) for e in [*second, *again]}
    assert len(settled | seen) == len(KEYS)
    assert all(each.redelivered for each in again)


def test_a_partition_moves_when_what_is_out_of_it_is_settled() -> None:
    world = World()
    one, two = members(world, 2)
    super_stream(one, 2)
    join(one)
    for number in (0, 1):
        send(one, "k", **{"x-partition": number})
    held = got(one)
    join(two)
    send(one, *KEYS)
    assert got(two) == []
    moving = by_partition(held)
    (stays,) = {*moving} - {*by_partition(got(one))} or {*moving}
    for each in held:
        one.send(BasicAck(each.tag))
    taken = by_partition(got(two))
    assert len(taken) == 1
    (offsets_taken,) = taken.values()
    assert offsets_taken[0] == 1
    assert stays


def test_a_partition_moves_after_a_while_in_any_case() -> None:
    world = World()
    one, two = members(world, 2)
    super_stream(one, 2)
    join(one)
    for number in (0, 1):
        send(one, "k", **{"x-partition": number})
    held = got(one)
    join(two)
    assert got(two) == []
    world.advance(31)
    (moved,) = got(two)
    assert (moved.offset, moved.redelivered) == (0, True)
    for each in held:  # late: it is the other's now
        one.send(BasicAck(each.tag))
    world.advance(2)
    name = str(moved.headers["x-stream-partition"])
    stream = world.broker.vhosts["/"].queues[name]
    assert dict(stream.offsets) == {"g": 0}


def test_a_group_goes_on_where_it_was() -> None:
    world = World()
    one, two = members(world, 2)
    super_stream(one)
    join(one)
    send(one, *KEYS)
    records = got(one)
    ack(one, *records[:30])
    one.hang_up()
    left = join(two)
    assert places(left) >= places(records) - places(records[:30])
    firsts = {name: found[0] for name, found in by_partition(left).items()}
    for each in records[30:]:
        name = str(each.headers["x-stream-partition"])
        assert firsts[name] <= each.offset


def test_a_stream_with_a_group_has_one_active_reader() -> None:
    world = World()
    one, two = members(world, 2)
    declare(one)
    publish(one, b"0", b"1", b"2")
    first = consume(one, group="g", offset="first", prefetch=2)
    assert offsets(first) == [0, 1]
    assert consume(two, group="g", offset="first") == []
    ack(one, first[0])
    one.hang_up()
    again = got(two)
    assert [(each.offset, each.redelivered) for each in again] == [(1, True), (2, True)]


def test_a_very_large_group_is_left_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[int] = []

    def counting(
        parts: Sequence[Stream],
        among: Sequence[Subscription],
        owners: Mapping[Stream, Subscription],
    ) -> dict[Stream, Subscription]:
        shared.append(len(among))
        return share(parts, among, owners)

    monkeypatch.setattr(group, "share", counting)
    world = World()
    one, two = members(world, 2)
    super_stream(one, 2)
    for number in range(50):
        consume(one, "sup", f"c{number}", group="g")
    consume(two, "sup", group="g")
    one.hang_up()
    send(two, *KEYS)
    assert set(by_partition(got(two))) == {"sup-0", "sup-1"}
    assert max(shared) < 10


def test_who_held_records_of_many_partitions_leaves_them_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    one, two = members(world, 2)
    super_stream(one, 30)
    join(one)
    for number in range(30):
        send(one, "k", **{"x-partition": number})
    assert len(got(one)) == 30
    assert not join(two), "it waits for the half of them"
    rebalances: list[None] = []
    rebalance = group.Group._rebalance

    def counting(self: group.Group) -> None:
        rebalances.append(None)
        rebalance(self)

    monkeypatch.setattr(group.Group, "_rebalance", counting)
    one.hang_up()
    assert places(got(two)) == {(f"sup-{n}", 0) for n in range(30)}
    assert len(rebalances) <= 2


def test_single_active_consumer_is_a_group_without_a_name() -> None:
    world = World()
    one, two = members(world, 2)
    declare(one, x_single_active_consumer=True)
    publish(one, b"0", b"1")
    first = consume(one, offset="first")
    assert offsets(first) == [0, 1]
    assert consume(two, offset="first") == []
    ack(one, first[0])
    one.send(BasicNack(first[1].tag, requeue=True))
    one.hang_up()
    assert offsets(got(two)) == [1]
    two.hang_up()
    three = world.open()
    assert offsets(consume(three, offset="first")) == [0, 1]


def test_a_cancelled_member_that_holds_records_is_waited_for() -> None:
    world = World()
    one, two = members(world, 2)
    declare(one)
    publish(one, b"0", b"1")
    held = consume(one, group="g", offset="first", prefetch=1)
    consume(two, group="g")
    one.call(BasicCancel("c"))
    assert got(two) == []
    ack(one, *held)
    assert offsets(got(two)) == [1]


def test_a_group_forgets_a_partition_that_goes_while_somebody_holds_records() -> None:
    world = World()
    one, two = members(world, 2)
    super_stream(one, 2)
    send(one, *KEYS)
    held = consume(one, "sup", group="g", offset="first", prefetch=10)
    assert {place for place, _ in places(held)} == {"sup-0"}
    one.call(QueueDelete(queue="sup-0"))
    seen = consume(two, "sup", group="g", offset="first")
    ack(one, *held)
    assert {place for place, _ in places(seen + got(two))} == {"sup-1"}
    super_stream(one, 2)
    send(one, *KEYS)
    assert {place for place, _ in places(got(two))} == {"sup-0", "sup-1"}
    one.call(ExchangeDelete(exchange="sup"))

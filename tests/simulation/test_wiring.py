"""What stories do not tell: rules of queues that are seldom used, and the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulated_disk import SimulatedDisk, no_room
from tests.simulation.site import Site, facts_of, short_heads
from warren.wire.methods import (
    BasicAck,
    BasicGet,
    BasicNack,
    ConfirmSelect,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
)
from warren_broker.storage import definitions
from warren_broker.storage.definitions import Snapshot
from warren_broker.storage.recovery import recover
from warren_broker.storage.segment import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.pairs import RawClient
    from tests.simulation.history import Fact
    from warren.wire.table import Table

LATE = 9_000_000
"""Milliseconds since 1970, far in the future on the wall of a site."""


@pytest.fixture
def site() -> Site:
    return Site(segment_size=1 << 20, segments_min=4)


def declared(site: Site, **queues: Table) -> RawClient:
    """A client in confirm mode, and durable queues with arguments."""
    client = site.open()
    client.ask(ConfirmSelect())
    for name, arguments in queues.items():
        client.send(QueueDeclare(queue=name, durable=True, arguments=arguments))
        site.write_all()
    client.arrivals()
    return client


def put(client: RawClient, body: bytes, key: str = "q", **headers: object) -> None:
    client.publish(key, body, delivery_mode=2, headers=headers or None)


def killed(site: Site) -> set[Fact]:
    """What another process finds when this one was killed: all that was written."""
    site.write_all()
    site.disk = site.disk.killed()
    site.clients.clear()
    recovered = site.recover()
    site.start(recovered)
    site.write_all()
    return {fact for fact in facts_of(recovered) if fact[0] == "copy"}


@pytest.mark.parametrize("mode", ["drop", "until-ack"])
def test_a_duplicate_is_not_confirmed_before_the_first_is_safe(
    site: Site, mode: str
) -> None:
    first = declared(site, q={"x-unique-mode": mode})
    second = declared(site)
    put(first, b"1", **{"x-deduplication-header": "id"})
    put(second, b"1", **{"x-deduplication-header": "id"})
    assert [*first.methods(), *second.methods()] == []
    site.write_all()
    assert [*first.methods(), *second.methods()] == [BasicAck(1), BasicAck(1)]


def test_a_duplicate_at_an_exchange_waits_as_well(site: Site) -> None:
    first, second = declared(site, q={}), declared(site)
    arguments: Table = {"x-message-deduplication": True, "x-cache-size": 10}
    method = ExchangeDeclare(
        exchange="x", type="fanout", durable=True, arguments=arguments
    )
    first.send(method)
    site.write_all()
    first.send(QueueBind(queue="q", exchange="x"))
    site.write_all()
    first.arrivals()
    for client in (first, second):
        headers = {"x-deduplication-header": "id"}
        client.publish("", b"1", exchange="x", delivery_mode=2, headers=headers)
    assert [*first.methods(), *second.methods()] == []
    site.write_all()
    assert [*first.methods(), *second.methods()] == [BasicAck(1), BasicAck(1)]


def test_what_is_packed_is_settled_like_all_else(site: Site) -> None:
    """An entry that is packed as it comes must have its position by then."""
    client = declared(site, q={})
    with short_heads():
        for number in range(20):
            put(client, b"%d" % number)
        for _ in range(20):
            client.ask(BasicGet(queue="q"))
        client.send(BasicAck(0, multiple=True))
        assert killed(site) == set()


def test_what_has_outgrown_its_place_does_not_come_back(site: Site) -> None:
    limits: Table = {"x-unique-mode": "replace", "x-max-length-bytes": 300}
    client = declared(site, q=limits)
    put(client, b"small", **{"x-deduplication-header": "id"})
    put(client, b"other" * 20)
    put(client, b"large" * 30, **{"x-deduplication-header": "id"})
    here = [entry.message.body for entry in site.broker.vhosts["/"].queues["q"].backlog]
    assert {fact[2].encode() for fact in killed(site)} == set(here)


@pytest.mark.parametrize("leaves", [False, True])
def test_nothing_is_kept_of_a_deleted_queue(site: Site, leaves: bool) -> None:
    client = declared(site, q={})
    put(client, b"1")
    client.call(BasicGet(queue="q"))
    client.send(QueueDelete(queue="q"))
    site.write_all()
    if leaves:
        client.hang_up()
    else:
        client.send(BasicNack(1, requeue=True))
    site.write_all()
    site.disk = site.disk.killed()
    assert not any(site.recover().messages.values())


def test_limits_are_kept_only_when_everything_is_back(site: Site) -> None:
    """What is late waits, and counts; what is trimmed for it is dead-lettered once."""
    arguments: Table = {
        "x-max-length": 2,
        "x-deliver-at-header": "at",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dead",
    }
    client = declared(site, q=arguments, dead={})
    put(client, b"dead already", key="dead")
    for body in (b"1", b"2"):
        put(client, body)
        client.call(BasicGet(queue="q"))
    put(client, b"3")
    put(client, b"late", at=LATE)
    killed(site)
    kept = {("copy", "q", "3"), ("copy", "q", "late"), ("copy", "dead", "dead already")}
    letters = {("copy", "dead", f"{number}/q") for number in (1, 2)}
    assert killed(site) == kept | letters


def test_a_purge_is_answered_when_it_is_safe(site: Site) -> None:
    client = declared(site, q={})
    put(client, b"1")
    site.write_all()
    client.arrivals()
    assert client.call(QueuePurge(queue="q")) == []
    site.write_all()
    assert [method.name for method in client.methods()] == ["queue.purge-ok"]


# --- what is read again from the journal


def drained(site: Site, count: int, *, no_ack: bool = True) -> list[bytes]:
    """Bodies of so many messages of `q`, in the order they leave."""
    client = site.open()
    for _ in range(count):
        client.send(BasicGet(queue="q", no_ack=no_ack))
    return [one.body for one in client.arrivals() if one.body]


def numbers(*ranges: Iterable[int]) -> list[bytes]:
    return [b"%d" % number for one in ranges for number in one]


def test_what_is_spilled_keeps_its_priority(site: Site) -> None:
    site.limit_memory(0)
    client = declared(site, q={"x-max-priority": 2})
    with short_heads():
        for number in range(60):
            mode = 1 + (number % 7 > 0)
            client.publish("q", b"%d" % number, priority=number % 3, delivery_mode=mode)
        site.write_all()
        assert site.broker.parking.in_memory_bytes == 0
        found = drained(site, 60)
    assert found == numbers(range(2, 60, 3), range(1, 60, 3), range(0, 60, 3))


def test_only_what_is_nowhere_else_is_written_for_want_of_memory(site: Site) -> None:
    site.limit_memory(0)
    client = declared(site, q={})
    with short_heads():
        for number in range(100):
            put(client, b"%d" % number)
        assert not site.shelf.kept
        for number in range(100):
            client.publish("q", b"transient %d" % number, delivery_mode=1 + number % 2)
        assert b"".join(site.shelf.kept.values()).count(b"transient") == 50


@pytest.mark.parametrize("broken_ones", [{1}, {0, 1, 2, 3}])
def test_a_run_that_is_damaged_costs_nobody_his_connection(
    site: Site, broken_ones: set[int]
) -> None:
    """Runs of two: the queue goes on behind them, and a start brings back the rest."""
    site.limit_memory(0)
    client = declared(site, q={})
    with short_heads():
        for number in range(10):
            put(client, b"message %d" % number)
            site.write_all()  # each in a record of its own
        name = name_of(1)
        was = site.disk.contents()[name]
        for run in broken_ones:
            at = was.index(b"message %d" % (2 + 2 * run))
            site.disk.damage(name, at, b"MESSAGE")
        found = drained(site, 10, no_ack=False)
        lost = {2 + 2 * run + one for run in broken_ones for one in (0, 1)}
        left = [number for number in range(10) if number not in lost]
        assert found == [b"message %d" % number for number in left]
        queue = site.broker.vhosts["/"].queues["q"]
        assert len(queue.unreadable) == len(broken_ones)
        assert queue.backlog.count == 0
        events = [one.event for one in site.broker.take_notices()]
        assert events.count("messages unreadable") == len(broken_ones)
        put(client, b"later")
        assert drained(site, 1) == [b"later"]
        for run in broken_ones:
            at = was.index(b"message %d" % (2 + 2 * run))
            site.disk.damage(name, at, b"message")  # it was not that bad
        expected = {f"message {number}" for number in range(10)}
        assert {fact[2] for fact in killed(site)} == expected


def test_a_purge_is_also_of_what_could_not_be_read(site: Site) -> None:
    site.limit_memory(0)
    client = declared(site, q={})
    with short_heads():
        for number in range(10):
            put(client, b"message %d" % number)
        site.write_all()
        at = site.disk.contents()[name_of(1)].index(b"message 2")
        site.disk.damage(name_of(1), at, b"MESSAGE")
        assert drained(site, 3)[2:] == [b"message 4"]
        client.send(QueuePurge(queue="q"))
        site.write_all()
        site.disk.damage(name_of(1), at, b"message")
        assert killed(site) == set()


def test_what_found_no_room_is_read_from_where_it_went(site: Site) -> None:
    def refuse(method: str, name: str) -> None:
        if method == "write":
            raise no_room(name)

    site.limit_memory(0)
    client = declared(site, q={})
    with short_heads():
        put(client, b"settled")
        site.write_all()
        for number in range(20):
            put(client, b"%d" % number)
        assert drained(site, 1) == [b"settled"]  # this is kept, and comes first
        site.disk.on_call = refuse
        assert not site.write_some()
        site.disk.on_call = lambda method, name: None
        for number in range(20, 40):
            put(client, b"%d" % number)
        site.write_all()
        assert bodies_of(site) == numbers(range(40))
        assert drained(site, 40) == numbers(range(40))


def bodies_of(site: Site) -> list[bytes]:
    return [one.message.body for one in site.broker.vhosts["/"].queues["q"].backlog]


def test_definitions_that_can_be_seen_are_safe_before_they_are_counted_on() -> None:
    """One process is killed before their name is safe, and then the power goes."""
    disk = SimulatedDisk()
    recover(disk, reserve_size=0)

    def die(method: str, name: str) -> None:
        if method == "sync_directory":
            raise no_room(name)

    disk.on_call = die
    with pytest.raises(OSError, match="space"):
        definitions.write(disk, Snapshot(1, 1, b"\x80"))
    disk = disk.killed()
    assert recover(disk, reserve_size=0).snapshot is not None
    recovered = recover(disk.crashed(), reserve_size=0)
    assert not recovered.damage
    assert recovered.snapshot is not None

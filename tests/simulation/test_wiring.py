"""What stories do not tell: rules of queues that are seldom used, and the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.site import Site, facts_of
from tests.simulation.story import short_heads
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

if TYPE_CHECKING:
    from tests.pairs import RawClient
    from tests.simulation.ledger import Fact
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

"""Dead letters: where they go, what they tell, and that they come to an end."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.core.support import (
    Channel,
    at,
    bodies,
    declare,
    declare_exchange,
    message,
    new_broker,
)
from warren_broker.core.broker import Broker
from warren_broker.core.dead_letter import CASCADE_MAX
from warren_broker.core.limits import Limits
from warren_broker.core.session import Session

if TYPE_CHECKING:
    from warren_broker.core.queue import Queue

Record = dict[str, object]


def to(name: str) -> dict[str, object]:
    """The arguments of a queue whose dead letters go to another queue."""
    return {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": name}


def deaths(queue: Queue) -> list[Record]:
    """What the first entry of a queue tells of its deaths."""
    first = next(iter(queue.backlog))
    records = first.message.header.headers()["x-death"]
    assert isinstance(records, list)
    return records


def reject(session: Session, name: str = "q") -> None:
    channel = Channel(session)
    channel.get(name)
    channel.unacked.refuse(1, multiple=False, requeue=False)


# What a letter tells


def test_the_record_of_a_death() -> None:
    broker = Broker(wall_seconds=1_700_000_000.9)
    session = Session(broker.vhosts["/"], new_broker()[1].user)
    declare(session, **to("dead"))
    dead = declare(session, "dead")
    session.bind_queue("q", "amq.direct", "k", {})
    headers = {"CC": ["other"], "BCC": ["blind"], "mine": 1}
    session.publish(
        message("k", exchange="amq.direct", headers=headers, expiration_ms=1500)
    )
    at(broker, 2.0)
    assert deaths(dead) == [
        {
            "count": 1,
            "reason": "expired",
            "queue": "q",
            "time": datetime.fromtimestamp(1_700_000_002, UTC),
            "exchange": "amq.direct",
            "routing-keys": ["k", "other"],
            "original-expiration": "1500",
        }
    ]
    letter = next(iter(dead.backlog)).message
    told = letter.header.headers()
    del told["x-death"]
    assert told == {
        "mine": 1,
        **{
            f"x-{moment}-death-{what}": value
            for moment in ("first", "last")
            for what, value in (
                ("queue", "q"),
                ("reason", "expired"),
                ("exchange", "amq.direct"),
            )
        },
    }
    assert letter.header.expiration_ms is None
    assert (letter.route.exchange, letter.route.routing_key) == ("", "dead")


def test_without_a_key_of_its_own_a_letter_keeps_its_keys() -> None:
    _, session = new_broker()
    declare_exchange(session)
    declare(session, x_dead_letter_exchange="x")
    queues = [declare(session, name) for name in ("a", "b", "c")]
    for name, key in (("a", "q"), ("b", "copy"), ("c", "blind")):
        session.bind_queue(name, "x", key, {})
    session.publish(message(headers={"CC": ["copy"], "BCC": ["blind"]}))
    reject(session)
    assert [queue.backlog.count for queue in queues] == [1, 1, 0]


def test_the_first_death_stays_and_the_last_one_changes() -> None:
    _, session = new_broker()
    declare(session, **to("b"))
    declare(session, "b", **to("c"))
    last = declare(session, "c")
    session.publish(message())
    reject(session)
    reject(session, "b")
    told = next(iter(last.backlog)).message.header.headers()
    assert (told["x-first-death-queue"], told["x-last-death-queue"]) == ("q", "b")
    assert [record["queue"] for record in deaths(last)] == ["b", "q"]


def test_the_same_death_again_is_counted_and_comes_first() -> None:
    _, session = new_broker()
    queue = declare(session, **to("b"))
    declare(session, "b", **to("q"))
    session.publish(message())
    for _ in range(3):
        reject(session)
        reject(session, "b")
    assert [(record["queue"], record["count"]) for record in deaths(queue)] == [
        ("b", 3),
        ("q", 3),
    ]


@pytest.mark.parametrize(
    ("forged", "counts"),
    [
        ("no list", [1]),
        (["no record", 5], [1]),
        ([{"queue": "q", "reason": "rejected", "count": "many"}], [1]),
        ([{"queue": "q", "reason": "rejected"}], [1]),
        ([{"queue": "q", "reason": "rejected", "count": 7}], [8]),
        ([{"queue": "q", "reason": "rejected", "count": 2**63 - 1}], [2**63 - 1]),
        ([{"count": 5}], [1, 5]),
    ],
)
def test_a_publisher_may_have_put_anything_there(
    forged: object, counts: list[int]
) -> None:
    """In particular a count that would not fit a field table if it grew."""
    _, session = new_broker()
    declare(session, **to("dead"))
    dead = declare(session, "dead")
    session.publish(message(headers={"x-death": forged}))
    reject(session)
    assert [record["count"] for record in deaths(dead)] == counts


# Where it goes


@pytest.mark.parametrize("arguments", [{}, {"x_dead_letter_exchange": "none"}])
def test_with_nowhere_to_go_it_is_dropped(arguments: dict[str, str]) -> None:
    _, session = new_broker()
    queue = declare(session, **arguments)
    session.publish(message())
    reject(session)
    assert (queue.backlog.count, queue.unacked_count) == (0, 0)


@pytest.mark.parametrize(
    ("reason", "arguments"),
    [
        ("expired", {"x_message_ttl": 1}),
        ("maxlen", {"x_max_length": 0}),
        ("delivery_limit", {"x_delivery_limit": 0}),
        ("rejected", {}),
    ],
)
def test_the_reasons(reason: str, arguments: dict[str, int]) -> None:
    broker, session = new_broker()
    declare(session, **arguments, **to("dead"))
    dead = declare(session, "dead")
    session.publish(message())
    channel = Channel(session)
    if reason in {"delivery_limit", "rejected"}:
        channel.get()
        requeue = reason == "delivery_limit"
        channel.unacked.refuse(1, multiple=False, requeue=requeue)
    at(broker, 1.0)
    assert [record["reason"] for record in deaths(dead)] == [reason]


def test_a_circle_that_nobody_drives_ends() -> None:
    broker, session = new_broker()
    names = ["a", "b", "c"]
    queues = [
        declare(session, name, x_message_ttl=1000, **to(after))
        for name, after in zip(names, [*names[1:], "a"], strict=True)
    ]
    session.publish(message("a"))
    at(broker, 2.5)
    assert [queue.backlog.count for queue in queues] == [0, 0, 1]
    at(broker, 9.0)
    assert [queue.backlog.count for queue in queues] == [0, 0, 0]
    assert broker.next_deadline() is None


def test_a_circle_with_a_reject_in_it_goes_on() -> None:
    """The usual way to retry later: work queue, reject, queue that waits, again."""
    broker, session = new_broker()
    queue = declare(session, **to("later"))
    declare(session, "later", x_message_ttl=1000, **to("q"))
    session.publish(message(body=b"again"))
    for second in range(1, 6):
        reject(session)
        at(broker, float(second))
        assert bodies(queue) == [b"again"]


def test_letters_wait_until_all_that_comes_back_is_in_its_place() -> None:
    """The first entry is over its limit; its letter must not overtake the second."""
    _, session = new_broker()
    declare(session, x_delivery_limit=0, **to("b"))
    declare(session, "b")
    for name in ("q", "b"):
        session.publish(message(name, body=name.encode()))
    channel = Channel(session)
    channel.get("q")
    channel.get("b")
    other = Channel(session, "2")
    other.consume("b")
    channel.unacked.recover()
    assert other.bodies == [b"b", b"q"]


def test_a_channel_may_break_over_a_letter_and_make_letters_itself() -> None:
    """It is closed while a letter is sent: what it held goes back, or is buried."""
    _, session = new_broker()
    declare(session, x_delivery_limit=0, **to("dead"))
    dead = declare(session, "dead")
    for number in range(3):
        session.publish(message(body=b"%d" % number))
    channel, breaking = Channel(session), Channel(session, "2")
    breaking.get()
    breaking.get()
    breaking.consume("dead").breaks = True
    channel.get()
    channel.unacked.refuse(1, multiple=False, requeue=True)
    assert breaking.bodies == [b"2"]
    assert sorted(bodies(dead)) == [b"0", b"1", b"2"]
    assert (dead.unacked_count, len(dead.roster)) == (0, 0)


# It ends


def test_a_chain_of_full_queues_is_no_chain_of_calls() -> None:
    _, session = new_broker(Limits(queues_max=10_000))
    queues = [
        declare(session, str(number), x_max_length=1, **to(str(number + 1)))
        for number in range(CASCADE_MAX // 2)
    ]
    for queue in queues:
        queue.accept(message(body=queue.name.encode()))
    session.publish(message("0", body=b"new"))
    assert bodies(queues[0]) == [b"new"]
    for before, queue in itertools.pairwise(queues):
        assert bodies(queue) == [before.name.encode()]


@pytest.mark.parametrize("count", [3, 64, 65, 200])
@pytest.mark.parametrize("length", [0, 1])
def test_a_ring_of_full_queues_ends_however_long_it_is(count: int, length: int) -> None:
    """Longer than the records a message carries: nothing shows that it came round."""
    _, session = new_broker()
    queues = [
        declare(session, str(n), x_max_length=length, **to(str((n + 1) % count)))
        for n in range(count)
    ]
    for _ in range(2):
        for name in range(count):
            session.publish(message(str(name)))
    assert all(queue.backlog.count <= length for queue in queues)


def test_letters_that_multiply_are_cut_off_and_it_is_told() -> None:
    """Twenty steps, two queues each: a million copies, of which most are dropped."""
    broker, session = new_broker()
    for step in range(20):
        declare_exchange(session, f"x{step}", "fanout")
        for side in "ab":
            name = f"{step}{side}"
            target = f"x{step + 1}"
            declare(session, name, x_max_length=0, x_dead_letter_exchange=target)
            session.bind_queue(name, f"x{step}", "", {})
    session.publish(message("", exchange="x0"))
    notices = broker.take_notices()
    assert {notice.event for notice in notices} == {"dead letters dropped"}
    assert broker.work < 3 * CASCADE_MAX
    queue = declare(session, **to("dead"))
    declare(session, "dead")
    session.publish(message())
    reject(session)
    assert (queue.backlog.count, broker.take_notices()) == (0, [])


def test_many_letters_at_once_are_not_mistaken_for_one_that_multiplies() -> None:
    _, session = new_broker()
    declare(session, x_delivery_limit=0, **to("b"))
    declare(session, "b", x_max_length=1, **to("c"))
    last = declare(session, "c")
    channel = Channel(session)
    channel.consume()
    count = CASCADE_MAX + 1000
    for _ in range(count):
        session.publish(message())
    channel.close()
    assert last.backlog.count == count - 1

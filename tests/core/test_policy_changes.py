"""Policies that change while messages flow: at once, in place, a slice a turn."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from tests.core.policy_support import policies_of, set_policy
from tests.core.support import (
    Channel,
    at,
    bodies,
    declare,
    declare_exchange,
    message,
    new_broker,
)
from warren_broker.core.limits import Limits
from warren_broker.core.outcome import ACCEPTED, REFUSED, UNROUTED
from warren_broker.core.policy import Policy
from warren_broker.core.policy.reapplication import SLICE_STEPS, STEPS_EACH
from warren_broker.core.queue.overflow import TRIM_MAX

if TYPE_CHECKING:
    from warren_broker.core.session import Session

SLICE = SLICE_STEPS // (STEPS_EACH + 1)
"""For one pattern that takes a single step."""


def drop_policy(session: Session, name: str = "p") -> None:
    assert policies_of(session).delete(name)
    at(session.vhost.broker, session.vhost.broker.now)


def publish(session: Session, *contents: bytes, exchange: str = "") -> list[int]:
    return [
        session.publish(message(exchange=exchange, body=content))
        for content in contents
    ]


def test_a_limit_trims_what_is_there_and_goes_again() -> None:
    _, session = new_broker()
    queue = declare(session)
    publish(session, b"1", b"2", b"3")
    set_policy(session, {"max-length": 2})
    assert bodies(queue) == [b"2", b"3"]
    publish(session, b"4")
    assert bodies(queue) == [b"3", b"4"]
    drop_policy(session)
    publish(session, b"5")
    assert bodies(queue) == [b"3", b"4", b"5"]


def test_a_limit_in_bytes_counts_what_came_before() -> None:
    _, session = new_broker()
    queue = declare(session)
    publish(session, bytes(60), bytes(50))
    set_policy(session, {"max-length-bytes": 100, "overflow": "reject-publish"})
    assert queue.backlog.count == 2
    assert publish(session, b"x") == [REFUSED]
    drop_policy(session)
    assert publish(session, b"x") == [ACCEPTED]


def test_a_limit_trims_a_long_queue_a_slice_a_turn() -> None:
    broker, session = new_broker()
    queue = declare(session)
    count = 3 * TRIM_MAX
    publish(session, *(b"%d" % number for number in range(count)))
    policies_of(session).set(
        Policy.parse("p", "", {"max-length": 2}, apply_to="queues")
    )
    lengths = []
    while queue.backlog.count > 2:
        before = queue.backlog.count
        broker.on_deadline(broker.now)
        lengths.append(before - queue.backlog.count)
    assert max(lengths) == TRIM_MAX
    assert bodies(queue) == [b"%d" % number for number in range(count)][-2:]


def test_an_argument_stays_when_its_policy_goes() -> None:
    _, session = new_broker()
    queue = declare(session, x_max_length=3)
    set_policy(session, {"max-length": 1})
    publish(session, b"1", b"2")
    assert bodies(queue) == [b"2"]
    drop_policy(session)
    publish(session, b"3", b"4", b"5")
    assert bodies(queue) == [b"3", b"4", b"5"]


def test_messages_get_a_time_to_live() -> None:
    broker, session = new_broker()
    queue = declare(session)
    set_policy(session, {"message-ttl": 1000})
    publish(session, b"short")
    drop_policy(session)
    publish(session, b"long")
    at(broker, 2.0)
    assert bodies(queue) == [b"long"]


def test_a_queue_that_nobody_uses_goes() -> None:
    broker, session = new_broker()
    declare(session)
    declare(session, "used")
    Channel(session).consume("used")
    at(broker, 5.0)
    set_policy(session, {"expires": 6000}, "^(q|used)$")
    at(broker, 5.9)
    assert "q" in session.vhost.queues
    at(broker, 6.1)
    assert list(session.vhost.queues) == ["used"]


def test_dead_letters_go_where_the_policy_says() -> None:
    _, session = new_broker()
    queue, dead = declare(session), declare(session, "dead")
    channel = Channel(session)
    definition = {"dead-letter-exchange": "", "dead-letter-routing-key": "dead"}
    for step in range(2):
        publish(session, b"%d" % step)
        channel.get()
        channel.unacked.refuse(step + 1, multiple=False, requeue=False)
        set_policy(session, definition, "^q$")
    assert bodies(dead) == [b"1"]
    drop_policy(session)
    assert queue.rules.dead_letter_exchange is None


def test_permissions_are_not_asked() -> None:
    """As in RabbitMQ: only who may set policies can send messages anywhere."""
    _, session = new_broker()
    session.vhost.broker.access.clear_permissions("guest", "/")
    queue = session.vhost.add_queue(
        "q", durable=False, auto_delete=False, owner=None, arguments={}
    )
    set_policy(session, {"dead-letter-exchange": "secret"})
    assert queue.rules.dead_letter_exchange == "secret"


def test_a_delivery_limit_counts_what_was_delivered_before() -> None:
    _, session = new_broker()
    queue = declare(session)
    publish(session, b"poison")
    channel = Channel(session)
    for _ in range(3):
        channel.get()
        channel.unacked.refuse(channel.unacked.tag, multiple=False, requeue=True)
    set_policy(session, {"delivery-limit": 2})
    assert queue.backlog.count == 1
    channel.get()
    channel.unacked.refuse(channel.unacked.tag, multiple=False, requeue=True)
    assert queue.backlog.count == 0


def test_an_alternate_exchange_is_for_the_next_message() -> None:
    _, session = new_broker()
    queue = declare(session)
    declare_exchange(session)
    session.bind_queue("q", "amq.fanout", "", {})
    assert publish(session, b"1", exchange="x") == [UNROUTED]
    set_policy(session, {"alternate-exchange": "amq.fanout"}, "^x$")
    assert publish(session, b"2", exchange="x") == [ACCEPTED]
    drop_policy(session)
    assert publish(session, b"3", exchange="x") == [UNROUTED]
    assert bodies(queue) == [b"2"]


def test_the_alternate_exchange_of_an_argument_goes_before() -> None:
    _, session = new_broker()
    declare_exchange(session, arguments={"alternate-exchange": "mine"})
    exchange = session.vhost.exchanges["x"]
    set_policy(session, {"alternate-exchange": "theirs"})
    assert exchange.alternate == "mine"
    drop_policy(session)
    assert exchange.alternate == "mine"


# Slices


def many(session: Session, count: int) -> None:
    for number in range(count):
        declare(session, f"q{number}")


def limited(session: Session) -> int:
    """How many queues have got the rule."""
    queues = session.vhost.queues.values()
    return sum(queue.rules.max_length == 3 for queue in queues)


def test_many_queues_get_their_rules_a_slice_a_turn() -> None:
    broker, session = new_broker()
    exchanges = len(session.vhost.exchanges)
    many(session, 2 * SLICE)
    policies_of(session).set(Policy.parse("p", "^q", {"max-length": 3}))
    known = []
    while broker.next_deadline() is not None:
        publish(session, b"x")  # others are served meanwhile
        broker.on_deadline(0.0)
        known.append(limited(session))
    assert known == [SLICE - exchanges, 2 * SLICE - exchanges, 2 * SLICE]
    (notice,) = broker.take_notices()
    assert notice.event == "policies applied"
    assert notice.fields == {"vhost": "/", "changed": 2 * SLICE}


def test_patterns_that_take_longer_have_smaller_slices() -> None:
    broker, session = new_broker()
    many(session, 100)
    pattern = "^q[0-9]*[0-9]*[0-9]*$"
    policies_of(session).set(Policy.parse("p", pattern, {"max-length": 3}))
    turns = 0
    while broker.next_deadline() is not None:
        broker.on_deadline(0.0)
        turns += 1
    assert turns > 100
    assert limited(session) == 100


def test_what_comes_and_goes_meanwhile() -> None:
    broker, session = new_broker()
    many(session, 2 * SLICE)
    policies_of(session).set(Policy.parse("p", "^q", {"max-length": 3}))
    broker.on_deadline(0.0)
    for number in range(SLICE, 2 * SLICE):
        session.delete_queue(f"q{number}", if_unused=False, if_empty=False)
    assert declare(session, "q-new").rules.max_length == 3
    at(broker, 0.0)
    assert limited(session) == SLICE + 1


def test_a_change_on_the_way_begins_again() -> None:
    broker, session = new_broker()
    many(session, 2 * SLICE)
    policies_of(session).set(Policy.parse("p", "^q", {"max-length": 1}))
    broker.on_deadline(0.0)
    policies_of(session).set(Policy.parse("p", "^q", {"max-length": 3}))
    at(broker, 0.0)
    assert limited(session) == 2 * SLICE
    policies_of(session).delete("p")
    broker.on_deadline(0.0)
    assert 0 < limited(session) < 2 * SLICE
    at(broker, 0.0)
    assert limited(session) == 0


def test_every_vhost_has_its_own() -> None:
    broker, session = new_broker(Limits(policies_max=1))
    other = broker.add_vhost("other")
    set_policy(session, {"max-length": 3})
    queue = other.add_queue(
        "q", durable=False, auto_delete=False, owner=None, arguments={}
    )
    assert queue.rules.max_length is None
    other.policies.set(Policy.parse("p", "", {"max-length": 4}))
    at(broker, 0.0)
    assert queue.rules.max_length == 4
    assert declare(session).rules.max_length == 3


@pytest.mark.parametrize("definition", [{"max-length": 3}, {"ha-mode": "all"}])
def test_what_changes_nothing_leaves_no_notice(definition: dict[str, object]) -> None:
    broker, session = new_broker()
    declare(session, x_max_length=3)
    set_policy(session, definition, "^q$")
    assert broker.take_notices() == []


def test_nothing_is_left_behind() -> None:
    broker, session = new_broker()
    for number in range(2 * SLICE):
        declare(session, f"q{number}", exclusive=True)
    policies_of(session).set(Policy.parse("p", "^q", {"max-length": 3}))
    broker.on_deadline(0.0)
    gc.collect()
    gc.disable()
    try:
        session.close()  # in the middle
        at(broker, 0.0)
        assert gc.collect() == 0
    finally:
        gc.enable()

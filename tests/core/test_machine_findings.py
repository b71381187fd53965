"""What the machine of `test_machine.py` has found, in few steps each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.core.support import Channel, at, bodies, declare, message, new_broker
from warren_broker.core.limits import Limits

if TYPE_CHECKING:
    from warren_broker.core.session import Session

RETRY = {"x_delayed_retry_type": "all", "x_delayed_retry_min": 1000}
ORDERED = {"x_group_by": "header:g"}


def new_session() -> Session:
    return new_broker(Limits(retry_jitter=0.0))[1]


def publish(session: Session, body: bytes, **parts: object) -> None:
    parts = {"headers": {"g": 1}, **parts}
    session.publish(message(body=body, **parts))  # type: ignore[arg-type]


def test_what_is_delayed_takes_room_at_once() -> None:
    session = new_session()
    queue = declare(session, x_max_length=1, **RETRY)
    channel = Channel(session)
    publish(session, b"1")
    channel.get()
    publish(session, b"2")
    channel.unacked.refuse(1, multiple=False, requeue=True)
    assert queue.times.delayed_count == 1
    assert bodies(queue) == []


def test_what_is_over_its_time_when_it_is_rejected_does_not_wait() -> None:
    session = new_session()
    declare(session, x_dead_letter_exchange="", x_dead_letter_routing_key="d")
    graveyard = declare(session, "d")
    channel = Channel(session)
    publish(session, b"1", expiration_ms=10, headers={"x-retry-delay": 1000})
    channel.get()
    at(session.vhost.broker, 1.0)
    channel.unacked.refuse(1, multiple=False, requeue=False)
    assert bodies(graveyard) == [b"1"]


def test_a_key_goes_on_when_its_delayed_entry_expires() -> None:
    session = new_session()
    declare(session, **RETRY, **ORDERED)
    channel = Channel(session)
    publish(session, b"1", expiration_ms=500)
    publish(session, b"2")
    channel.get()
    channel.unacked.refuse(1, multiple=False, requeue=True)
    channel.consume()
    assert channel.bodies == []
    at(session.vhost.broker, 0.6)
    assert channel.bodies == [b"2"]


def test_a_key_goes_on_when_its_delayed_entry_is_purged() -> None:
    session = new_session()
    queue = declare(session, **RETRY, **ORDERED)
    channel = Channel(session)
    publish(session, b"1")
    channel.get()
    channel.unacked.refuse(1, multiple=False, requeue=True)
    assert queue.purge() == 1
    channel.consume()
    publish(session, b"2")
    assert channel.bodies == [b"2"]

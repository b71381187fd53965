"""LeaseTerms: whose word counts, and when a lease ends."""

from __future__ import annotations

import math
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import Channel, at, declare, message, new_broker
from warren_broker.core.arguments import (
    ConsumerArguments,
    LeaseRenewal,
    QueueArguments,
    TimeoutAction,
)
from warren_broker.core.lease import LeaseTerms, lease_terms
from warren_broker.core.limits import Limits

MOMENTS = st.floats(-1e6, 1e6)
DURATIONS = st.floats(0, 1e6)
RENEWALS = st.sampled_from([None, LeaseRenewal.CONNECTION])
LIMITS: Final = Limits(ack_timeout_ms=60_000, lease_max_ms=90_000)


def terms(
    timeout: float | None, most: float, renewal: LeaseRenewal | None = None
) -> LeaseTerms:
    return LeaseTerms(
        timeout_seconds=timeout,
        action=TimeoutAction.REQUEUE,
        renewal=renewal,
        max_seconds=most,
    )


class TestEnd:
    @given(DURATIONS, DURATIONS, RENEWALS, MOMENTS, MOMENTS, MOMENTS)
    def test_is_never_before_the_timeout_nor_after_the_maximum(
        self,
        timeout: float,
        most: float,
        renewal: LeaseRenewal | None,
        delivered_at: float,
        heard_at: float,
        until: float,
    ) -> None:
        end = terms(timeout, most, renewal).end(
            delivered_at, heard_at=heard_at, extended_until=until
        )
        assert delivered_at + timeout <= end
        assert end <= delivered_at + max(timeout, most)

    @given(DURATIONS, RENEWALS, MOMENTS, MOMENTS, MOMENTS)
    def test_is_the_latest_of_what_was_said_where_nothing_bounds_it(
        self,
        timeout: float,
        renewal: LeaseRenewal | None,
        delivered_at: float,
        heard_at: float,
        until: float,
    ) -> None:
        end = terms(timeout, math.inf, renewal).end(
            delivered_at, heard_at=heard_at, extended_until=until
        )
        renewed = -math.inf if renewal is None else heard_at + timeout
        assert end == max(delivered_at + timeout, renewed, until)

    def test_does_not_come_without_a_timeout(self) -> None:
        end = terms(None, 1.0).end(0.0, heard_at=0.0, extended_until=1.0)
        assert end == math.inf


WISHES = ConsumerArguments(
    consumer_timeout_ms=1000,
    consumer_timeout_action=TimeoutAction.CANCEL,
    lease_renewal=LeaseRenewal.CONNECTION,
    lease_max_ms=3000,
)
RULES = QueueArguments(
    consumer_timeout_ms=5000,
    consumer_timeout_action=TimeoutAction.DEAD_LETTER,
    lease_max_ms=7000,
)
WISHED: Final = (1.0, TimeoutAction.CANCEL, LeaseRenewal.CONNECTION, 3.0)
RULED: Final = (5.0, TimeoutAction.DEAD_LETTER, None, 7.0)
LIMITED: Final = (60.0, TimeoutAction.REQUEUE, None, 90.0)


@pytest.mark.parametrize(
    ("wishes", "rules", "expected"),
    [
        (WISHES, RULES, WISHED),
        (WISHES, QueueArguments(), WISHED),
        (ConsumerArguments(), RULES, RULED),
        (ConsumerArguments(), QueueArguments(), LIMITED),
    ],
)
def test_whose_word_counts(
    wishes: ConsumerArguments, rules: QueueArguments, expected: tuple[object, ...]
) -> None:
    broker, _ = new_broker(LIMITS)
    found = lease_terms(broker, rules, wishes)
    assert expected == (
        found.timeout_seconds,
        found.action,
        found.renewal,
        found.max_seconds,
    )


def test_zero_is_no_timeout() -> None:
    broker, _ = new_broker(LIMITS)
    for wishes, rules in (
        (ConsumerArguments(consumer_timeout_ms=0), RULES),
        (ConsumerArguments(), QueueArguments(consumer_timeout_ms=0)),
    ):
        assert lease_terms(broker, rules, wishes).timeout_seconds is None


def test_renewal_by_the_connection_is_a_matter_of_queues_too() -> None:
    broker, _ = new_broker(LIMITS)
    rules = QueueArguments(lease_renewal=LeaseRenewal.CONNECTION)
    assert lease_terms(broker, rules).renewal is LeaseRenewal.CONNECTION


def test_a_queue_knows_its_terms_and_keeps_to_new_rules() -> None:
    broker, session = new_broker(LIMITS)
    queue = declare(session, x_consumer_timeout=2000)
    assert queue.lease.timeout_seconds == 2.0
    queue.apply_rules(RULES)
    assert queue.lease == lease_terms(broker, RULES)


def test_new_rules_are_for_new_consumers_and_for_gets() -> None:
    broker, session = new_broker(LIMITS)
    queue = declare(session, x_consumer_timeout=2000)
    channel = Channel(session)
    old = channel.consume(tag="old", prefetch=1)
    session.publish(message())
    queue.apply_rules(QueueArguments(consumer_timeout_ms=9000))
    new = channel.consume(tag="new", prefetch=1)
    session.publish(message())
    session.publish(message())
    channel.get()
    assert (old.lease.timeout_seconds, new.lease.timeout_seconds) == (2.0, 9.0)
    for tag in ("old", "new"):
        channel.cancel(tag)
    at(broker, 2.0)
    assert list(channel.unacked.entries) == [2, 3]
    at(broker, 9.0)
    assert not channel.unacked.entries

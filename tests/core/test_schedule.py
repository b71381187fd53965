"""Scheduled messages: at their moment, in order, and as if published then."""

from __future__ import annotations

import gc
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import (
    at,
    bodies,
    declare,
    declare_exchange,
    fingerprint,
    message,
    new_broker,
)
from warren.errors import PreconditionFailed
from warren_broker.core.broker import Broker
from warren_broker.core.limits import Limits
from warren_broker.core.outcome import ACCEPTED, UNROUTED
from warren_broker.core.schedule import SLICE
from warren_broker.core.session import Session

if TYPE_CHECKING:
    from warren_broker.core.queue import Queue

IDS = ["a", "b"]
HORIZON_MS = 315_360_000_000


class Shop:
    """A broker with a queue, and an exchange `x` that leads there."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.broker, self.session = new_broker(limits)
        self.vhost = self.session.vhost
        self.queue: Queue = declare(self.session)
        declare_exchange(self.session, "x", "fanout")
        self.session.bind_queue("q", "x", "", {})

    def publish(
        self,
        body: bytes = b"",
        *,
        exchange: str = "",
        key: str = "q",
        **headers: object,
    ) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.publish(
            message(key, exchange=exchange, body=body, headers=named)
        )

    @property
    def scheduled_count(self) -> int:
        return len(self.vhost.schedule)


# The rule, told by a sorted list

steps = st.lists(
    st.one_of(
        st.tuples(st.just("delay"), st.integers(-2, 9), st.sampled_from([None, *IDS])),
        st.tuples(
            st.just("moment"), st.integers(-2, 40), st.sampled_from([None, *IDS])
        ),
        st.tuples(st.just("plain"), st.just(0), st.sampled_from([None, *IDS])),
        st.tuples(st.just("cancel"), st.just(0), st.sampled_from(IDS)),
        st.tuples(st.just("burst"), st.integers(1, 9), st.just(None)),
        st.tuples(st.just("time"), st.integers(0, 5), st.just(None)),
    ),
    max_size=40,
)


class Model:
    """What waits, as a list, and what has come."""

    def __init__(self) -> None:
        self.now = 0
        self.number = 0
        self.waiting: list[tuple[int, int, str | None]] = []
        self.come: list[bytes] = []

    def publish(self, due: int, name: str | None) -> bytes:
        self.number += 1
        if name is not None:
            self.remove(name)
        if due > self.now:
            self.waiting.append((due, self.number, name))
        else:
            self.come.append(b"%d" % self.number)
        return b"%d" % self.number

    def remove(self, name: str) -> bool:
        count = len(self.waiting)
        self.waiting = [item for item in self.waiting if item[2] != name]
        return len(self.waiting) < count

    def advance(self, now: int) -> None:
        self.now = now
        for item in sorted(item for item in self.waiting if item[0] <= now):
            self.waiting.remove(item)
            self.come.append(b"%d" % item[1])


@given(steps, st.sampled_from(["", "x"]))
def test_does_what_a_sorted_list_does(
    steps: list[tuple[str, int, str | None]], exchange: str
) -> None:
    shop, model = Shop(), Model()
    for step, number, name in steps:
        headers: dict[str, object] = {} if name is None else {"x_schedule_id": name}
        if step == "time":
            model.advance(model.now + number)
            at(shop.broker, model.now)
        elif step == "cancel":
            outcome = shop.publish(exchange=exchange, x_schedule_cancel=name)
            assert name is not None
            assert outcome == (ACCEPTED if model.remove(name) else UNROUTED)
        elif step == "burst":
            for _ in range(70):  # comes and goes, and must be tidied up
                shop.publish(
                    exchange=exchange, x_delay=number * 1000, x_schedule_id="z"
                )
                shop.publish(exchange=exchange, x_schedule_cancel="z")
        else:
            due = number if step == "moment" else model.now + number
            body = model.publish(due, name)
            if step == "moment":
                headers["x_deliver_at"] = number * 1000
            elif step == "delay":
                headers["x_delay"] = number * 1000
            assert shop.publish(body, exchange=exchange, **headers) == ACCEPTED
        assert bodies(shop.queue) == model.come
        assert shop.scheduled_count == len(model.waiting)
    model.advance(1000)
    at(shop.broker, 1000)
    assert bodies(shop.queue) == model.come
    assert shop.broker.next_deadline() is None


# Slices


def test_a_crowd_leaves_a_slice_a_turn() -> None:
    shop = Shop()
    count = 2 * SLICE + 7
    for number in range(count):
        shop.publish(b"%d" % number, x_delay=1000)
    seen = []
    while shop.broker.next_deadline() is not None:
        assert shop.broker.next_deadline() == 1.0
        shop.broker.on_deadline(1.0)
        seen.append(shop.queue.backlog.count)
    assert all(late - early <= SLICE for early, late in pairwise(seen))
    assert seen[-1] == count
    assert len(seen) == -(-2 * count // SLICE)  # a message, and its copy
    assert bodies(shop.queue) == [b"%d" % number for number in range(count)]


def test_copies_count() -> None:
    shop = Shop()
    for number in range(99):
        declare(shop.session, f"q{number}")
        shop.session.bind_queue(f"q{number}", "x", "", {})
    for _ in range(30):
        shop.publish(exchange="x", x_delay=1)
    turns = 0
    while shop.broker.next_deadline() is not None:
        shop.broker.on_deadline(1.0)
        turns += 1
    assert turns == 3
    assert shop.queue.backlog.count == 30


def test_what_is_gone_is_passed_over_a_slice_a_turn() -> None:
    shop = Shop()
    shop.publish(b"last", x_delay=5000)
    for number in range(3 * SLICE):
        shop.publish(x_delay=1000, x_schedule_id=str(number))
        shop.publish(x_delay=9000)
    for number in range(3 * SLICE):
        shop.publish(x_schedule_cancel=str(number))
    work = []
    while (when := shop.broker.next_deadline()) is not None and when <= 5:
        before = shop.broker.work
        shop.broker.on_deadline(when)
        work.append(shop.broker.work - before)
    assert max(work) <= SLICE + 1
    assert bodies(shop.queue) == [b"last"]


# As if published then


def test_routes_are_those_of_the_moment() -> None:
    shop = Shop()
    shop.publish(b"1", exchange="x", key="k", x_delay=1000)
    late = declare(shop.session, "late")
    shop.session.bind_queue("late", "x", "", {})
    shop.session.unbind_queue("q", "x", "", {})
    at(shop.broker, 1)
    assert (bodies(shop.queue), bodies(late)) == ([], [b"1"])


@pytest.mark.parametrize("exchange", ["", "x"])
def test_what_is_unroutable_then_is_dropped(exchange: str) -> None:
    shop = Shop()
    assert shop.publish(exchange=exchange, key="nobody", x_delay=1000) == ACCEPTED
    shop.session.unbind_queue("q", "x", "", {})
    at(shop.broker, 1)
    assert bodies(shop.queue) == []
    assert shop.broker.next_deadline() is None


def test_what_has_lost_its_exchange_is_dropped() -> None:
    shop = Shop()
    shop.publish(b"1", exchange="x", x_delay=1000)
    shop.publish(b"2", x_delay=1000)
    shop.session.delete_exchange("x", if_unused=False)
    at(shop.broker, 1)
    assert bodies(shop.queue) == [b"2"]


def test_an_exchange_that_is_internal_by_then_gets_nothing() -> None:
    shop = Shop()
    declare_exchange(shop.session, "again", "fanout")
    shop.publish(b"1", exchange="again", x_delay=1000)
    shop.session.delete_exchange("again", if_unused=False)
    declare_exchange(shop.session, "again", "fanout", internal=True)
    shop.session.bind_queue("q", "again", "", {})
    at(shop.broker, 1)
    assert bodies(shop.queue) == []
    assert shop.scheduled_count == 0


def test_an_alternate_exchange_gets_what_is_unroutable_then() -> None:
    shop = Shop()
    arguments = {"alternate-exchange": "x"}
    declare_exchange(shop.session, "empty", "direct", arguments=arguments)
    shop.publish(b"1", exchange="empty", x_delay=1000)
    at(shop.broker, 1)
    assert bodies(shop.queue) == [b"1"]


def test_the_time_to_live_begins_when_it_is_published() -> None:
    shop = Shop()
    shop.session.publish(message(expiration_ms=500, headers={"x-delay": 2000}))
    at(shop.broker, 2.4)
    assert shop.queue.backlog.count == 1
    at(shop.broker, 2.5)
    assert shop.queue.backlog.count == 0


def test_further_keys_count_then() -> None:
    shop = Shop()
    others = [declare(shop.session, name) for name in ("cc", "bcc")]
    shop.publish(b"1", x_delay=1000, CC=["cc"], BCC=["bcc"])
    at(shop.broker, 1)
    assert [bodies(each) for each in (shop.queue, *others)] == [[b"1"]] * 3


def test_a_bug_in_one_does_not_hold_up_the_others() -> None:
    shop = Shop()
    for number in range(3):
        shop.publish(b"%d" % number, x_delay=1000)
    shop.queue.roster = None  # type: ignore[assignment]
    with pytest.raises(ExceptionGroup):
        shop.broker.on_deadline(1.0)
    assert shop.broker.next_deadline() == 1.0
    assert shop.scheduled_count == 2


# Moments


@pytest.mark.parametrize(
    ("headers", "due"),
    [
        ({"x-delay": 1500}, 1.5),
        ({"x-delay": "1500"}, 1.5),
        ({"x-delay": "+1500"}, 1.5),
        ({"x-delay": 1500.9}, 1.5),
        ({"x-delay": 1}, 0.001),
        ({"x-deliver-at": 1_001_500}, 1.5),
        ({"x-deliver-at": "1001500"}, 1.5),
        ({"x-deliver-at": "1970-01-01T00:16:41.500Z"}, 1.5),
        ({"x-deliver-at": "1970-01-01T01:16:41.5+01:00"}, 1.5),
        ({"x-delay": 3000, "x-deliver-at": 1_001_500}, 3.0),
        ({"x-delay": 500, "x-deliver-at": 1_001_500}, 1.5),
        ({"x-delay": None, "x-deliver-at": 1_001_500}, 1.5),
        ({"x-delay": 0}, None),
        ({"x-delay": -5}, None),
        ({"x-delay": "-5"}, None),
        ({"x-delay": -0.5}, None),
        ({"x-delay": None}, None),
        ({"x-deliver-at": None}, None),
        ({"x-deliver-at": 1_000_000}, None),
        ({"x-deliver-at": "1969-12-31"}, None),
        ({"x-schedule-id": "a"}, None),
        ({"x-schedule-id": ""}, None),
        ({"x-retry-delay": 5000}, None),
    ],
)
def test_when(headers: dict[str, object], due: float | None) -> None:
    broker = Broker(wall_seconds=1000.0)
    session = Session(broker.vhosts["/"], new_broker()[1].user)
    queue = declare(session)
    assert session.publish(message(headers=headers)) == ACCEPTED
    if due is None:
        assert queue.backlog.count == 1
        return
    assert queue.backlog.count == 0
    assert broker.next_deadline() == pytest.approx(due)
    at(broker, due + 1e-6)
    assert queue.backlog.count == 1


@pytest.mark.parametrize(
    ("value", "due"),
    [
        ("1970-01-01T00:00:02+00:00", 2.0),
        ("1970-01-01T00:00:02", 2.0),
        (2000, 2.0),
        (0, None),
        ("soon", None),
        (None, None),
        (True, None),
        (float("nan"), None),
        ([], None),
    ],
)
def test_a_policy_may_name_the_header(value: object, due: float | None) -> None:
    shop = Shop()
    shop.publish(b"before", exchange="x", eta=value)  # which routes are remembered of
    shop.vhost.exchanges["x"].deliver_at_header = "eta"
    shop.vhost.generation += 1
    for _ in range(2):
        assert shop.publish(exchange="x", eta=value) == ACCEPTED
        assert shop.publish(exchange="x") == ACCEPTED  # has no such header
    assert shop.queue.backlog.count == (5 if due is None else 3)
    assert shop.broker.next_deadline() == due
    at(shop.broker, 2)
    assert shop.queue.backlog.count == 5


def test_of_a_delay_and_the_header_of_a_policy_the_later_one_counts() -> None:
    shop = Shop()
    shop.vhost.exchanges["x"].deliver_at_header = "eta"
    shop.publish(exchange="x", eta=2000, x_delay=3000)
    shop.publish(exchange="x", eta=5000, x_delay=3000)
    assert shop.broker.next_deadline() == 3
    at(shop.broker, 4)
    assert shop.queue.backlog.count == 1
    at(shop.broker, 5)
    assert shop.queue.backlog.count == 2


# Names


def test_a_name_is_one_of_its_exchange() -> None:
    shop = Shop()
    shop.publish(b"default", x_delay=1000, x_schedule_id="a")
    shop.publish(b"x", exchange="x", x_delay=1000, x_schedule_id="a")
    assert shop.publish(exchange="x", x_schedule_cancel="a") == ACCEPTED
    assert shop.publish(exchange="x", x_schedule_cancel="a") == UNROUTED
    at(shop.broker, 1)
    assert bodies(shop.queue) == [b"default"]


def test_one_without_a_delay_takes_the_place_at_once() -> None:
    shop = Shop()
    shop.publish(b"late", x_delay=1000, x_schedule_id="a")
    shop.publish(b"now", x_schedule_id="a")
    assert shop.scheduled_count == 0
    at(shop.broker, 1)
    assert bodies(shop.queue) == [b"now"]


def test_a_name_is_free_again_when_it_was_published() -> None:
    shop = Shop()
    shop.publish(x_delay=1000, x_schedule_id="a")
    at(shop.broker, 1)
    assert shop.publish(x_schedule_cancel="a") == UNROUTED
    assert shop.queue.backlog.count == 1


# Limits


def test_as_many_wait_as_may() -> None:
    shop = Shop(Limits(scheduled_max=2))
    shop.publish(b"1", x_delay=1000, x_schedule_id="a")
    shop.publish(b"2", x_delay=1000)
    before = fingerprint(shop.broker)
    with pytest.raises(PreconditionFailed) as caught:
        shop.publish(x_delay=1000)
    assert caught.value.text == (
        "cannot schedule message: limit (2) of messages that wait in vhost '/'"
        " is reached"
    )
    assert (fingerprint(shop.broker), shop.scheduled_count) == (before, 2)
    shop.publish(b"3")  # what does not wait passes
    shop.publish(b"4", x_delay=2000, x_schedule_id="a")  # and what takes a place
    at(shop.broker, 3)
    assert bodies(shop.queue) == [b"3", b"2", b"4"]
    shop.publish(x_delay=1000)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-delay": HORIZON_MS + 1},
        {"x-delay": 2**63 - 1},
        {"x-delay": "9" * 20},
        {"x-delay": 1.7976931348623157e308},
        {"x-deliver-at": HORIZON_MS + 1},
        {"x-deliver-at": "9999-12-31"},
        {"x-delay": 1, "x-deliver-at": "9999-12-31"},
    ],
)
def test_nothing_waits_for_ever(headers: dict[str, object]) -> None:
    shop = Shop()
    old = message(body=b"old", headers={"x-delay": 1000, "x-schedule-id": "a"})
    shop.session.publish(old)
    before = fingerprint(shop.broker)
    with pytest.raises(PreconditionFailed, match="value_too_large"):
        shop.session.publish(message(headers={**headers, "x-schedule-id": "a"}))
    assert (fingerprint(shop.broker), shop.scheduled_count) == (before, 1)


@pytest.mark.parametrize(
    "headers", [{"x-delay": HORIZON_MS}, {"x-deliver-at": HORIZON_MS}]
)
def test_ten_years_are_not_too_long(headers: dict[str, object]) -> None:
    shop = Shop()
    assert shop.session.publish(message(headers=headers)) == ACCEPTED
    assert shop.broker.next_deadline() == HORIZON_MS / 1000


def test_it_is_known_before_whether_many_fit() -> None:
    shop = Shop(Limits(scheduled_max=2))
    late = message(headers={"x-delay": 1000})
    shop.vhost.schedule.check([late, message(), late, message(exchange="gone")])
    with pytest.raises(PreconditionFailed, match="limit"):
        shop.vhost.schedule.check([late, late, late])
    with pytest.raises(PreconditionFailed, match="value_too_large"):
        shop.vhost.schedule.check([message(headers={"x-delay": 10**15})])
    assert shop.scheduled_count == 0


# What is left on the message


def test_a_delay_is_negated_and_the_rest_stays() -> None:
    shop = Shop()
    shop.publish(x_delay="1000", x_schedule_id="a", x_retry_delay=7, other=1)
    at(shop.broker, 1)
    entry = next(iter(shop.queue.backlog))
    header = entry.message.header
    assert header.headers() == {
        "x-delay": -1000,
        "x-schedule-id": "a",
        "x-retry-delay": 7,
        "other": 1,
    }
    assert header.is_plain
    assert header.directives is not None
    assert header.directives.retry_delay_ms == 7
    assert not header.directives.concerns_publishing


def test_nothing_is_left_of_the_directives() -> None:
    shop = Shop()
    shop.publish(x_delay=1000)
    shop.publish(x_deliver_at=1000)
    at(shop.broker, 1)
    headers = [entry.message.header for entry in shop.queue.backlog]
    assert [(each.is_plain, each.directives) for each in headers] == [(True, None)] * 2


def test_published_again_with_its_headers_it_is_not_delayed() -> None:
    shop = Shop()
    shop.publish(x_delay=1000)
    at(shop.broker, 1)
    (entry,) = shop.queue.backlog
    shop.session.publish(message(headers=entry.message.header.headers()))
    assert shop.queue.backlog.count == 2


def test_nothing_is_left_for_the_collector() -> None:
    shop = Shop()
    gc.collect()
    for number in range(200):
        shop.publish(x_delay=1000, x_schedule_id=str(number % 50))
        shop.publish(x_deliver_at=number * 10)
    at(shop.broker, 3)
    shop.session.purge_queue("q")
    assert gc.collect() == 0

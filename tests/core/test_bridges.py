"""Queues that a stream feeds, and queues that feed a stream, without a wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.core.bridge_machine import BridgeMachine
from tests.core.machine_bugs import replaced
from tests.core.stream_site import Site, record
from tests.core.support import Channel, message
from warren_broker.core.bridge import SourcedQueue, TappedQueue
from warren_broker.core.bridge.source import Source
from warren_broker.core.limits import Limits
from warren_broker.core.outcome import ACCEPTED, REFUSED

if TYPE_CHECKING:
    from tests.core.machine_bugs import Plant
    from warren_broker.core.queue import Entry
    from warren_broker.core.stream.stream import Stream


def test_a_fed_queue_does_what_the_model_does() -> None:
    run_state_machine_as_test(BridgeMachine, settings=settings(stateful_step_count=40))


RIGHT_BEGIN = Source.begin
RIGHT_TAKE_RECORD = SourcedQueue.take_record


def begins_one_late(self: Source) -> None:
    RIGHT_BEGIN(self)
    if self._reader is not None and self._stored:
        self._reader.begin(self._stored["offset"] + 1)


def loses_every_fifth(self: SourcedQueue, entry: Entry) -> None:
    if entry.sequence % 5 == 4:
        self.forget(entry)
    else:
        RIGHT_TAKE_RECORD(self, entry)


BUGS: dict[str, Plant] = {
    "it takes all there is": replaced(Source, "has_room", lambda self: True),
    "nobody reads on": replaced(Source, "settle", lambda self, offset: None),
    "nothing is doubted": replaced(Source, "doubt", lambda self: None),
    "it goes on one too far": replaced(Source, "begin", begins_one_late),
    "a record is lost": replaced(SourcedQueue, "take_record", loses_every_fifth),
    "what waits counts as settled": replaced(
        Source, "take", lambda self, entry: self._queue.take_record(entry)
    ),
}


@pytest.mark.parametrize("plant", BUGS.values(), ids=BUGS)
def test_the_machine_finds(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    search = settings(
        database=None,
        max_examples=500,
        stateful_step_count=30,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((Exception, ExceptionGroup)):
        run_state_machine_as_test(BridgeMachine, settings=search)


def declare(site: Site, name: str = "work", **arguments: object) -> None:
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    site.session.declare_queue(
        name, durable=True, exclusive=False, auto_delete=False, arguments=table
    )
    site.settle()


def sourced(site: Site, name: str = "work") -> SourcedQueue:
    queue = site.broker.vhosts["/"].queues[name]
    assert isinstance(queue, SourcedQueue)
    return queue


def fed(**arguments: object) -> Site:
    """A stream `s` with ten records that feeds the queue `work`."""
    site = Site()
    site.declare("s")
    for number in range(10):
        site.publish(record(body=b"%d" % number))
    site.settle()
    declare(site, x_source_stream="s", **arguments)
    return site


def waiting(site: Site) -> list[int]:
    return [entry.sequence for entry in sourced(site).backlog]


# A stream feeds a queue


@pytest.mark.parametrize(
    ("offset", "expected"),
    [("first", 0), ("last", 9), ("next", 10), (7, 7), (-3, 7), (99, 10), ("1h", 0)],
)
def test_it_begins_where_it_is_told(offset: object, expected: int) -> None:
    site = fed(x_stream_offset=offset)
    assert waiting(site) == list(range(expected, 10))


def test_an_age_is_looked_for_once() -> None:
    site = fed(x_stream_offset="1h")
    site.settle(1)
    site.settle(7200)
    site.start()
    assert waiting(site) == list(range(10))


def test_a_stored_place_goes_before_the_offset_in_the_arguments() -> None:
    site = fed(x_stream_offset=4)
    channel = Channel(site.session)
    channel.consume("work", prefetch=1)
    channel.unacked.settle(1, multiple=False)
    site.settle(1.0)
    site.start()
    assert waiting(site) == [5, 6, 7, 8, 9]


def test_it_is_stored_every_second_however_much_is_done() -> None:
    site = fed()
    channel = Channel(site.session)
    channel.consume("work", prefetch=1)
    for tag in (1, 2, 3, 4):
        site.settle(0.5)
        channel.unacked.settle(tag, multiple=False)
    site.start()
    assert waiting(site)[0] == 3


def test_a_purge_is_for_good() -> None:
    site = fed()
    site.session.purge_queue("work")
    site.start()
    assert waiting(site) == []


def test_what_retention_has_taken_is_told() -> None:
    site = Site()
    site.declare("s", x_max_length=2, x_stream_max_segment_size_bytes=20)
    for number in range(3):
        site.publish(record(body=b"%d" % number))
    declare(site, x_source_stream="s")
    for number in range(3, 10):
        site.publish(record(body=b"%d" % number))
        site.settle()
    first = site.stream().log.first
    assert first > 0
    site.start()
    oldest = next(iter(sourced(site).backlog))
    assert (oldest.sequence, oldest.marks) == (first, {"x-stream-gap": first})


def test_large_records_are_fewer() -> None:
    site = Site(Limits(source_window_max_bytes=100))
    site.declare("s")
    for _ in range(5):
        site.publish(record(body=bytes(60)))
    declare(site, x_source_stream="s")
    assert waiting(site) == [0, 1]


def test_what_is_returned_too_often_is_dead_lettered() -> None:
    site = fed(
        x_delivery_limit=1, x_dead_letter_exchange="", x_dead_letter_routing_key="dead"
    )
    site.declare("dead")
    channel = Channel(site.session)
    channel.consume("work", prefetch=1)
    for tag in (1, 2):
        channel.unacked.refuse(tag, multiple=False, requeue=True)
    site.settle(1.0)
    assert site.stream("dead").next_offset == 1
    assert [int(each.body) for each in channel.log] == [0, 0, 1]
    site.start()
    assert waiting(site)[0] == 1


def test_a_direct_publish_is_refused() -> None:
    site = fed()
    assert site.publish(message("work")) == REFUSED
    assert len(waiting(site)) == 10


def test_consumers_that_ack_nothing_use_the_room_at_once() -> None:
    site = Site(Limits(source_window_max=3))
    site.declare("s")
    declare(site, x_source_stream="s")
    channel = Channel(site.session)
    channel.consume("work", no_ack=True)
    for number in range(20):
        site.publish(record(body=b"%d" % number))
    site.settle()
    assert [int(each.body) for each in channel.log] == list(range(20))


def test_limits_of_policies_drop_nothing() -> None:
    site = fed()
    queue = sourced(site)
    rules = type(queue.rules)(max_length=2, source_stream="s")
    queue.apply_rules(rules)
    assert len(waiting(site)) == 10


def test_the_queue_is_deleted() -> None:
    site = fed()
    site.session.delete_queue("work", if_unused=False, if_empty=False)
    site.settle(5.0)
    assert not site.stream().subscriptions
    assert not [key for key in site.store.definitions if "work" in key]


def test_the_stream_is_deleted_and_what_it_gave_stays() -> None:
    site = fed()
    channel = Channel(site.session)
    channel.consume("work", prefetch=2)
    site.session.delete_queue("s", if_unused=False, if_empty=False)
    assert [each.event for each in site.broker.take_notices()] == ["source ended"]
    channel.unacked.settle(2, multiple=True)
    site.settle(2.0)
    assert [int(each.body) for each in channel.log] == [0, 1, 2, 3]
    site.declare("s")  # another one: offsets of the old one mean nothing there
    site.publish(record())
    site.start()
    assert [each.event for each in site.broker.take_notices()] == ["source ended"]
    assert waiting(site) == []


def test_after_a_clean_stop_only_what_was_delivered_is_doubted() -> None:
    site = fed()
    channel = Channel(site.session)
    channel.consume("work", prefetch=3)
    channel.unacked.settle(2, multiple=False)
    channel.close()
    site.start(is_clean=True)
    entries = list(sourced(site).backlog)
    assert [entry.sequence for entry in entries] == list(range(10))
    assert [entry.redelivered for entry in entries] == [True] * 4 + [False] * 6


# A queue feeds a stream


def tapped(site: Site, name: str = "work") -> TappedQueue:
    queue = site.broker.vhosts["/"].queues[name]
    assert isinstance(queue, TappedQueue)
    return queue


def copies(stream: Stream) -> list[bytes]:
    log = stream.log
    return [each.message.body for part in log._segments for each in part.records]  # type: ignore[attr-defined]


def tap(site: Site, *, durable: bool = False, **arguments: object) -> None:
    site.declare("audit")
    site.session.declare_queue(
        "work",
        durable=durable,
        exclusive=False,
        auto_delete=False,
        arguments={
            "x-tap": "audit",
            **{key.replace("_", "-"): value for key, value in arguments.items()},
        },
    )


@pytest.mark.parametrize("more", [{}, {"x_group_by": "routing-key"}])
def test_what_a_queue_takes_is_in_the_stream_too(more: dict[str, object]) -> None:
    site = Site()
    tap(site, **more)
    channel = Channel(site.session)
    for body in (b"a", b"b"):
        assert site.publish(message("work", body=body)) == ACCEPTED
    channel.consume("work")
    assert site.publish(message("work", body=b"c")) == ACCEPTED
    assert copies(site.stream("audit")) == [b"a", b"b", b"c"]


def test_what_a_queue_does_not_take_is_not() -> None:
    site = Site()
    tap(site, x_max_length=1, x_overflow="reject-publish")
    assert site.publish(message("work", body=b"a")) == ACCEPTED
    assert site.publish(message("work", body=b"b")) == REFUSED
    assert copies(site.stream("audit")) == [b"a"]


def test_what_a_message_claims_of_a_stream_does_not_keep_it_out() -> None:
    site = Site()
    tap(site)
    for _ in "12":
        claims = {"x_producer_id": "p", "x_producer_seq": 1, "x_expected_offset": 7}
        assert site.publish(record("work", b"a", **claims)) == ACCEPTED
    assert copies(site.stream("audit")) == [b"a", b"a"]


def test_a_tap_ends_with_its_stream() -> None:
    site = Site()
    tap(site)
    site.session.delete_queue("audit", if_unused=False, if_empty=False)
    assert [each.event for each in site.broker.take_notices()] == ["tap ended"]
    assert site.publish(message("work", body=b"a")) == ACCEPTED
    assert tapped(site).ready_count == 1


def test_a_tapped_queue_is_deleted() -> None:
    site = Site()
    tap(site)
    site.session.delete_queue("work", if_unused=False, if_empty=False)
    assert not site.stream("audit").tapped
    site.session.delete_queue("audit", if_unused=False, if_empty=False)
    assert not site.broker.take_notices()


def test_a_tap_goes_on_after_a_restart() -> None:
    site = Site()
    tap(site, durable=True)
    site.start()
    assert site.publish(message("work", body=b"a")) == ACCEPTED
    assert copies(site.stream("audit")) == [b"a"]

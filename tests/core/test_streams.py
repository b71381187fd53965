"""Streams without a wire: logs in memory, groups, restarts, damage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.stream_site import Site, record
from warren.errors import AccessRefused
from warren_broker.core.limits import Limits
from warren_broker.core.policy import Policy
from warren_broker.core.stream.claims import read_claims
from warren_broker.core.stream.consumer import AHEAD_MIN
from warren_broker.core.stream.log import LogOwner, Retention
from warren_broker.core.stream.memory_log import PAGE_RECORDS, MemoryLog
from warren_broker.core.stream.producers import Producers
from warren_broker.core.stream.record import Page, Record
from warren_broker.core.stream.sharing import share
from warren_broker.core.stream.shelf import ENCODED_MAX, Shelf

if TYPE_CHECKING:
    from tests.core.stream_site import Listener
    from warren_broker.core.message import Message

DAY_MS = 86_400_000


def offsets(listener: Listener) -> list[int]:
    return [each.offset for each in listener.given]


def publish(site: Site, count: int, key: str = "s", exchange: str = "") -> None:
    for number in range(count):
        site.publish(record(key, b"%d" % number, exchange))
    site.settle()


def declare_super(site: Site, partitions: int) -> None:
    site.session.declare_exchange(
        "sup",
        "x-super-stream",
        durable=True,
        auto_delete=False,
        internal=False,
        arguments={"partitions": partitions},
    )


# The log in memory


class Owner(LogOwner):
    """What a log tells."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.times: dict[int, int] = {}
        self.trims = 0

    def on_safe(self) -> None:
        """Do nothing."""

    def on_trimmed(self) -> None:
        self.trims += 1

    def on_page(self, page: Page) -> None:
        self.pages.append(page)

    def on_unreadable(self, start: int, end: int, reason: str) -> None:
        raise AssertionError(reason)

    def on_time_found(self, timestamp_ms: int, offset: int) -> None:
        self.times[timestamp_ms] = offset


class Kept:
    """A log with records of ten bytes of body, ten records a segment, and its owner."""

    def __init__(self, *bodies: tuple[str, bytes]) -> None:
        self.site = Site()
        self.owner = Owner()
        self.size = body_record(0, "k").message.size_bytes
        self.log = MemoryLog(self.site.broker, self.owner, segment_bytes=10 * self.size)
        self.add(*bodies)

    def add(self, *bodies: tuple[str, bytes]) -> None:
        for key, body in bodies:
            end = self.log._segments[-1].end
            self.log.append(body_record(end, key, body), None)
        self.site.settle()

    def left(self) -> list[int]:
        """All offsets that can be read, page by page."""
        found, position = [], self.log.first
        while position < self.log.end:
            self.log.want(position)
            self.site.settle()
            (page,), self.owner.pages = self.owner.pages, []
            assert page.start <= position < page.end
            found += [each.offset for each in page.records if each.offset >= position]
            position = page.end
        assert len(found) == self.log.count
        return found


def body_record(offset: int, key: str, body: bytes = bytes(10)) -> Record:
    message = record(key, body)
    return Record(offset, 1000 * offset, message)


@pytest.mark.parametrize(
    ("retention", "first"),
    [
        (Retention(), 0),
        (Retention(max_records=100), 0),
        (Retention(max_records=50), 0),
        (Retention(max_records=49), 10),
        (Retention(max_records=40), 10),
        (Retention(max_records=0), 40),
        (Retention(max_age_ms=30_000), 20),
        (Retention(max_age_ms=0), 40),
    ],
)
def test_whole_segments_go_but_never_the_active_one(
    retention: Retention, first: int
) -> None:
    kept = Kept(*[("k", bytes(10))] * 50)
    kept.log.retain(retention, 50_000)
    assert kept.log.first == first
    assert kept.owner.trims == bool(first)
    assert kept.left() == [*range(first, 50)]


def test_bytes_are_a_limit_as_well() -> None:
    kept = Kept(*[("k", bytes(10))] * 50)
    kept.log.retain(Retention(max_bytes=35 * kept.size), 0)
    assert kept.left() == [*range(20, 50)]


def test_compaction_keeps_the_newest_of_each_key_in_sealed_segments() -> None:
    kept = Kept(*[(key, bytes(10)) for key in "abcdeabcde" * 2], ("a", bytes(10)))
    kept.log.compact(0)
    kept.site.settle()
    assert kept.left() == [16, 17, 18, 19, 20]


def test_a_tombstone_goes_when_it_is_old_enough() -> None:
    kept = Kept(*[("a", bytes(10))] * 9, ("a", b""), *[("b", bytes(10))] * 11)
    kept.log.compact(9000)
    kept.site.settle()
    assert 9 in kept.left()
    kept.log.compact(9001)
    kept.site.settle()
    assert 9 not in kept.left()


def test_a_time_is_found_exactly() -> None:
    kept = Kept(*[("k", bytes(10))] * 25)
    for timestamp in (0, 1, 1000, 13_500, 24_000, 24_001):
        kept.log.want_time(timestamp)
    kept.site.settle()
    assert kept.owner.times == {
        0: 0,
        1: 1,
        1000: 1,
        13_500: 14,
        24_000: 24,
        24_001: 25,
    }


# Parts


def test_the_shelf_keeps_what_came_last() -> None:
    pages = [
        Page(start, start + 2, [body_record(start, "k"), body_record(start + 1, "k")])
        for start in range(0, 10, 2)
    ]
    size = sum(each.message.size_bytes for each in pages[0].records)
    shelf = Shelf(3 * size)
    for page in pages:
        shelf.put(page)
    assert [shelf.find(offset) for offset in (3, 4, 5, 8, 9, 10)] == [
        None,
        pages[2],
        pages[2],
        pages[4],
        pages[4],
        None,
    ]
    assert shelf.size_bytes == 3 * size


def test_a_large_page_is_there_beside_what_was_read_ahead() -> None:
    large, ahead = (Page(at, at + 1, [body_record(at, "k")]) for at in (0, 1))
    shelf = Shelf(1)
    shelf.put(large)
    shelf.put(ahead)
    assert (shelf.find(0), shelf.find(1)) == (large, ahead)
    shelf.put(Page(2, 3, [body_record(2, "k")]))
    assert shelf.find(0) is None


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(2, 8))
def test_a_page_is_found_by_all_its_offsets_whenever_it_came(
    puts: list[int], room: int
) -> None:
    pages = [
        Page(start, start + 3, [Record(start, 0, record("s"))])
        for start in range(0, 93, 3)
    ]
    shelf, kept = Shelf(room * pages[0].records[0].message.size_bytes), list[Page]()
    for index in puts:
        page = pages[index]
        shelf.put(page)
        kept = [*(each for each in kept if each is not page), page][-room:]
    for offset in range(-1, 94):
        known = [each for each in kept if each.start <= offset < each.end]
        assert shelf.find(offset) is (known[0] if known else None)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9))), st.integers(1, 6))
def test_producers_know_the_last_number_of_the_last_ones(
    records: list[tuple[int, int]], maximum: int
) -> None:
    producers = Producers(maximum, {})
    last: dict[str, int] = {}
    for number, sequence in records:
        name = str(number)
        known = last.pop(name, None)
        assert producers.came_before((name, sequence)) is (
            known is not None and sequence <= known
        )
        if known is not None:
            last[name] = known
        if known is None or sequence > known:
            producers.note((name, sequence))
            last[name] = sequence
            while len(last) > maximum:
                del last[next(iter(last))]
    assert len(producers) == len(last)


@given(
    st.lists(st.integers(0, 20), unique=True),
    st.lists(st.sampled_from("abcdef"), min_size=1, unique=True),
    st.dictionaries(st.integers(0, 20), st.sampled_from("abcdefgh")),
)
def test_shares_are_equal_and_few_parts_move(
    parts: list[int], members: list[str], owners: dict[int, str]
) -> None:
    shared = share(parts, members, owners)
    assert shared.keys() == {*parts}
    counts = [[*shared.values()].count(member) for member in members]
    assert max(counts) - min(counts) <= 1
    # Who gives one away has no fewer than any other afterwards.
    for part in parts:
        owner = owners.get(part)
        if owner in members and shared[part] != owner:
            assert [*shared.values()].count(str(owner)) >= len(parts) // len(members)
    again = share(parts, members, shared)
    assert again == shared


def test_a_plain_header_claims_nothing() -> None:
    assert read_claims(record(x_other=1).header) is None


# Groups, restarts, damage


def test_a_restart_keeps_offsets_producers_and_groups() -> None:
    site = Site()
    site.declare()
    site.publish(record(x_producer_id="p", x_producer_seq=5))
    publish(site, 4)
    one = site.listen(tag="t", offset="first")
    site.ack(one, *one.given[:2])
    two = site.listen(group="g", offset="first")
    site.ack(two, two.given[0], two.given[2])
    site.leave(one)
    site.leave(two)
    site.start()
    site.publish(record(x_producer_id="p", x_producer_seq=5))
    assert site.stream().next_offset == 5
    assert offsets(site.listen(tag="t")) == [2, 3, 4]
    assert offsets(site.listen(group="g")) == [1, 2, 3, 4]


def test_a_crash_loses_only_what_was_not_safe() -> None:
    site = Site()
    site.declare()
    publish(site, 3)
    site.publish(record(body=b"unsafe"))
    site.start()
    assert site.stream().next_offset == 3
    assert offsets(site.listen(offset="first")) == [0, 1, 2]


def test_a_super_stream_survives() -> None:
    site = Site()
    declare_super(site, 2)
    for number in (0, 1):
        message = record("k", b"", "sup", x_partition=number)
        site.publish(message)
    site.settle()
    site.start()
    listener = site.listen("sup", offset="first")
    assert {(each.stream, each.offset) for each in listener.given} == {
        ("sup-0", 0),
        ("sup-1", 0),
    }


def test_time_never_runs_backwards_in_a_stream() -> None:
    site = Site()
    site.now = 100.0
    site.settle()
    site.declare()
    publish(site, 1)
    site.now = 50.0
    site.start()
    publish(site, 1)
    first, second = (each.entry for each in site.listen(offset="first").given)
    records = site.store.logs[1]._segments[0].records
    assert [each.timestamp_ms for each in records] == [100_000, 100_000]
    assert first.sequence < second.sequence


def test_who_reads_a_damaged_part_is_cancelled_and_can_go_on_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site()
    stream = site.declare()
    publish(site, 10)
    right_want, right_page = MemoryLog.want, MemoryLog._page

    def want(self: MemoryLog, offset: int) -> None:
        if 3 <= offset < 6:
            stream.on_unreadable(3, 6, "bad sum")
        else:
            right_want(self, offset)

    def page(self: MemoryLog, offset: int) -> Page:
        found = right_page(self, offset)
        return found if offset > 3 else Page(offset, 3, found.records[: 3 - offset])

    monkeypatch.setattr(MemoryLog, "want", want)
    monkeypatch.setattr(MemoryLog, "_page", page)
    listener = site.listen(tag="t", prefetch=1, offset=2)
    assert offsets(listener) == [2]
    site.ack(listener, *listener.given)
    assert listener.is_cancelled
    (notice, *_) = (
        each for each in site.broker.take_notices() if "unreadable" in each.event
    )
    assert notice.fields == {
        "vhost": "/",
        "stream": "s",
        "first": 3,
        "last": 5,
        "reason": "bad sum",
    }
    assert dict(stream.offsets) == {"t": 3}
    assert offsets(site.listen(tag="t", offset=6)) == [6, 7, 8, 9]


def test_a_policy_is_a_limit_for_streams() -> None:
    site = Site()
    stream = site.declare()
    policy = Policy.parse(
        "p", "", {"max-age": "1D", "max-length": 7}, apply_to="streams"
    )
    site.broker.vhosts["/"].policies.set(policy)
    site.settle()
    assert stream.rules.max_age_ms == DAY_MS
    assert stream.rules.max_length == 7


def test_nobody_is_held_up_by_a_reader_with_much_to_read() -> None:
    site = Site()
    site.declare()
    publish(site, 6000)
    channel = site.channel()
    greedy = site.listen(channel=channel, prefetch=10)
    greedy.prefetch = 100_000
    before = site.broker.work
    one = site.listen(offset="first", prefetch=100_000)
    assert len(one.given) == 6000
    two = site.listen(offset="first", prefetch=1)
    two.prefetch = 100_000
    two.queue.dispatch()
    site.broker.on_deadline(site.now)
    assert site.broker.work - before < 6000 + 2500
    assert len(two.given) < 2500


def test_an_exclusive_consumer_is_alone() -> None:
    site = Site()
    site.declare()
    first = site.listen()
    first.queue.is_exclusive = True  # type: ignore[attr-defined]
    with pytest.raises(AccessRefused, match="in exclusive use"):
        site.listen()


def test_a_delayed_record_goes_to_the_partition_it_names() -> None:
    site = Site()
    declare_super(site, 3)
    for number in range(3):
        message: Message = record("k", b"", "sup", x_partition=number, x_delay=1000)
        message.header.persistent = False
        site.publish(message)
    site.settle(1.0)
    site.settle()
    assert [site.stream(f"sup-{number}").next_offset for number in range(3)] == [1] * 3


def test_many_members_join_and_leave_and_no_offset_is_left_out() -> None:
    site = Site(Limits(handover_ms=1000))
    declare_super(site, 4)
    seen: set[tuple[str, int]] = set()
    members: list[Listener] = []

    def ack_all() -> bool:
        """Settle what is out; return whether there was anything."""
        out = [
            (member, each)
            for member in members
            for each in member.given
            if each.tag in member.channel.unacked.unpack()
        ]
        for member, each in out:
            seen.add((each.stream, each.offset))
            site.ack(member, each)
        return bool(out)

    for turn in range(12):
        for number in range(4):
            site.publish(record("k", b"", "sup", x_partition=number))
        site.settle()
        if turn % 3 == 2:
            site.leave(members.pop(0))
        members.append(site.listen("sup", group="g", offset="first", prefetch=2))
        ack_all()
    while ack_all():
        pass
    assert seen == {(f"sup-{n}", offset) for n in range(4) for offset in range(12)}


@pytest.mark.parametrize("prefetch", [1, AHEAD_MIN])
def test_the_page_that_follows_is_there_when_a_quick_reader_comes_to_it(
    prefetch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a reader that is alone, and has had to wait for each page so far.

    One that looks at a record here and there is not held up by pages it never reads.
    """
    site = Site()
    site.declare()
    publish(site, 3 * PAGE_RECORDS)
    right_want, wanted = MemoryLog.want, []

    def want(self: MemoryLog, offset: int) -> None:
        wanted.append(offset)
        right_want(self, offset)

    monkeypatch.setattr(MemoryLog, "want", want)
    listener = site.listen(offset="first", prefetch=prefetch)
    pages = [0, PAGE_RECORDS, 2 * PAGE_RECORDS]
    ahead = int(prefetch >= AHEAD_MIN)
    assert (offsets(listener), wanted) == ([*range(prefetch)], pages[: 1 + ahead])
    for number in range(PAGE_RECORDS):
        site.ack(listener, listener.given[number])
    assert listener.given[-1].offset == PAGE_RECORDS + prefetch - 1
    assert wanted == pages[: 2 + ahead]


def test_what_was_made_of_a_page_is_kept_for_the_newest_pages_only() -> None:
    pages = [Page(at, at + 1, [body_record(at, "k")]) for at in range(12)]
    shelf = Shelf(10 * pages[0].size_bytes)
    for page in pages:
        shelf.put(page)
        page.encoded["frames"] = page
    kept = [page.start for page in pages if page.encoded]
    assert kept == list(range(12 - ENCODED_MAX, 12))
    pages[2].encoded["frames"] = pages[2]  # by somebody who is late
    shelf.put(Page(12, 13, [body_record(12, "k")]))
    assert not pages[2].encoded


def test_a_gap_that_grows_before_it_is_told_is_told_whole() -> None:
    site = Site(Limits(stream_tail_max_bytes=1))
    stream = site.declare(x_max_length=4, x_stream_max_segment_size_bytes=20)
    listener = site.listen(offset="first", prefetch=1)
    for _ in range(10):
        site.publish(record(body=bytes(20)))
        site.settle()
    first = stream.log.first
    assert 1 < first < 9
    listener.channel.unacked.settle(listener.given[0].tag, multiple=False)
    stream.log.retain(Retention(max_records=1), 0)  # before there is a page of `first`
    assert stream.log.first > first
    site.settle()
    given = listener.given[1]
    assert (given.offset, given.marks["x-stream-gap"]) == (9, 8)


def test_an_offset_of_records_that_a_crash_has_taken_does_not_lead() -> None:
    site = Site()
    stream = site.declare()
    site.publish(record())
    site.settle()
    for _ in range(3):
        site.publish(record())  # they find no room, and the definition does
    stream.offsets.put(stream, "name", 4)
    for _ in range(2):
        site.start()
        assert dict(site.stream().offsets) == {"name": 1}
        site.publish(record())
        site.settle()


def test_a_stream_is_deleted_with_a_group_that_reads_it() -> None:
    site = Site()
    site.declare()
    members = [site.listen(tag=f"m{each}", group="g") for each in range(3)]
    site.session.delete_queue("s", if_unused=False, if_empty=False)
    assert all(each.is_cancelled for each in members)


def test_a_new_name_is_stored_before_anything_comes() -> None:
    site = Site()
    site.declare()
    assert not site.listen(tag="t").given
    publish(site, 2)
    site.start()
    assert offsets(site.listen(tag="t")) == [0, 1]


@pytest.mark.parametrize("more", [{"group": "g", "offset": "next"}, {"tag": "t"}])
def test_a_partition_that_is_added_meanwhile_is_read_from_its_beginning(
    more: dict[str, str],
) -> None:
    site = Site()
    declare_super(site, 1)
    site.leave(site.listen("sup", **more))
    declare_super(site, 2)
    for number in (0, 1):
        site.publish(record("k", b"", "sup", x_partition=number))
    site.settle()
    listener = site.listen("sup", **more)
    assert {each.stream for each in listener.given} == {"sup-0", "sup-1"}


def test_a_group_that_looks_for_a_time_does_not_begin_before_it() -> None:
    site = Site()
    declare_super(site, 2)
    for number in (0, 1):
        site.publish(record("k", b"", "sup", x_partition=number))
    site.settle()
    site.settle(10)
    members = [
        site.listen("sup", group="g", offset="5s", settles=False) for _ in range(2)
    ]
    site.settle()
    assert [each.given for each in members] == [[], []]


def test_single_active_means_all_groups() -> None:
    site = Site()
    site.declare(x_single_active_consumer=True)
    publish(site, 2)
    one, two = (site.listen(group=each, offset="first") for each in ("g", "h"))
    assert (offsets(one), offsets(two)) == ([0, 1], [])


def test_what_nobody_would_learn_of_is_not_refused() -> None:
    site = Site()
    stream = site.declare()
    site.session.declare_queue(
        "q",
        durable=False,
        exclusive=False,
        auto_delete=False,
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "s"},
    )
    for claims in (
        {"x_producer_id": "p", "x_producer_seq": 1},
        {"x_expected_offset": 7},
        {"x_stream_filter_value": 1},
    ):
        for _ in range(2):
            site.publish(record("q", b"", "", **claims))
    queue = site.broker.vhosts["/"].queues["q"]
    while (entry := queue.take_one()) is not None:
        entry.queue.reject(entry)
    site.settle()
    assert stream.ready_count == 6


def test_a_policy_changes_the_size_of_segments() -> None:
    site = Site()
    stream = site.declare()
    publish(site, 50)
    assert stream.log.first == 0
    small = {"max-length": 10, "stream-max-segment-size-bytes": 100}
    policy = Policy.parse("p", "", small, apply_to="streams")
    site.broker.vhosts["/"].policies.set(policy)
    site.settle()
    publish(site, 50)
    assert stream.ready_count < 30

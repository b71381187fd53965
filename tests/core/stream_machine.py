"""A machine that does anything to streams, and a model that knows what must come of it.

The model is what was appended, by offset, and who has settled what. Every delivery is
held against it: no offset is left out but for a reason, none has another body than it
had, none is stored that was not settled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.core.stream_site import Given, Listener, Site, record
from warren_broker.core.limits import Limits
from warren_broker.core.outcome import ACCEPTED, REFUSED

if TYPE_CHECKING:
    from warren_broker.core.message import Message

LIMITS: Final = Limits(handover_ms=5000)
STREAMS: Final = ("s", "sup-0", "sup-1", "sup-2")
KEYS: Final = ("a", "b", "c")
FILTERS: Final = (None, "x", "y")


@dataclass
class Kept:
    """A record that was appended."""

    body: bytes
    key: str
    choice: str | None


@dataclass
class Log:
    """What the model knows of a stream."""

    records: dict[int, Kept] = field(default_factory=dict)
    next_offset: int = 0
    producers: dict[str, int] = field(default_factory=dict)
    is_compacted: bool = False
    first: int = 0
    settled: dict[str, set[int]] = field(default_factory=dict)  # by reference
    begun: dict[str, int] = field(default_factory=dict)

    def may_be_missing(self, offset: int) -> bool:
        """Whether compaction may have let go of it."""
        kept = self.records[offset]
        newer = any(
            each.key == kept.key and other > offset
            for other, each in self.records.items()
        )
        return self.is_compacted and (newer or not kept.body)


@dataclass
class Place:
    """Where one listener is in one stream."""

    last: int | None = None
    returned: set[int] = field(default_factory=set)
    out: dict[int, Given] = field(default_factory=dict)


@dataclass
class Known:
    """A listener, and what it was given of each stream."""

    listener: Listener
    choice: str | None
    reference: str | None
    group: str | None
    places: dict[str, Place] = field(default_factory=dict)
    seen: int = 0
    settled: set[str] = field(default_factory=set)  # of which it has settled any

    def reads(self, name: str) -> bool:
        streams = self.listener.queue.streams  # type: ignore[attr-defined]
        return any(each.name == name for each in streams)


class StreamMachine(RuleBasedStateMachine):
    """One stream, and one super stream that groups share."""

    compacts = (False, True)
    segments = (60, 300, 2000)
    lengths = (None, 5, 20)

    @initialize(pick=st.integers(0, 17))
    def begin(self, pick: int) -> None:
        segment = self.segments[pick % len(self.segments)]
        length = self.lengths[pick // 3 % len(self.lengths)]
        compact = self.compacts[pick // 9 % len(self.compacts)]
        self.site = Site(LIMITS)
        arguments: dict[str, object] = {
            "x-stream-max-segment-size-bytes": segment,
            "x-compact": compact,
        }
        if length is not None:
            arguments["x-max-length"] = length
        self.length = length
        self.compact = compact
        self.site.declare(**arguments)
        self.site.session.declare_exchange(
            "sup",
            "x-super-stream",
            durable=True,
            auto_delete=False,
            internal=False,
            arguments={"partitions": 3, **arguments},
        )
        self.logs = {name: Log(is_compacted=compact) for name in STREAMS}
        self.known: list[Known] = []
        self.number = 0

    # Appending

    @rule(
        name=st.sampled_from(("s", "s", *STREAMS)),
        key=st.sampled_from(KEYS),
        choice=st.sampled_from(FILTERS),
        claim=st.sampled_from(["", "", "", "producer", "expected", "tombstone"]),
        shift=st.integers(-1, 1),
        count=st.integers(1, 9),
    )
    def append(
        self,
        name: str,
        key: str,
        choice: str | None,
        claim: str,
        shift: int,
        count: int,
    ) -> None:
        log = self.logs[name]
        for _ in range(count):
            self.number += 1
            body = b"" if claim == "tombstone" else b"%d" % self.number
            headers: dict[str, object] = {"x_compact_key": key}
            if choice is not None:
                headers["x_stream_filter_value"] = choice
            is_new, outcome = True, ACCEPTED
            if claim == "producer":
                sequence = max(1, log.producers.get(key, 0) + shift)
                headers.update(x_producer_id=key, x_producer_seq=sequence)
                is_new = sequence > log.producers.get(key, 0)
                log.producers[key] = max(sequence, log.producers.get(key, 0))
            elif claim == "expected":
                headers["x_expected_offset"] = max(0, log.next_offset + shift)
                is_new = headers["x_expected_offset"] == log.next_offset
                outcome = ACCEPTED if is_new else REFUSED
            assert self.site.publish(message_to(name, body, headers)) == outcome
            if is_new:
                log.records[log.next_offset] = Kept(body, key, choice)
                log.next_offset += 1
            self.look()
        self.site.settle()
        self.look()

    # Reading

    @rule(
        name=st.sampled_from(["s", "s", "sup"]),
        offset=st.sampled_from([None, "first", "next", "last", 3, -2]),
        prefetch=st.integers(1, 8),
        reference=st.sampled_from(["", "r1", "r2"]),
        choice=st.sampled_from(FILTERS),
        group=st.sampled_from([None, None, None, "g", "h"]),
    )
    def consume(
        self,
        name: str,
        offset: object,
        prefetch: int,
        reference: str,
        choice: str | None,
        group: str | None,
    ) -> None:
        if len(self.known) >= 6:
            return
        if reference and any(each.reference == reference for each in self.known):
            return  # two under one name store what they like
        arguments: dict[str, object] = {}
        if offset is not None:
            arguments["offset"] = offset
        if choice is not None and group is None:
            arguments["filter"] = choice
        if group is not None:
            arguments["group"] = group
            reference, choice = "", None
            # A group begins once; who joins goes on where it is.
            arguments["offset"] = "first"
        before = {each: dict(self.site.stream(each).offsets) for each in STREAMS}
        listener = self.site.listen(name, reference, prefetch=prefetch, **arguments)
        known = Known(listener, choice, group or reference or None, group)
        self.known.append(known)
        self.check_start(known, name, arguments, before)
        self.look()

    def check_start(
        self,
        known: Known,
        name: str,
        arguments: dict[str, object],
        before: dict[str, dict[str, int]],
    ) -> None:
        """Note where it begins, which the model says."""
        names = [name] if name == "s" else list(STREAMS[1:])
        for each in names:
            log, stream = self.logs[each], self.site.stream(each)
            stored = before[each].get(known.reference or "")
            first, end = stream.log.first, log.next_offset
            starts = {
                None: end if stored is None else stored,
                "first": first,
                "next": end,
                "last": max(first, end - 1),
                3: min(3, end),
                -2: max(first, end - 2),
            }
            start = starts[arguments.get("offset")]
            if known.group is None:
                known.places[each] = Place(last=start - 1)
                if known.reference is not None:
                    # What was stored before holds until something else is.
                    log.settled[known.reference] = set(range(stored or 0))
                    log.begun[known.reference] = start
            elif known.reference not in log.begun:
                assert known.reference is not None
                log.begun[known.reference] = stream.log.first
                log.settled[known.reference] = set()

    @rule(pick=st.integers(0, 99), which=st.integers(0, 99), count=st.integers(1, 9))
    def ack(self, pick: int, which: int, count: int) -> None:
        for _ in range(count):
            found = self.held(pick, which)
            if found is None:
                return
            known, given = found
            self.settled(known, given)
            self.site.ack(known.listener, given)
            self.look()

    @rule(
        pick=st.integers(0, 99),
        which=st.integers(0, 99),
        count=st.integers(2, 9),
        multiple=st.booleans(),
    )
    def ack_many(self, pick: int, which: int, count: int, *, multiple: bool) -> None:
        """Ack those up to one of them, or some that follow each other."""
        found = self.held(pick, which)
        if found is None:
            return
        known, last = found
        places = known.places.values()
        out = [each for place in places for each in place.out.values()]
        out = [each for each in out if each.tag <= last.tag]
        if not multiple:
            out = [each for each in out if each.tag > last.tag - count]
        for given in out:
            self.settled(known, given)
        if multiple:
            self.site.ack_until(known.listener, last.tag)
        else:
            self.site.ack_run(known.listener, sorted(each.tag for each in out))
        self.look()

    @rule(pick=st.integers(0, 99), which=st.integers(0, 99), requeue=st.booleans())
    def nack(self, pick: int, which: int, *, requeue: bool) -> None:
        found = self.held(pick, which)
        if found is None:
            return
        known, given = found
        place = known.places[given.stream]
        if requeue:
            del place.out[given.offset]
            if given.entry.queue.is_open:  # type: ignore[attr-defined]
                place.returned.add(given.offset)
        else:
            self.settled(known, given)
        self.site.nack(known.listener, given, requeue=requeue)
        self.look()

    @rule(pick=st.integers(0, 99))
    def leave(self, pick: int) -> None:
        if self.known:
            known = self.known[pick % len(self.known)]
            expected = self.progress(known)
            self.site.leave(known.listener)
            self.look()
            self.check_stored()
            self.known.remove(known)
            for name, offset in expected.items():
                stored = dict(self.site.stream(name).offsets).get(known.reference or "")
                if name in known.settled and known.group is None and known.reference:
                    assert stored == offset, "all that is settled is stored at the end"

    @rule(seconds=st.sampled_from([1.0, 6.0, 61.0, 7200.0, 90_000.0]))
    def wait(self, seconds: float) -> None:
        self.site.settle(seconds)
        self.look()

    @rule(is_crash=st.booleans())
    def restart(self, *, is_crash: bool) -> None:
        if not is_crash:
            for known in self.known:
                self.site.leave(known.listener)
        self.look()
        self.check_stored()
        stored = {name: dict(self.site.stream(name).offsets) for name in STREAMS}
        self.known.clear()
        self.site.start()
        for name, log in self.logs.items():
            stream = self.site.stream(name)
            assert dict(stream.offsets) == stored[name], "offsets survive"
            assert stream.next_offset == log.next_offset == stream.log.end
            for reference, offset in stored[name].items():
                # What was settled after it was stored is forgotten, and comes again.
                log.settled[reference] = {
                    each for each in log.settled.get(reference, ()) if each < offset
                }

    # What must be so

    def held(self, pick: int, which: int) -> tuple[Known, Given] | None:
        if not self.known:
            return None
        known = self.known[pick % len(self.known)]
        out = [each for place in known.places.values() for each in place.out.values()]
        return (known, out[which % len(out)]) if out else None

    def settled(self, known: Known, given: Given) -> None:
        del known.places[given.stream].out[given.offset]
        known.settled.add(given.stream)
        is_current = given.entry.queue.reference is not None  # type: ignore[attr-defined]
        if known.reference is not None and (is_current or known.group is None):
            self.logs[given.stream].settled[known.reference].add(given.offset)

    def look(self) -> None:
        """Hold all that was delivered against the model."""
        for known in self.known:
            given = known.listener.given
            for each in given[known.seen :]:
                self.check(known, each)
            known.seen = len(given)

    def check(self, known: Known, given: Given) -> None:
        name, offset = given.stream, given.offset
        log, stream = self.logs[name], self.site.stream(name)
        kept = log.records[offset]
        assert given.body == kept.body, "an offset has one body for ever"
        assert offset < stream.log.end, "only what is safe is seen"
        assert known.choice in {None, kept.choice}, "only what was chosen comes"
        assert ("x-stream-partition" in given.marks) is (name != "s")
        place = known.places.setdefault(name, Place())
        assert offset not in place.out, "nothing is delivered twice at a time"
        if offset in place.returned:
            assert given.redelivered
            assert offset == min(place.returned), "the oldest comes first"
            place.returned.remove(offset)
        else:
            assert not place.returned, "what was returned comes before what follows"
            self.check_next(known, place, given)
        place.out[offset] = given

    def check_next(self, known: Known, place: Place, given: Given) -> None:
        """Nothing was left out but for a reason."""
        log, offset = self.logs[given.stream], given.offset
        first = self.site.stream(given.stream).log.first
        is_moved = known.group is not None and place.last != offset - 1
        if is_moved:  # another member may have had what comes before
            assert known.reference is not None
            done = log.settled[known.reference]
            skipped = [
                each
                for each in range(log.begun[known.reference], offset)
                if each not in done and each not in place.out
            ]
        else:
            assert place.last is not None
            assert offset > place.last, "new records come in their order"
            skipped = list(range(place.last + 1, offset))
        lost = [each for each in skipped if not self.is_unwanted(known, log, each)]
        if "x-stream-gap" in given.marks or is_moved:
            lost = [each for each in lost if each >= first]
        assert not lost, "an offset was left out"
        place.last = offset

    def is_unwanted(self, known: Known, log: Log, offset: int) -> bool:
        kept = log.records[offset]
        is_chosen = known.choice is None or kept.choice == known.choice
        return not is_chosen or log.may_be_missing(offset)

    def progress(self, known: Known) -> dict[str, int]:
        """How far each of its readers has come, as the broker itself sees it."""
        readers = known.listener.queue.readers  # type: ignore[attr-defined]
        return {stream.name: reader.settled_until for stream, reader in readers.items()}

    @invariant()
    def check_stored(self) -> None:
        """A stored offset is never ahead of what was settled."""
        for name in STREAMS:
            log = self.logs[name]
            for reference, offset in self.site.stream(name).offsets:
                readers = [
                    each
                    for each in self.known
                    if each.reference == reference and each.reads(name)
                ]
                if not readers or any(each.choice for each in readers):
                    continue  # what was not chosen is settled as well
                for each in range(log.begun.get(reference, 0), offset):
                    is_settled = each in log.settled.get(reference, ())
                    assert (
                        is_settled
                        or log.may_be_missing(each)
                        or each < self.site.stream(name).log.first
                    ), "stored ahead of what was settled"

    @invariant()
    def check_logs(self) -> None:
        """What is declared is kept, by whole segments, and no less than asked for."""
        for name in STREAMS:
            log, stream = self.logs[name], self.site.stream(name)
            assert stream.next_offset == log.next_offset == stream.log.end
            assert stream.log.first >= log.first, "what is gone stays gone"
            log.first = stream.log.first
            if self.length is None:
                assert stream.log.first == 0
            if not self.compact:
                assert stream.log.count == stream.log.end - stream.log.first
            left = [offset for offset in log.records if offset >= stream.log.first]
            newest = {log.records[each].key: each for each in left}
            assert stream.log.count >= sum(
                bool(log.records[n].body) for n in newest.values()
            )

    @invariant()
    def check_nobody_waits(self) -> None:
        """Who has room has read to the end."""
        for known in self.known:
            if not known.listener.has_room():
                continue
            for reader in known.listener.queue.readers.values():  # type: ignore[attr-defined]
                if reader.is_open:
                    assert reader.position >= reader.stream.log.end, "woken too late"
                    assert not known.places.get(reader.stream.name, Place()).returned

    @invariant()
    def check_groups(self) -> None:
        """Each partition has one reader of a group, and members have equal shares."""
        for name in ("g", "h"):
            members = [each for each in self.known if each.group == name]
            on_super = [m for m in members if m.listener.queue.is_super]  # type: ignore[attr-defined]
            for some, streams in ((on_super, STREAMS[1:]), (members, ("s",))):
                fitting = [
                    each
                    for each in some
                    if each.listener.queue.streams[0].name in streams  # type: ignore[attr-defined]
                ]
                if fitting:
                    self.check_shares(fitting, streams)

    def check_shares(self, members: list[Known], streams: tuple[str, ...]) -> None:
        shares = []
        active: dict[str, int] = {}
        is_moving = False
        for member in members:
            readers = member.listener.queue.readers.values()  # type: ignore[attr-defined]
            shares.append(sum(reader.is_open for reader in readers))
            is_moving |= any(not reader.is_open for reader in readers)
            for reader in readers:
                if reader.is_open:
                    active[reader.stream.name] = active.get(reader.stream.name, 0) + 1
        assert all(count == 1 for count in active.values()), "two read one partition"
        if not is_moving:
            assert sum(shares) == len(streams), "a partition is read by nobody"
            assert max(shares) - min(shares) <= 1, "shares are not equal"


def message_to(name: str, body: bytes, headers: dict[str, object]) -> Message:
    """A message to a stream, or to a partition by its number."""
    if name == "s":
        return record("s", body, **headers)
    number = int(name.removeprefix("sup-"))
    return record("any", body, "sup", x_partition=number, **headers)

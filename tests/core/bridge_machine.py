"""A machine that does anything to a queue that a stream feeds, and an obvious model.

The model is what was appended, what was settled, and what was ever handed out. Every
delivery is held against it, and so is what is stored; in the end all must be settled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.core.stream_site import Site, record
from tests.core.support import Channel
from warren_broker.core.bridge import SourcedQueue
from warren_broker.core.limits import Limits

if TYPE_CHECKING:
    from warren_broker.core.queue import Entry

WINDOW: Final = 4
KEY: Final = ("queue-source", "/", "work")


class BridgeMachine(RuleBasedStateMachine):  # type: ignore[misc]
    """One stream, one queue, one channel with a consumer, and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.site = Site(Limits(source_window_max=WINDOW))
        self.site.declare("s")
        self.appended = 0
        self.settled: set[int] = set()
        self.handed_out: set[int] = set()
        self.again_from = 0  # what was settled from here on may come again
        self.newest = -1  # in this life of the broker, but for redelivered ones
        self.enter()
        self.site.session.declare_queue(
            "work",
            durable=True,
            exclusive=False,
            auto_delete=False,
            arguments={"x-source-stream": "s", "x-dead-letter-exchange": "nowhere"},
        )
        self.consume(prefetch=2)

    def enter(self) -> None:
        self.channel = Channel(self.site.session)
        self.seen = 0
        self.newest = -1

    @property
    def queue(self) -> SourcedQueue:
        queue = self.site.broker.vhosts["/"].queues["work"]
        assert isinstance(queue, SourcedQueue)
        return queue

    @property
    def out(self) -> dict[int, Entry]:
        return dict(self.channel.unacked.entries)

    def look(self) -> None:
        """Hold what has come against the model."""
        self.site.settle()
        new, self.seen = self.channel.log[self.seen :], len(self.channel.log)
        for each in new:
            self.check(int(each.body), is_redelivered=each.redelivered)

    def check(self, offset: int, *, is_redelivered: bool) -> None:
        assert 0 <= offset < self.appended
        if offset in self.settled:
            assert offset >= self.again_from, "settled before, and stored"
            self.settled.discard(offset)
        if offset in self.handed_out:
            assert is_redelivered, "it was delivered before"
        if not is_redelivered:
            assert offset > self.newest, "out of order"
            self.newest = offset
        self.handed_out.add(offset)

    @rule(count=st.integers(1, 6))
    def append(self, count: int) -> None:
        for _ in range(count):
            self.site.publish(record(body=b"%d" % self.appended))
            self.appended += 1
        self.look()

    @rule(prefetch=st.integers(1, 6))
    def consume(self, prefetch: int) -> None:
        if not self.channel.consumers:
            self.channel.consume("work", prefetch=prefetch)
            self.look()

    @rule()
    def cancel(self) -> None:
        if self.channel.consumers:
            self.channel.cancel()

    @rule()
    def get(self) -> None:
        entry = self.channel.get("work")
        if entry is not None:
            assert entry.marks["x-stream-offset"] == int(entry.message.body)
            self.check(int(entry.message.body), is_redelivered=entry.redelivered)

    @rule(data=st.data(), how=st.sampled_from(["ack", "reject", "requeue"]))
    def answer(self, data: st.DataObject, how: str) -> None:
        out = self.out
        if not out:
            return
        tag = data.draw(st.sampled_from(sorted(out)))
        if how != "requeue":
            self.settled.add(out[tag].sequence)
        if how == "ack":
            self.channel.unacked.settle(tag, multiple=False)
        else:
            self.channel.unacked.refuse(tag, multiple=False, requeue=how == "requeue")
        self.look()

    @rule()
    def purge(self) -> None:
        self.settled |= {int(entry.message.body) for entry in self.queue.backlog}
        self.queue.purge()
        self.look()

    @rule(seconds=st.sampled_from([0.5, 1.0]))
    def wait(self, seconds: float) -> None:
        self.site.settle(seconds)
        self.look()

    @rule(is_clean=st.booleans())
    def restart(self, *, is_clean: bool) -> None:
        if is_clean:
            self.channel.close()
            self.site.settle()
        self.site.start(is_clean=is_clean)
        self.again_from = self.stored
        self.enter()
        self.consume(prefetch=3)

    @property
    def stored(self) -> int:
        offset = self.site.store.definitions[KEY]["offset"]
        assert isinstance(offset, int)
        return offset

    @invariant()
    def what_is_stored_is_settled(self) -> None:
        assert self.settled.issuperset(range(self.stored))

    @invariant()
    def no_more_is_held_than_there_is_room_for(self) -> None:
        queue = self.queue
        assert queue.ready_count + queue.unacked_count <= WINDOW

    def teardown(self) -> None:
        """Settle all: nothing is skipped."""
        self.channel.close()
        self.site.settle()
        self.enter()
        self.consume(prefetch=WINDOW)
        while out := self.out:
            for tag, entry in out.items():
                self.settled.add(entry.sequence)
                self.channel.unacked.settle(tag, multiple=False)
            self.look()
        assert self.settled == set(range(self.appended))
        self.site.settle(1.0)
        assert self.stored == self.appended

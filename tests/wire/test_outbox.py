"""warren.wire.outbox: against a model, for any writes and takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from warren.wire.outbox import CHUNK_LARGE, HIGH_WATER, LOW_WATER, Outbox

sizes = st.sampled_from([1, 2, 100, 5000, CHUNK_LARGE - 1, CHUNK_LARGE, 40_000])
limits = st.sampled_from([1, 150, CHUNK_LARGE - 1, CHUNK_LARGE, 50_000, 262_144])


class OutboxModel(RuleBasedStateMachine):
    """An outbox, and what a list of chunks and a count of wakes would do."""

    def __init__(self) -> None:
        super().__init__()
        self.dirty: list[Outbox] = []
        self.outbox = Outbox(self.dirty)
        self.waiting: list[bytes] = []
        self.wakes = 0
        self.written = 0

    @rule(size=sizes)
    def write(self, size: int) -> None:
        chunk = bytes((self.written % 251,)) * size
        self.written += 1
        self.outbox.write(chunk)
        if not self.outbox.closed:
            self.wakes += not self.waiting
            self.waiting.append(chunk)

    @rule(limit=limits)
    def take(self, limit: int) -> None:
        taken = self.outbox.take(limit)
        size = sum(map(len, taken))
        assert b"".join(taken) == b"".join(self.waiting)[:size]
        # Whole chunks; as many as the limit lets begin.
        gone: list[bytes] = []
        while self.waiting and sum(map(len, gone)) < limit:
            gone.append(self.waiting.pop(0))
        assert size == sum(map(len, gone))
        # The large ones by reference, the small ones between them joined.
        large = [chunk for chunk in gone if len(chunk) >= CHUNK_LARGE]
        passed = [chunk for chunk in taken if any(chunk is each for each in large)]
        assert len(passed) == len(large)
        assert len(taken) <= 2 * len(large) + 1
        assert all(taken)

    @rule()
    def nudge(self) -> None:
        self.outbox.nudge()
        self.wakes += 1

    @precondition(lambda self: not self.outbox.closed)
    @rule()
    def close(self) -> None:
        self.outbox.close()
        self.wakes += 1

    @invariant()
    def size_is_what_waits(self) -> None:
        assert self.outbox.size == sum(map(len, self.waiting))

    @invariant()
    def marks(self) -> None:
        assert self.outbox.is_congested == (self.outbox.size > HIGH_WATER)
        assert self.outbox.is_drained == (self.outbox.size <= LOW_WATER)

    @invariant()
    def dirty_when_there_is_something_new_to_do(self) -> None:
        assert self.dirty == [self.outbox] * self.wakes


TestOutbox = OutboxModel.TestCase


def test_nothing_to_take() -> None:
    assert Outbox([]).take(100) == []


def test_congestion() -> None:
    outbox = Outbox([])
    outbox.write(bytes(HIGH_WATER))
    assert not outbox.is_congested
    outbox.write(b"x")
    assert outbox.is_congested
    assert not outbox.is_drained
    outbox.take(HIGH_WATER)
    assert outbox.is_drained


def test_an_empty_chunk_is_nothing_to_send() -> None:
    outbox = Outbox([])
    outbox.write(b"")
    assert outbox.take(100) == []


def test_what_waits_at_close_can_still_be_taken() -> None:
    dirty: list[Outbox] = []
    outbox = Outbox(dirty)
    outbox.write(b"last words")
    outbox.close()
    outbox.write(b"too late")
    assert outbox.size == len(b"last words")
    assert outbox.take(100) == [b"last words"]
    outbox.write(b"too late")
    assert outbox.take(100) == []
    assert dirty == [outbox, outbox]


def test_close_twice_wakes_once() -> None:
    dirty: list[Outbox] = []
    outbox = Outbox(dirty)
    outbox.close()
    outbox.close()
    assert dirty == [outbox]


@given(st.lists(sizes, max_size=20))
def test_draining_gives_every_byte_in_order(written: list[int]) -> None:
    outbox = Outbox([])
    chunks = [bytes((number,)) * size for number, size in enumerate(written)]
    for chunk in chunks:
        outbox.write(chunk)
    drained = b""
    while taken := outbox.take(30_000):
        drained += b"".join(taken)
    assert drained == b"".join(chunks)
    assert outbox.size == 0

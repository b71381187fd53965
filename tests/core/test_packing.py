"""Packing: a long backlog gives back exactly what went in, whatever stays an object."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import Channel, at, bodies, declare, message, new_broker
from warren_broker.core.queue import backlog, packing

HEAD, RUN = 3, 4

steps = st.lists(
    st.tuples(
        st.sampled_from(["publish"] * 6 + ["get", "give back", "ack", "wait", "purge"]),
        st.integers(0, 20),
    ),
    max_size=120,
)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog is long from a few entries on."""
    monkeypatch.setattr(backlog, "HEAD_MAX", HEAD)
    monkeypatch.setattr(packing, "RUN", RUN)


@given(steps=steps, priorities=st.sampled_from([None, 2]))
def test_what_comes_out_is_what_went_in(
    steps: list[tuple[str, int]], priorities: int | None
) -> None:
    arguments = {} if priorities is None else {"x_max_priority": priorities}
    broker, session = new_broker()
    queue = declare(session, **arguments)
    channel = Channel(session)
    ready: dict[int, tuple[int, bool]] = {}  # number: level, whether it expires
    held: dict[int, tuple[int, bool]] = {}
    number = 0

    def line() -> list[bytes]:
        return [b"%d" % one for one in sorted(ready, key=lambda n: (-ready[n][0], n))]

    for step, chance in steps:
        if step == "publish":
            level, expires = chance % 3, chance % 5 == 0
            ready[number] = min(level, priorities or 0), expires
            lifetime = 100 if expires else None
            body = b"%d" % number
            session.publish(message(body=body, priority=level, expiration_ms=lifetime))
            number += 1
        elif step == "get" and ready:
            entry = channel.get()
            assert entry is not None
            assert entry.message.body == line()[0]
            held[channel.unacked.tag] = ready.pop(int(entry.message.body))
        elif step in {"give back", "ack"} and held:
            tag = list(held)[chance % len(held)]
            entry = channel.unacked.entries[tag]
            state = held.pop(tag)
            if step == "ack":
                channel.unacked.settle(tag, multiple=False)
                continue
            channel.unacked.refuse(tag, multiple=False, requeue=True, failed=True)
            if entry.expires_at is None or entry.expires_at > broker.now:
                ready[int(entry.message.body)] = state
        elif step == "wait":
            at(broker, broker.now + 1.0)
            ready = {one: state for one, state in ready.items() if not state[1]}
        elif step == "purge" and not chance:
            assert queue.purge() == len(ready)
            ready.clear()
        assert bodies(queue) == line()
        assert queue.backlog.count == len(ready)


def test_what_is_packed_is_no_object_any_more() -> None:
    _, session = new_broker()
    queue = declare(session)
    kept = [message(body=b"%d" % number) for number in range(HEAD + 2 * RUN + 1)]
    objects = [weakref.ref(one.header) for one in kept]
    for one in kept:
        one.header.repeats = False
        session.publish(one)
    del kept, one
    alive = [reference() is not None for reference in objects]
    assert alive == [True] * HEAD + [False] * (2 * RUN) + [True]
    assert queue.backlog.count == HEAD + 2 * RUN + 1


def test_what_expires_behind_the_head_is_let_go() -> None:
    """Nobody reads the queue: what is not packed must not lie there for ever."""
    broker, session = new_broker()
    queue = declare(session)
    for number in range(HEAD + RUN):
        session.publish(message(body=b"%d" % number))
    alive: weakref.WeakSet[object] = weakref.WeakSet()
    for number in range(1000):
        short = message(body=b"short", expiration_ms=1)
        alive.add(short.header)
        session.publish(short)
        if number % 100 == 50:
            session.publish(message(body=b"long %d" % number))
        at(broker, number / 100)
    del short
    at(broker, 100.0)
    left = [b"%d" % number for number in range(HEAD + RUN)]
    left += [b"long %d" % number for number in range(50, 1000, 100)]
    assert bodies(queue) == left
    assert len(alive) < 300
    channel = Channel(session)
    channel.consume()
    assert channel.bodies == left


def test_a_deleted_queue_with_a_packed_end_leaves_no_cycle() -> None:
    _, session = new_broker()
    gc.collect()
    gc.disable()
    try:
        declare(session)
        for number in range(50):
            session.publish(message(body=b"%d" % number))
        session.delete_queue("q", if_unused=False, if_empty=False)
        assert gc.collect() == 0
    finally:
        gc.enable()

"""Operations: both readers say the same, of any row of them and any part of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated_disk import SimulatedDisk
from tests.storage.support import reopen
from warren_broker.storage.journal import Journal
from warren_broker.storage.ops import (
    DEFINE,
    SEQUENCE_MAX,
    Define,
    Message,
    OpsError,
    Settled,
    scan_ops,
)
from warren_broker.storage.replay import Replay

small = st.binary(max_size=20)
queues = st.integers(0, 2**32 - 1)
sequences = st.integers(0, SEQUENCE_MAX)
expiries = st.integers(0, 2**64 - 1)
messages = st.tuples(
    st.just("message"), queues, sequences, expiries, small, small, small
)
copies = st.tuples(st.just("copy"), queues, sequences, expiries)
ranges = st.tuples(st.just("range"), queues, sequences, sequences)
defines = st.tuples(st.just("define"), small)
rows = st.lists(messages | copies | ranges | defines, max_size=8)


def body_of(row: list[tuple[object, ...]]) -> tuple[bytes, list[object]]:
    """The body a journal makes of it, and what `scan_ops` should say."""
    disk = SimulatedDisk()
    journal = Journal(reopen(disk).start)
    expected: list[object] = []
    last: tuple[bytes, ...] | None = None
    for kind, *fields in row:
        if kind == "message":
            position = journal.add_message(*fields)  # type: ignore[arg-type]
            last = tuple(fields[3:])  # type: ignore[arg-type]
            expected.append(Message(_offset(position), *fields))  # type: ignore[arg-type]
        elif kind == "copy" and last is not None:
            position = journal.add_copy(*fields)  # type: ignore[arg-type]
            expected.append(Message(_offset(position), *fields, *last))  # type: ignore[arg-type]
        elif kind == "range":
            journal.add_range(*fields, ())  # type: ignore[arg-type]
            expected.append(Settled(*fields))  # type: ignore[arg-type]
        elif kind == "define":
            journal.add_definition(*fields)  # type: ignore[arg-type]
            expected.append(Define(*fields))  # type: ignore[arg-type]
    batch = journal.take_batch()
    return (b"".join(batch.chunks) if batch else b""), expected


def _offset(position: int) -> int:
    """In the body of the first record of a segment."""
    assert position >> 32 == 1
    return (position & 0xFFFF_FFFF) - 64 - 32


@given(rows)
def test_round_trip(row: list[tuple[object, ...]]) -> None:
    body, expected = body_of(row)
    found = list(scan_ops(body))
    assert [op for _, op in found] == expected
    assert b"".join(raw for raw, _ in found) == body


@given(rows)
def test_replay_says_what_the_plain_reader_says(row: list[tuple[object, ...]]) -> None:
    body, expected = body_of(row)
    replay = Replay(None)
    replay.apply(1, 1000, body)
    live: dict[tuple[int, int], Message] = {}
    for op in expected:
        if isinstance(op, Message):
            live[op.queue, op.sequence] = op
        elif isinstance(op, Settled):
            for key in [k for k in live if k[0] == op.queue]:
                if op.first <= key[1] <= op.last:
                    del live[key]
    found = {
        (queue, each.sequence): each
        for queue, stored in replay.take_messages().items()
        for each in stored
    }
    assert found.keys() == live.keys()
    for key, stored in found.items():
        op = live[key]
        assert stored == (op.sequence, *op[3:], 1000 + op.offset)
    assert replay.definitions == [op.cbor for op in expected if isinstance(op, Define)]


@given(rows, st.data())
def test_every_truncation_is_detected(
    row: list[tuple[object, ...]], data: st.DataObject
) -> None:
    body, _ = body_of(row)
    ends = [0]
    for raw, _op in scan_ops(body):
        ends.append(ends[-1] + len(raw))
    size = data.draw(st.integers(0, len(body)))
    if size in ends:
        Replay(None).apply(1, 0, body[:size])
        return
    with pytest.raises(OpsError):
        list(scan_ops(body[:size]))
    with pytest.raises(OpsError):
        Replay(None).apply(1, 0, body[:size])


@pytest.mark.parametrize("body", [b"\0", b"\x06", b"\xff" * 9, bytes([DEFINE])])
def test_what_is_no_operation(body: bytes) -> None:
    with pytest.raises(OpsError):
        list(scan_ops(body))
    with pytest.raises(OpsError):
        Replay(None).apply(1, 0, body)


def test_a_copy_without_a_message() -> None:
    body = b"\x02" + bytes(20) + b"\0\0\0\x01"
    with pytest.raises(OpsError, match="has no message"):
        list(scan_ops(body))


@given(st.binary(max_size=100))
def test_any_bytes(body: bytes) -> None:
    """Nothing but `OpsError`, whatever the bytes are."""
    for read in (lambda: list(scan_ops(body)), lambda: Replay(None).apply(1, 0, body)):
        try:
            read()
        except OpsError:
            continue

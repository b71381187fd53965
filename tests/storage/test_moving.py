"""Moving while other things happen."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.storage.support import Store, contents_of, reopen
from warren_broker.storage.segment import name_of

if TYPE_CHECKING:
    from warren_broker.storage.moving import Move


def aged() -> tuple[Store, Move]:
    """A store whose oldest segment should be moved, and the move."""
    store = Store()
    store.publish(9, 1, b"for ever", 8)
    for sequence in range(2, 60):
        store.publish(1, sequence, bytes(100))
        store.settle((1, sequence))
        store.commit()
        move = store.journal.take_move()
        if move is not None:
            move.run(store.disk)
            return store, move
    raise AssertionError("nothing to move")


def test_what_is_settled_while_it_is_read_is_not_moved() -> None:
    store, move = aged()
    store.settle((9, 1))
    store.commit()
    store.journal.on_moved(move, None)
    store.commit()
    assert contents_of(reopen(store.disk.crashed())).keys() == {(8, 1)}


def test_one_move_at_a_time() -> None:
    store, move = aged()
    assert store.journal.take_move() is None
    store.journal.on_moved(move, None)
    position = store.ledger.positions[9, 1]
    assert store.journal.position_of(9, 1, position) > position


def test_what_is_moved_and_not_written_is_where_it_was() -> None:
    """No room for it; then it is settled, or stays, and is moved again."""
    for is_settled in (False, True):
        store, move = aged()
        store.journal.on_moved(move, None)
        used = sum(map(len, store.disk.contents().values()))
        store.disk.capacity = used + 10
        written = store.commit()
        assert written is not None
        assert written.refused == ()
        store.disk.capacity = None
        if is_settled:
            store.settle((9, 1))
        store.commit()
        store.tidy()
        store.commit()
        found = contents_of(reopen(store.disk.crashed()))
        assert found == store.ledger.live()
        assert ((9, 1) in found) != is_settled


def test_moved_again_and_refused() -> None:
    """Where a message was moved to before is where it still is."""
    store, move = aged()
    store.journal.on_moved(move, None)
    store.commit()
    first = store.journal.position_of(9, 1, store.ledger.positions[9, 1])
    again = None
    for sequence in range(100, 200):
        store.publish(1, sequence, bytes(100))
        store.settle((1, sequence))
        store.commit()
        again = store.journal.take_move()
        if again is not None and again.number == first >> 32:
            break
        assert again is None
    assert again is not None
    again.run(store.disk)
    store.journal.on_moved(again, None)
    used = sum(map(len, store.disk.contents().values()))
    store.disk.capacity = used + 10
    store.commit()
    store.disk.capacity = None
    position = store.ledger.positions[9, 1]
    assert store.journal.position_of(9, 1, position) == first
    store.commit()
    assert contents_of(reopen(store.disk.crashed())) == store.ledger.live()
    store.settle((9, 1))
    store.settle((8, 1))
    store.commit()
    assert contents_of(reopen(store.disk.crashed())) == {}


def test_what_is_settled_after_it_was_moved_is_gone() -> None:
    store, move = aged()
    store.journal.on_moved(move, None)
    store.settle((9, 1))
    store.settle((8, 1))
    store.commit()
    assert contents_of(reopen(store.disk.crashed())) == {}
    assert name_of(1) not in store.disk.contents()


@pytest.mark.parametrize("seed", range(20))
def test_any_order(seed: int) -> None:
    """Moves are read at once and told of later; records are closed before they can be
    written; the disk is full now and then.
    """
    random, store, sequence = Random(seed), Store(), 0
    move: Move | None = None
    for _ in range(400):
        live = sorted(store.ledger.positions)
        for _ in range(random.randint(0, 3)):
            sequence += 1
            store.publish(1, sequence, random.randbytes(random.randint(0, 150)), 2)
        for key in random.sample(live, min(len(live), random.randint(0, 7))):
            store.settle(key)
        if move is None:
            move = store.journal.take_move()
            if move is not None:
                move.run(store.disk)
        elif random.random() < 0.3:
            store.journal.on_moved(move, None)
            move = None
        if random.random() < 0.1 and not store.journal.is_full:
            store.journal.bound_record(0)
            continue
        if random.random() < 0.1:
            used = sum(map(len, store.disk.contents().values()))
            store.disk.capacity = used + random.randint(0, 300)
        store.commit()
        store.disk.capacity = None
        check(store)


def check(store: Store) -> None:
    committed = store.journal.committed
    recovered = reopen(store.disk.crashed())
    assert store.ledger.complaints(recovered, committed) == []
    assert store.look_up() == []

"""A disk that is full, and a disk that is broken."""

from __future__ import annotations

import errno
import itertools

import pytest

from tests.simulated_disk import broken, no_room
from tests.storage.support import RESERVE, RUNWAY, Store, contents_of, reopen, settings
from warren_broker.storage import reserve
from warren_broker.storage.disk import FULL_ERRORS, JOURNAL
from warren_broker.storage.outcome import Outcome, Refused
from warren_broker.storage.reserve import NAME as RESERVE_NAME
from warren_broker.storage.segment import name_of

LARGE = 1 << 20


def store_with(count: int, sync: str = "always") -> Store:
    store = Store(settings(sync, LARGE))
    for sequence in range(1, count + 1):
        store.publish(1, sequence, bytes(50))
    store.commit()
    return store


def fill(store: Store, room: int = 0) -> None:
    used = sum(map(len, store.disk.contents().values()))
    store.disk.capacity = used + room


@pytest.mark.parametrize("room", [0, 1, 40, 100])
def test_no_room(room: int) -> None:
    """Messages are refused and can be told; what was settled is kept."""
    store = store_with(3)
    before = store.disk.contents()[name_of(1)]
    fill(store, room)
    store.settle((1, 1))
    store.publish(1, 4, bytes(200), 2)
    store.define(b"defined")
    batch = store.journal.take_batch()
    assert batch is not None
    store.publish(1, 5, b"while the batch was under way")
    with pytest.raises(OSError, match="No space") as caught:
        batch.run(store.disk)
    written = store.journal.on_written(batch, caught.value)
    assert written.outcome is Outcome.FULL
    assert written.refused == (Refused(1, 4), Refused(2, 4), Refused(1, 5))
    assert store.journal.is_full
    assert store.journal.failed is None
    assert store.journal.committed == 1
    assert store.disk.contents()[name_of(1)] == before
    # What is kept needs little, and the reserve is given up for it.
    for key in ((1, 4), (2, 4), (1, 5)):
        store.ledger.added.pop(key)
        store.ledger.positions.pop(key)
    ticket = store.journal.ticket
    assert store.commit() is not None
    assert store.journal.committed == ticket
    assert RESERVE_NAME not in store.disk.contents()
    recovered = reopen(store.disk.crashed())
    assert contents_of(recovered) == store.ledger.live()
    assert recovered.definitions == (b"defined",)


def test_no_room_for_a_new_segment() -> None:
    store = Store(settings("always", 100))
    store.publish(1, 1, bytes(100))
    store.commit()
    fill(store, 50)
    store.publish(1, 2, bytes(300))
    written = store.commit()
    assert written is not None
    assert written.outcome is Outcome.FULL
    assert name_of(2) not in store.disk.contents()
    store.disk.capacity = None
    store.publish(1, 3, b"now")
    store.commit()
    assert contents_of(reopen(store.disk.crashed())) == store.ledger.live()


def test_what_was_moved_is_not_lost() -> None:
    store = store_with(2)
    fill(store)
    store.move((1, 1), 5, 77)
    assert store.commit() is not None
    assert store.journal.is_full
    store.disk.capacity = None
    store.commit()
    found = contents_of(reopen(store.disk.crashed()))
    assert found.keys() == {(1, 2), (5, 77)}


def without_reserve() -> Store:
    """A store that has given up its reserve, on a disk that is full no more."""
    store = store_with(1)
    fill(store)
    store.settle((1, 1))
    for _ in range(3):
        store.commit()
        store.tidy()
    assert RESERVE_NAME not in store.disk.contents()
    assert not store.journal.is_full
    return store


def test_the_reserve_is_made_again_when_there_is_much_room() -> None:
    store = without_reserve()
    store.define(b"defined")
    store.commit()
    store.tidy()
    assert RESERVE_NAME not in store.disk.contents()
    store.disk.capacity = None
    store.tidy()
    assert len(store.disk.contents()[RESERVE_NAME]) == RESERVE
    assert store.journal.take_reserve() is None


def test_the_reserve_is_made_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "PIECE", 300)
    store = without_reserve()
    store.disk.capacity = None
    for size in (300, 600, RESERVE):
        calls = len(store.disk.calls)
        store.publish(1, size, b"x")
        assert store.commit() is not None
        assert RESERVE_NAME not in str(store.disk.calls[calls:]), (
            "a batch waits for none"
        )
        store.tidy()
        assert len(store.disk.contents()[RESERVE_NAME]) == size
        assert reopen(store.disk.killed()).start.has_reserve
    assert store.journal.take_reserve() is None


def test_a_piece_of_the_reserve_is_given_up_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reserve, "PIECE", 300)
    store = without_reserve()
    store.disk.capacity = None
    store.tidy()
    fill(store)
    store.publish(1, 2, bytes(200))
    store.commit()
    store.commit()
    assert RESERVE_NAME not in store.disk.contents()
    store.disk.capacity = None
    store.commit()
    store.tidy()
    fill(store)
    store.tidy()
    assert RESERVE_NAME not in store.disk.contents(), "too little room for the rest"


def test_a_disk_that_breaks_while_the_reserve_is_made() -> None:
    store = without_reserve()
    store.disk.capacity = None
    piece = store.journal.take_reserve()
    assert piece is not None

    def fail(method: str, name: str) -> None:
        if method == "sync":
            raise broken(name)

    store.disk.on_call = fail
    with pytest.raises(OSError, match="Input/output"):
        piece.run(store.disk)
    store.journal.on_reserved(piece, broken(RESERVE_NAME))
    store.publish(1, 9, b"x")
    assert store.journal.take_batch() is None


def test_messages_do_not_take_the_room_of_the_reserve() -> None:
    """Where they did, acks found none, and no segment would ever go."""
    store = without_reserve()
    store.publish(1, 2, b"x")
    before = store.disk.contents()
    written = store.commit()
    assert written is not None
    assert written.outcome is Outcome.FULL
    assert store.disk.contents() == before, "nothing was tried"
    store.define(b"defined")
    written = store.commit()
    assert written is not None
    assert written.outcome is Outcome.WRITTEN
    fill(store, 2 * RESERVE)
    store.publish(1, 3, b"x")
    store.commit()
    assert contents_of(reopen(store.disk.crashed())).keys() == {(1, 3)}


def test_a_full_disk_for_long() -> None:
    """Try after try nothing is lost, and nothing is promised."""
    store = store_with(4)
    store.disk.remove(RESERVE_NAME)
    fill(store)
    for sequence in (1, 2, 3):
        store.settle((1, sequence))
        written = store.commit()
        assert written is not None
        assert written.outcome is Outcome.FULL
        assert store.journal.committed == 1
    assert len(contents_of(reopen(store.disk.crashed()))) == 4
    store.disk.capacity = None
    store.commit()
    assert store.journal.committed == store.journal.ticket - 1
    assert contents_of(reopen(store.disk.crashed())) == store.ledger.live()


def test_room_is_noticed_though_nothing_happens() -> None:
    """Publishers wait for room; the journal looks for it with next to nothing."""
    store = store_with(1)
    store.disk.remove(RESERVE_NAME)
    fill(store)
    store.publish(1, 2, bytes(100))
    for _ in range(50):
        assert store.journal.is_dirty
        written = store.commit()
        assert written is not None
        assert written.outcome is Outcome.FULL
    assert store.journal.is_full
    assert store.journal.ticket < 5
    store.disk.capacity = None
    store.commit()
    assert not store.journal.is_full
    assert not store.journal.is_dirty
    assert store.journal.committed == store.journal.ticket - 1
    assert contents_of(reopen(store.disk.crashed())) == store.ledger.live()


def test_no_room_for_a_runway() -> None:
    """The record is safe, and so are those that follow in what there is of it."""
    store = Store(settings("always", LARGE))
    store.publish(1, 1, b"x")
    store.commit()
    name = name_of(1)
    runway = store.disk.size(name)
    assert runway > RUNWAY
    for sequence in range(2, 100):
        fill(store, 500)
        store.publish(1, sequence, b"x")
        written = store.commit()
        assert written is not None
        assert written.outcome is Outcome.WRITTEN
    assert store.disk.size(name) > runway
    store.publish(1, 100, b"x")
    store.commit(is_last=True)
    assert not store.disk.contents()[name].endswith(bytes(5))  # nothing is left of it
    recovered = reopen(store.disk.crashed())
    assert contents_of(recovered) == store.ledger.live()
    assert recovered.was_clean


def test_a_start_on_a_full_disk() -> None:
    store = store_with(5)
    fill(store)
    disk = store.disk.killed()
    recovered = reopen(disk)
    assert contents_of(recovered) == store.ledger.live()
    assert not recovered.start.has_reserve


def test_a_start_on_a_full_disk_after_one_that_was_killed() -> None:
    """The last segment has its name of that one, and it may not be safe."""
    store = store_with(5)
    disk = store.disk.crashed()

    def kill(method: str, name: str) -> None:
        if (method, name) == ("sync_directory", JOURNAL):
            raise EOFError

    disk.on_call = kill
    with pytest.raises(EOFError):
        reopen(disk)
    assert disk.calls[-1][0] == "rename"
    disk = disk.killed()
    disk.remove(RESERVE_NAME)
    disk.capacity = sum(map(len, disk.contents().values()))
    reopen(disk)
    recovered = reopen(disk.crashed())
    assert contents_of(recovered) == store.ledger.live()
    assert recovered.damage == ()


@pytest.mark.parametrize(
    ("has_reserve", "found"),
    [(True, (b"one two", ())), (False, (b"one", (b"two",)))],
)
def test_no_room_for_definitions(
    has_reserve: bool, found: tuple[bytes, tuple[bytes, ...]]
) -> None:
    """The reserve is for them as well; without it they stay in the record alone."""
    store = store_with(1)
    if not has_reserve:
        store.disk.remove(RESERVE_NAME)
    store.define(b"one")
    store.snapshot()
    store.commit()
    store.define(b"two")
    fill(store, 20)
    store.snapshot()
    written = store.commit()
    assert written is not None
    assert written.outcome is Outcome.WRITTEN
    assert store.commit() is None
    recovered = reopen(store.disk.crashed())
    assert (recovered.snapshot, recovered.definitions) == found
    assert RESERVE_NAME not in store.disk.contents()
    if has_reserve:
        assert store.journal.spares == RESERVE, "it is to be made again"


@pytest.mark.parametrize("code", sorted(FULL_ERRORS))
def test_every_error_that_says_full(code: int) -> None:
    store = store_with(1)

    def fail(method: str, name: str) -> None:
        if method == "write":
            raise no_room(name, code)

    store.disk.on_call = fail
    store.publish(1, 2, b"x")
    written = store.commit()
    assert written is not None
    assert written.outcome is Outcome.FULL


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("write", errno.EIO),  # with ENOSPC that is a full disk
        *itertools.product(
            ("sync", "sync_directory", "truncate"), (errno.EIO, errno.ENOSPC)
        ),
    ],
)
def test_a_broken_disk_ends_the_journal(method: str, code: int) -> None:
    """Also a sync that says there is no room: what it dropped is unknown."""
    store = Store(settings(segment_size=LARGE))
    if method == "truncate":
        store.publish(1, 1, bytes(RUNWAY))
        store.commit()
        fill(store)
    committed = store.journal.committed

    def fail(called: str, name: str) -> None:
        if called == method:
            raise no_room(name, code)

    store.disk.on_call = fail
    store.publish(1, 2, b"y")
    written = store.commit()
    assert written is not None
    assert (written.outcome, written.refused) == (Outcome.FAILED, ())
    assert store.journal.failed is not None
    assert store.journal.failed.errno == code
    store.disk.on_call = lambda method, name: None
    store.disk.capacity = None
    calls = len(store.disk.calls)
    store.publish(1, 3, b"z")
    assert store.commit() is None
    assert store.commit(is_last=True) is None
    assert store.journal.committed == committed
    assert len(store.disk.calls) == calls


def test_a_disk_that_breaks_in_upkeep() -> None:
    """The record is safe, but nobody is told: the next start finds it."""
    store = store_with(1)

    def fail(called: str, name: str) -> None:
        if called == "sync" and name.startswith("superblock"):
            raise broken(name)

    store.disk.on_call = fail
    store.publish(1, 2, b"x")
    store.journal.request_checkpoint()
    written = store.commit()
    assert written is not None
    assert written.outcome is Outcome.FAILED
    assert store.journal.committed == 1
    assert contents_of(reopen(store.disk.crashed())) == store.ledger.live()


def test_a_read_that_fails_once_is_tried_again() -> None:
    store = store_with(3)
    disk = store.disk.crashed()
    failed: list[str] = []

    def fail(method: str, name: str) -> None:
        if method == "read" and name not in failed:
            failed.append(name)
            raise broken(name)

    disk.on_call = fail
    assert contents_of(reopen(disk)) == store.ledger.live()
    assert name_of(1) in failed


def test_a_segment_that_cannot_be_read_is_left_alone_by_moving() -> None:
    store = Store()
    store.publish(9, 1, b"for ever")
    move = None
    for sequence in range(2, 60):
        store.publish(1, sequence, bytes(100))
        store.settle((1, sequence))
        store.commit()
        move = move or store.journal.take_move()
    assert move is not None
    store.journal.on_moved(move, broken(name_of(1)))
    assert store.journal.take_move() is None
    assert contents_of(reopen(store.disk.crashed())) == store.ledger.live()

"""Messages of a journal that are read again, one by one or many at once."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.simulated_disk import broken
from tests.storage.support import Store, settings
from warren_broker.storage.lookup import BLOCK, GAP, Lookup
from warren_broker.storage.segment import name_of
from warren_broker.storage.space import OFFSET_MASK

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGE = settings(segment_size=1 << 24)


def filled(sizes: Iterable[int], *copies: int) -> tuple[Store, list[tuple[int, int]]]:
    """A store with messages of such sizes in queue 1, and the places of these."""
    store = Store(LARGE)
    for sequence, size in enumerate(sizes, start=1):
        store.publish(1, sequence, Random(sequence).randbytes(size), *copies)
    store.commit()
    return store, places_of(store, 1)


def places_of(store: Store, queue: int) -> list[tuple[int, int]]:
    return [
        (key[1], at) for key, at in store.ledger.positions.items() if key[0] == queue
    ]


def reads_of(store: Store) -> list[str]:
    """Every read from now on."""
    reads: list[str] = []

    def note(method: str, name: str) -> None:
        if method == "read":
            reads.append(name)

    store.disk.on_call = note
    return reads


def test_neighbours_are_read_at_once() -> None:
    store, places = filled([100] * 500)
    reads = reads_of(store)
    assert len(store.lookup.read(1, places)) == 500
    assert reads == [name_of(1)]


def test_what_lies_far_apart_is_read_alone() -> None:
    store, places = filled([10, 2 * GAP, 10, 2 * GAP, 10])
    reads = reads_of(store)
    store.lookup.read(1, places[::2])
    assert reads == [name_of(1)] * 3


def test_memory_is_bounded_by_blocks_and_messages() -> None:
    sizes = [GAP - 100] * (2 * BLOCK // GAP) + [BLOCK + 5000] + [10] * 3
    store, _ = filled(sizes)
    largest = 0

    def look(data: bytes) -> bytes:
        nonlocal largest
        largest = max(largest, len(data))
        return data

    store.disk.on_read = look
    assert store.look_up() == []
    assert BLOCK <= largest < BLOCK + 5100


@pytest.mark.parametrize("seed", range(10))
def test_any_places_in_any_order(seed: int) -> None:
    random = Random(seed)
    sizes = [random.choice((0, 9, 900, GAP, 3 * GAP)) for _ in range(60)]
    store, _ = filled(sizes, 2, 3)
    for key in random.sample(sorted(store.ledger.positions), 60):
        store.settle(key)
    for queue in (1, 2, 3):
        places = places_of(store, queue)
        random.shuffle(places)
        found = store.lookup.read(queue, places)
        contents = [store.ledger.added[queue, place[0]].content[1:] for place in places]
        assert found == contents


def test_no_places() -> None:
    store, _ = filled([])
    assert store.lookup.read(1, []) == []


def test_what_lies_together_is_wanted_as_a_whole() -> None:
    store, places = filled([1000] * 50 + [BLOCK] + [1000])
    wanted: list[tuple[int, int]] = []
    store.disk.on_want = lambda offset, size: wanted.append((offset, size))
    store.lookup.want(1, places[0], places[49])
    store.lookup.want(1, places[49], places[51])
    store.lookup.want(1, places[49], places[0])
    ((offset, size),) = wanted
    assert offset == places[0][1] & OFFSET_MASK
    assert 0 <= size - (places[50][1] - places[0][1]) < GAP


@pytest.mark.parametrize("queue", [1, 2])
def test_another_message_is_never_taken_for_it(queue: int) -> None:
    """Not one of another queue or sequence, nor bytes of any kind."""
    store, _ = filled([20] * 4, 2)
    places = places_of(store, queue)
    size = store.disk.size(name_of(1))
    (first, at), *_ = places
    wrong = [(first, at & ~OFFSET_MASK | offset) for offset in range(size + 40)]
    wrong += [(first, position) for _, position in places]
    for place in wrong:
        if place != (first, at):
            with pytest.raises(OSError, match="not the message"):
                store.lookup.read(queue, [place])
    with pytest.raises(OSError, match="not the message"):
        store.lookup.read(3, places)


def test_damaged_heads_are_noticed_or_harmless() -> None:
    """Any byte of a message and its copy: what it costs is a comparison later."""
    store, _ = filled([20], 2)
    name, contents = name_of(1), store.disk.contents()[name_of(1)]
    start = places_of(store, 1)[0][1] & OFFSET_MASK
    for offset in range(start, len(contents)):
        store.disk.damage(name, offset, bytes([contents[offset] ^ 0xFF]))
        for queue in (1, 2):
            try:
                found = store.lookup.read(queue, places_of(store, queue))
            except OSError:
                continue
            assert sum(map(len, found[0])) <= len(contents)
        store.disk.damage(name, offset, contents[offset : offset + 1])
    assert store.look_up() == []


def test_an_error_of_the_disk_is_told() -> None:
    store, places = filled([20])

    def fail(method: str, name: str) -> None:
        raise broken(name)

    store.disk.on_call = fail
    with pytest.raises(OSError, match="error"):
        store.lookup.read(1, places)


def test_a_segment_that_is_gone_for_no_reason_is_told() -> None:
    store, places = filled([20])
    store.disk.remove(name_of(1))
    with pytest.raises(FileNotFoundError):
        Lookup(store.journal, store.disk).read(1, places)

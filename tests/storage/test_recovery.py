"""The rules of recovery, one by one."""

from __future__ import annotations

import contextlib
import gc
import itertools

import attrs
import pytest

from tests.simulated_disk import SimulatedDisk, broken, no_room, torn
from tests.storage.support import (
    RESERVE,
    STORE_ID,
    Store,
    contents_of,
    definitions_of,
    reopen,
    settings,
)
from warren_broker.storage import record as records
from warren_broker.storage import recovery, superblock
from warren_broker.storage.disk import StoreInUseError
from warren_broker.storage.journal import Journal
from warren_broker.storage.record import seed_of
from warren_broker.storage.recovery import Progress, Recovered, recover
from warren_broker.storage.segment import SegmentReader, encode_header, name_of
from warren_broker.storage.superblock import StoreVersionError
from warren_broker.storage.survey import StoreDamagedError

SEED = seed_of(STORE_ID)
LARGE = 1 << 20


def filled(count: int = 5, size: int = LARGE, body: int = 40) -> Store:
    """A store with so many confirmed messages, a record each, and nothing behind."""
    store = Store(attrs.evolve(settings(segment_size=size), runway_size=0))
    for sequence in range(1, count + 1):
        store.publish(1, sequence, bytes([sequence]) * body)
        store.commit()
    return store


def offsets_of(disk: SimulatedDisk, name: str) -> list[int]:
    """Where the records of a segment begin, and where the last one ends."""
    reader = SegmentReader(disk, name, SEED)
    offsets = [64]
    while (found := reader.record_at(offsets[-1])) is not None:
        offsets.append(found.end)
    return offsets


def sequences_of(recovered: Recovered) -> list[int]:
    return [each.sequence for each in recovered.messages.get(1, [])]


def with_file(disk: SimulatedDisk, name: str, data: bytes) -> SimulatedDisk:
    """The disk, with a file in place of what it was."""
    changed = disk.crashed()
    changed.plant(name, data)
    return changed.crashed()


# --- R1


def test_r1_a_second_start_is_refused() -> None:
    disk = SimulatedDisk()
    recover(disk, reserve_size=0)
    calls = list(disk.calls)
    with pytest.raises(StoreInUseError):
        recover(disk, reserve_size=0)
    assert disk.calls == calls


def test_r1_a_start_that_fails_lets_others_in() -> None:
    store = filled()
    block = superblock.read_slots(store.disk, frozenset(store.disk.names()))[0]
    assert block is not None
    store.disk.locked = False
    store.disk.on_call = _raise
    with pytest.raises(OSError, match="no luck"):
        recover(store.disk, reserve_size=0)
    assert not store.disk.locked


def _raise(method: str, name: str) -> None:
    raise OSError("no luck")


# --- R2: what was confirmed and is damaged is reported, set aside, never deleted


def test_r2_every_damaged_byte_of_a_confirmed_record_is_reported() -> None:
    """The record in the middle: attested by the one behind it."""
    disk = filled(3).disk.crashed()
    name = name_of(1)
    data = disk.contents()[name]
    start, end = offsets_of(disk, name)[1:3]
    for offset in range(start, end):
        broken = bytearray(data)
        broken[offset] ^= 0x10
        damaged = with_file(disk, name, bytes(broken))
        recovered = reopen(damaged)
        assert [(d.first_lsn, d.last_lsn) for d in recovered.damage] == [(2, 2)]
        assert sequences_of(recovered) == [1, 3]
        aside = damaged.contents()[recovered.set_aside[0]]
        assert aside == bytes(broken)


def test_r2_damage_is_set_aside_once() -> None:
    store = filled(3)
    disk = store.disk.crashed()
    disk.damage(name_of(1), offsets_of(disk, name_of(1))[1] + 40, b"\xff\xff")
    first = reopen(disk)
    again = disk.crashed()
    second = reopen(again)
    assert contents_of(first) == contents_of(second)
    assert [each.is_old for each in second.damage] == [True]
    assert second.set_aside == ()
    third = Store(settings(segment_size=LARGE), again.crashed())
    third.publish(1, 9, b"new")
    third.commit()
    assert sequences_of(reopen(third.disk.crashed())) == [1, 3, 9]


def test_r2_a_sealed_segment_that_is_damaged_stays_as_it_is() -> None:
    disk = filled(12, size=300).disk.crashed()
    offset = offsets_of(disk, name_of(2))[0] + 50
    disk.damage(name_of(2), offset, b"\xff")
    before = disk.contents()[name_of(2)]
    recovered = reopen(disk)
    assert len(recovered.damage) == 1
    assert recovered.damage[0].records_lost == 1
    assert len(sequences_of(recovered)) == 11
    assert disk.contents()[name_of(2)] == before
    journal = Journal(recovered.start, settings(segment_size=300))
    for sequence, position in [(m.sequence, m.position) for m in recovered.messages[1]]:
        journal.add_settled(1, sequence, position)
    batch = journal.take_batch()
    assert batch is not None
    batch.run(disk)
    journal.on_written(batch, None)
    assert name_of(1) not in disk.contents()
    assert disk.contents()[name_of(2)] == before


@pytest.mark.parametrize("number", [1, 2, 3])
def test_r2_a_missing_segment_is_reported_with_its_count(number: int) -> None:
    disk = filled(12, size=300).disk.crashed()
    lost = len(offsets_of(disk, name_of(number))) - 1
    disk.remove(name_of(number))
    disk.sync_directory("journal")
    recovered = reopen(disk.crashed())
    assert sum(each.records_lost for each in recovered.damage) == lost
    assert len(sequences_of(recovered)) == 12 - (lost - 1)


def test_r2_the_newest_segments_are_missing() -> None:
    store = filled(12, size=300)
    store.commit(is_last=True)
    disk = store.disk.crashed()
    numbers = [n for n in range(1, 20) if name_of(n) in disk.contents()]
    for number in numbers[-2:]:
        disk.remove(name_of(number))
    disk.sync_directory("journal")
    disk = disk.crashed()
    recovered = reopen(disk)
    assert len(recovered.damage) == 1
    last = recovered.damage[0].last_lsn
    assert recovered.start.next_lsn == last + 1
    assert [each.is_old for each in reopen(disk.crashed()).damage] == [True]


def test_r2_two_records_of_one_size_are_swapped() -> None:
    disk = filled(4).disk.crashed()
    name = name_of(1)
    data, offsets = disk.contents()[name], offsets_of(disk, name_of(1))
    a, b, c = offsets[:3]
    swapped = data[:a] + data[b:c] + data[a:b] + data[c:]
    recovered = reopen(with_file(disk, name, swapped))
    assert recovered.damage
    assert set(sequences_of(recovered)) < {1, 2, 3, 4}


@pytest.mark.parametrize("offset", range(0, 64, 7))
def test_r2_a_damaged_segment_header_loses_no_record(offset: int) -> None:
    for number in (1, 2):
        disk = filled(12, size=300).disk.crashed()
        byte = disk.contents()[name_of(number)][offset]
        disk.damage(name_of(number), offset, bytes([byte ^ 1]))
        recovered = reopen(disk)
        assert [each.records_lost for each in recovered.damage] == [0]
        assert sequences_of(recovered) == list(range(1, 13))


def test_r2_the_header_of_the_last_segment_is_damaged() -> None:
    disk = filled(4).disk.crashed()
    disk.damage(name_of(1), 20, b"\xff\xff")
    recovered = reopen(disk)
    assert sequences_of(recovered) == [1, 2, 3, 4]
    assert recovered.damage
    assert reopen(disk.crashed()).damage == ()


# --- R3: torn tails, holes, and who attests


def test_r3_cut_at_every_byte_of_the_last_record() -> None:
    store = filled(3)
    safe = store.disk.contents()[name_of(1)]
    store.publish(1, 4, b"the last one" * 4)
    store.commit()
    disk = store.disk.crashed()
    whole = disk.contents()[name_of(1)]
    for size in range(len(safe), len(whole) + 1):
        for tail in (whole[:size], whole[:size].ljust(len(whole), b"\0")):
            recovered = reopen(with_file(disk, name_of(1), tail))
            expected = [1, 2, 3, 4] if tail == whole else [1, 2, 3]
            assert sequences_of(recovered) == expected
            assert recovered.damage == ()


def test_r3_a_superblock_attests_the_last_record() -> None:
    store = filled(3)
    store.journal.request_checkpoint()
    store.commit()
    disk = store.disk.crashed()
    whole = disk.contents()[name_of(1)]
    for size in (64, 70, len(whole) - 1):
        recovered = reopen(with_file(disk, name_of(1), whole[:size]))
        assert recovered.damage
        assert recovered.damage[-1].last_lsn == 3
        assert recovered.start.next_lsn > 4


def test_r3_a_hole_that_nobody_attests_ends_the_journal() -> None:
    """Three records are written and not synced; the first one is lost."""
    store = filled(2)
    weak = Store(settings("os", LARGE), store.disk.crashed())
    weak.ledger = store.ledger
    weak.publish(1, 3, b"synced")
    weak.commit()
    weak.journal.request_sync()
    weak.commit()
    for sequence in (4, 5, 6):
        weak.publish(1, sequence, b"not synced")
        weak.commit()
    writes = [each for each in weak.disk.pending if each.kind == "write"]
    assert len(writes) == 3
    for count in range(4):
        for kept in itertools.combinations(writes, count):
            crashed = weak.disk.crashed(lambda pending, kept=kept: kept)
            recovered = reopen(crashed)
            whole = next((i for i in range(3) if writes[i] not in kept), 3)
            assert sequences_of(recovered) == list(range(1, 4 + whole))
            assert recovered.damage == ()


def test_r3_a_hole_that_a_later_record_attests_is_damage() -> None:
    disk = filled(5).disk.crashed()
    offsets = offsets_of(disk, name_of(1))
    size = offsets[4] - offsets[1]
    disk.damage(name_of(1), offsets[1], bytes(size))
    recovered = reopen(disk)
    assert sequences_of(recovered) == [1, 5]
    assert [(d.first_lsn, d.last_lsn) for d in recovered.damage] == [(2, 4)]


def test_r3_a_message_that_contains_records_is_no_record() -> None:
    """A client can send any bytes, but it does not know the seed."""
    forged = records.encode_record(
        records.RecordHeader(records.OPS, 0, 2, 1, 9), b"", seed_of(b"a guess")
    )
    store = filled(1)
    store.publish(1, 2, forged * 3)
    store.commit()
    disk = store.disk.crashed()
    whole = disk.contents()[name_of(1)]
    recovered = reopen(with_file(disk, name_of(1), whole[:-1]))
    assert recovered.damage == ()
    assert sequences_of(recovered) == [1]


# --- R4


@pytest.mark.parametrize("data", [b"", b"WARREN", bytes(63), bytes(64), bytes(5000)])
def test_r4_a_last_segment_without_anything_is_absent(data: bytes) -> None:
    store = filled(12, size=300)
    store.commit(is_last=True)
    disk = store.disk.crashed()
    number = max(n for n in range(1, 20) if name_of(n) in disk.contents()) + 1
    damaged = with_file(disk, name_of(number), data)
    recovered = reopen(damaged)
    assert contents_of(recovered) == store.ledger.live()
    assert (recovered.damage, recovered.set_aside) == ((), ())
    assert recovered.start.number == number
    assert name_of(number) not in damaged.contents()


def test_r4_garbage_in_the_last_segment_is_set_aside() -> None:
    store = filled(12, size=300)
    store.commit(is_last=True)
    disk = store.disk.crashed()
    number = max(n for n in range(1, 20) if name_of(n) in disk.contents()) + 1
    damaged = with_file(disk, name_of(number), b"?" * 500)
    recovered = reopen(damaged)
    assert contents_of(recovered) == store.ledger.live()
    assert [damaged.contents()[name] for name in recovered.set_aside] == [b"?" * 500]


# --- R6 to R9


def test_r6_what_settles_an_unknown_message_is_no_error() -> None:
    store = filled(2)
    store.journal.add_range(7, 1, 2**64 - 1, ())
    store.journal.add_range(1, 500, 600, ())
    store.commit()
    assert sequences_of(reopen(store.disk.crashed())) == [1, 2]


def test_r7_a_start_is_idempotent() -> None:
    store = filled(12, size=300)
    store.define(b"one")
    store.commit()
    disk = store.disk.killed()
    first = reopen(disk)
    files = {n: d for n, d in disk.contents().items() if n.startswith("journal")}
    for _ in range(3):
        disk = disk.crashed()
        again = reopen(disk)
        assert contents_of(again) == contents_of(first)
        assert definitions_of(again) == definitions_of(first)
    assert {
        n: d for n, d in disk.contents().items() if n.startswith("journal")
    } == files


def test_r8_what_was_read_from_the_cache_is_made_safe() -> None:
    """The system shows what the disk has not: after the start the disk has it."""
    store = filled(3)
    store.publish(1, 4, b"only in the cache")
    batch = store.journal.take_batch()
    assert batch is not None
    batch.syncs = False
    batch.run(store.disk)
    store.disk.lose_pending(name_of(1))
    assert sequences_of(reopen(store.disk.crashed())) == [1, 2, 3]
    disk = store.disk.killed()
    assert sequences_of(reopen(disk)) == [1, 2, 3, 4]
    assert sequences_of(reopen(disk.crashed())) == [1, 2, 3, 4]


def test_r9_every_start_is_an_epoch() -> None:
    disk = SimulatedDisk()
    epochs = []
    for _ in range(4):
        epochs.append(reopen(disk).start.superblock.epoch)
        disk = disk.crashed()
    assert epochs == [1, 2, 3, 4]


def test_r9_unknown_files_go_to_quarantine() -> None:
    store = filled(2)
    disk = store.disk.crashed()
    names = ["core", "journal/notes.txt", "journal/1.log", "superblock.c"]
    for name in names:
        disk.plant(name, name.encode())
    recovered = reopen(disk)
    assert sorted(recovered.set_aside) == sorted(
        f"quarantine/{name.replace('/', '.')}" for name in names
    )
    for name, aside in zip(sorted(names), sorted(recovered.set_aside), strict=True):
        assert disk.contents()[aside] == name.encode()
    again = disk.crashed()
    again.plant("core", b"another")
    assert reopen(again).set_aside == ("quarantine/core.1",)


# --- superblock, definitions, memory


@pytest.mark.parametrize("slot", superblock.SLOTS)
def test_one_superblock_is_enough(slot: str) -> None:
    disk = filled(3).disk.crashed()
    for data in (b"", b"torn", bytes(512)):
        recovered = reopen(with_file(disk, slot, data))
        assert sequences_of(recovered) == [1, 2, 3]
        assert recovered.damage == ()


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize("second", range(3))
def test_a_start_after_one_that_was_killed_tears_one_superblock(
    first: int, second: int
) -> None:
    """What is read of the one that counts may not be safe."""
    disk = filled(3).disk.crashed()
    for count in (first, second):
        disk = start_killed_after(count, disk)
    halves = [torn(each, len(each.data) // 2) for each in disk.pending]
    recovered = reopen(disk.crashed(lambda pending: halves))
    assert sequences_of(recovered) == [1, 2, 3]
    assert recovered.damage == ()


def start_killed_after(count: int, disk: SimulatedDisk) -> SimulatedDisk:
    """The disk after a start that was killed when so many superblocks were synced."""
    left = [None] * count

    def kill(method: str, name: str) -> None:
        if method == "sync" and name in superblock.SLOTS:
            if not left:
                raise EOFError
            left.pop()

    disk.on_call = kill
    with contextlib.suppress(EOFError):
        reopen(disk)
    return disk.killed()


def test_without_a_superblock_the_segments_tell() -> None:
    disk = filled(12, size=300).disk.crashed()
    for slot in superblock.SLOTS:
        disk.plant(slot, bytes(512))
    recovered = reopen(disk)
    assert sequences_of(recovered) == list(range(1, 13))
    assert [each.text for each in recovered.damage] == [
        "neither superblock can be read"
    ]
    assert recovered.start.superblock.epoch == 2


def test_without_anything_nothing_is_touched() -> None:
    disk = filled(2).disk.crashed()
    for slot in superblock.SLOTS:
        disk.plant(slot, bytes(512))
    disk.damage(name_of(1), 0, b"?" * 20)
    before = disk.contents()
    with pytest.raises(StoreDamagedError):
        reopen(disk)
    assert disk.contents() == before


def test_every_flipped_bit_of_a_superblock_is_detected() -> None:
    block = superblock.Superblock(STORE_ID, 1, 2, 3, 4, 5, 6, is_clean=True)
    data = superblock.encode(block)
    assert superblock.decode(data) == block
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert superblock.decode(bytes(flipped)) is None
    for size in range(len(data)):
        assert superblock.decode(data[:size]) is None


def test_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = filled(2).disk.crashed()
    monkeypatch.setattr(superblock, "VERSION", 2)
    with pytest.raises(StoreVersionError, match="has format 1, this broker has 2"):
        reopen(disk)
    assert disk.calls == []


@pytest.mark.parametrize("data", [None, b"", b"WARRENDF", bytes(100)])
def test_lost_definitions_are_reported_until_there_are_others(
    data: bytes | None,
) -> None:
    store = filled(2)
    store.define(b"queue")
    store.snapshot()
    store.commit()
    disk = store.disk.crashed()
    if data is None:
        disk.remove("definitions.cbor")
        disk.sync_directory("")
    else:
        disk.plant("definitions.cbor", data)
    for _ in range(2):
        disk = disk.crashed()
        recovered = reopen(disk)
        assert recovered.snapshot is None
        assert [each.name for each in recovered.damage] == ["definitions.cbor"]
    journal = Journal(recovered.start, settings())
    journal.add_snapshot(b"queue again")
    batch = journal.take_batch()
    assert batch is not None
    batch.run(disk)
    recovered = reopen(disk.crashed())
    assert (recovered.snapshot, recovered.damage) == (b"queue again", ())


def test_nothing_is_left_for_the_collector() -> None:
    disk = filled(12, size=300).disk.crashed()
    gc.collect()
    gc.disable()
    try:
        recovered = reopen(disk)
        assert not gc.isenabled()
        journal = Journal(recovered.start, settings())
        del recovered, journal
        assert gc.collect() == 0
    finally:
        gc.enable()
    reopen(disk.crashed())
    assert gc.isenabled()


def test_a_segment_of_another_store_is_none_of_ours() -> None:
    disk = filled(12, size=300).disk.crashed()
    other = Store(settings(segment_size=300))
    other.publish(1, 99, b"not ours")
    header = SegmentReader(disk, name_of(2), SEED).header()
    assert header is not None
    foreign = encode_header(header._replace(store_id=b"another store..."))
    disk.plant(name_of(2), foreign + other.disk.contents().get(name_of(1), b"")[64:])
    recovered = reopen(disk)
    assert recovered.damage
    assert 99 not in sequences_of(recovered)


def test_an_empty_store_without_superblocks_is_new() -> None:
    disk = SimulatedDisk()
    disk.plant("superblock.a", b"torn")
    disk.plant(name_of(1), bytes(100))
    recovered = reopen(disk)
    assert (recovered.damage, recovered.messages) == ((), {})
    assert recovered.start.number == 1


def test_a_reserve_that_has_no_room_is_none() -> None:
    disk = SimulatedDisk()

    def fail(method: str, name: str) -> None:
        if name == "reserve" and method == "sync":
            raise no_room(name)

    disk.on_call = fail
    recovered = reopen(disk)
    assert not recovered.start.has_reserve
    assert "reserve" not in disk.contents()
    small = SimulatedDisk()
    small.capacity = 2000
    assert not reopen(small).start.has_reserve


@pytest.mark.parametrize("file", ["journal/rewritten.tmp", "reserve", "superblock"])
def test_a_broken_disk_ends_a_start(file: str) -> None:
    disk = filled(3).disk.crashed()
    disk.remove("reserve")

    def fail(method: str, name: str) -> None:
        if method == "sync" and name.startswith(file):
            raise broken(name)

    disk.on_call = fail
    with pytest.raises(OSError, match="Input/output"):
        reopen(disk)
    assert sequences_of(reopen(disk.crashed())) == [1, 2, 3]


def test_progress_within_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PROGRESS_BYTES", 150)
    disk = filled(8).disk.crashed()
    seen: list[Progress] = []
    disk.locked = False
    recover(disk, seen.append, reserve_size=RESERVE)
    assert [each.records for each in seen] == [1, 3, 5, 7, 8]


def test_progress_ends_with_everything() -> None:
    disk = filled(12, size=300).disk.crashed()
    seen: list[Progress] = []
    disk.locked = False
    recover(disk, seen.append, reserve_size=RESERVE)
    assert seen[-1].bytes_read == seen[-1].bytes_total > 0
    assert seen[-1].records >= 12
    assert [each.bytes_read for each in seen] == sorted(
        each.bytes_read for each in seen
    )

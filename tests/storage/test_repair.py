"""Repair: whole again, and honest about what is lost."""

from __future__ import annotations

from random import Random

import pytest

from tests.simulated_disk import SimulatedDisk
from tests.storage.support import Store, contents_of, reopen, settings
from warren_broker.storage.disk import StoreInUseError
from warren_broker.storage.repair import RepairReport, repair
from warren_broker.storage.segment import name_of


def stopped(count: int = 20) -> SimulatedDisk:
    store = Store(settings(segment_size=300))
    for sequence in range(1, count + 1):
        store.publish(1, sequence, bytes([sequence]) * 40)
        store.commit()
    store.commit(is_last=True)
    return store.disk.crashed()


def repaired(disk: SimulatedDisk) -> RepairReport:
    disk.locked = False
    report = repair(disk)
    disk.locked = False
    return report


def test_nothing_to_repair() -> None:
    disk = stopped()
    before = disk.contents()
    report = repaired(disk)
    assert (report.repaired, report.left, report.set_aside) == ((), (), ())
    assert (report.records_lost, report.messages_kept) == (0, 20)
    assert disk.contents() == before


def test_an_empty_directory() -> None:
    report = repaired(SimulatedDisk())
    assert (report.records_kept, report.messages_kept) == (0, 0)


@pytest.mark.parametrize("seed", range(60))
def test_any_damage(seed: int) -> None:
    """What a start can read before, it reads after; and then it is content."""
    random, disk = Random(seed), stopped()
    for _ in range(random.randint(1, 4)):
        name = name_of(random.randint(2, 4))
        offset = random.randrange(disk.size(name))
        disk.damage(name, offset, random.randbytes(random.randint(1, 30)))
    before = disk.contents()
    first = reopen(disk)
    assert first.damage
    report = repaired(disk)
    assert report.left == ()
    assert {before[name_of(n)] for n in (2, 3, 4)} >= {
        disk.contents()[name] for name in report.set_aside
    }
    again = reopen(disk.crashed())
    assert contents_of(again) == contents_of(first)
    assert all(each.is_old for each in again.damage)
    lost = sum(each.records_lost for each in first.damage)
    assert report.records_lost == lost
    assert repaired(disk).repaired == ()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_missing_segment(number: int) -> None:
    disk = stopped()
    disk.remove(name_of(number))
    disk.sync_directory("journal")
    disk = disk.crashed()
    first = reopen(disk)
    report = repaired(disk)
    assert (len(report.repaired), report.left) == (1, ())
    again = reopen(disk.crashed())
    assert contents_of(again) == contents_of(first)
    assert all(each.is_old for each in again.damage)


def test_what_is_repaired_can_be_freed() -> None:
    disk = stopped()
    disk.damage(name_of(2), 120, b"\xff\xff\xff")
    repaired(disk)
    store = Store(settings(segment_size=300), disk)
    for key in list(store.ledger.positions):
        store.settle(key)
    store.commit()
    assert name_of(1) not in disk.contents()
    assert name_of(2) not in disk.contents()
    assert contents_of(reopen(disk.crashed())) == {}


def test_not_while_a_broker_runs() -> None:
    disk = stopped()
    disk.lock()
    with pytest.raises(StoreInUseError):
        repair(disk)


def test_definitions_are_set_aside() -> None:
    disk = stopped()
    disk.plant("definitions.cbor", b"damaged")
    report = repaired(disk)
    assert [each.name for each in report.left] == ["definitions.cbor"]
    assert disk.contents()[report.set_aside[0]] == b"damaged"
    assert disk.contents()["definitions.cbor"] == b"damaged"

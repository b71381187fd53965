"""Damage that was seen once is not forgotten before a repair."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.storage.support import Store, contents_of, reopen, settings
from warren_broker.storage import marker
from warren_broker.storage.check import check
from warren_broker.storage.repair import repair
from warren_broker.storage.segment import name_of

if TYPE_CHECKING:
    from tests.simulated_disk import SimulatedDisk


def stopped() -> SimulatedDisk:
    """Four messages: three in the sealed first segment, one in the second."""
    store = Store(settings(segment_size=300))
    for sequence in range(1, 5):
        store.publish(1, sequence, bytes([sequence]) * 40)
        store.commit()
    store.commit(is_last=True)
    return store.disk.crashed()


def damaged(segment: int) -> SimulatedDisk:
    disk = stopped()
    disk.damage(name_of(segment), 130, b"\xff\xff\xff")
    return disk


def unlocked(disk: SimulatedDisk) -> SimulatedDisk:
    disk.locked = False
    return disk


def test_what_is_whole_has_no_marker() -> None:
    disk = stopped()
    assert reopen(disk).noted == ()
    assert marker.NAME not in disk.contents()
    report = check(unlocked(disk))
    assert not report.is_damaged
    assert (report.damage, report.noted, report.messages) == ((), (), 4)


@pytest.mark.parametrize("segment", [1, 2])
def test_it_is_noted_until_it_is_repaired(segment: int) -> None:
    disk = damaged(segment)
    found = check(unlocked(disk))
    assert found.is_damaged
    assert found.noted == ()
    first = reopen(disk)
    assert first.noted == (str(found.damage[0]),)
    assert "1 records are lost" in first.noted[0]
    for _ in range(3):
        again = reopen(disk.crashed())
        assert again.noted == first.noted
        assert again.set_aside in {(), first.set_aside}, "it is known"
        assert check(unlocked(disk.crashed())).is_damaged
    assert repair(unlocked(disk)).left == ()
    assert not check(unlocked(disk)).is_damaged
    last = reopen(disk.crashed())
    assert last.noted == ()
    assert contents_of(last) == contents_of(first)


def test_a_check_changes_nothing() -> None:
    disk = damaged(1)
    before = disk.contents()
    check(unlocked(disk))
    assert disk.contents() == before


def test_of_a_directory_in_use_the_marker_is_told() -> None:
    disk = damaged(1)
    noted = reopen(disk).noted
    report = check(disk)
    assert report.is_in_use
    assert report.is_damaged
    assert report.noted == noted


def test_a_crash_at_any_moment_of_a_start_forgets_no_damage() -> None:
    """Neither before nor after the segment is set aside and written again."""
    calls = len(damaged(2).calls)
    whole = damaged(2)
    reopen(whole)
    for limit in range(len(whole.calls) - calls):
        disk = damaged(2)

        def cut(
            method: str, name: str, disk: SimulatedDisk = disk, limit: int = limit
        ) -> None:
            if len(disk.calls) >= limit and method != "read":
                raise KeyboardInterrupt

        disk.on_call = cut
        with contextlib.suppress(KeyboardInterrupt):
            reopen(disk)
        for keep in (0, len(disk.pending)):
            again = disk.crashed(lambda pending, keep=keep: pending[:keep])
            assert len(reopen(again).noted) == 1


def test_what_was_repaired_after_a_clean_stop_may_have_been_delivered() -> None:
    disk = damaged(1)
    assert repair(unlocked(disk)).repaired
    assert not reopen(disk.crashed()).was_clean

"""DiskAlarm: a look a second and each 8 MiB, one answer of two causes, no flapping."""

from __future__ import annotations

import errno
from threading import Event
from typing import TYPE_CHECKING, final

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.server.harness import run_timeless
from warren_broker.server.disk_alarm import (
    LOOK_BYTES,
    LOOK_SECONDS,
    DiskAlarm,
    default_mark_bytes,
    in_thread,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

MARK = 1000
ROOM = 2 * MARK


@final
class Gauge:
    """A file system with as much room as the test says."""

    def __init__(self, mark_bytes: int = MARK) -> None:
        self.free = ROOM
        self.looks = 0
        self.reports: list[bool] = []
        self.error: OSError | None = None
        self.alarm = DiskAlarm(mark_bytes, look=self._look, report=self.reports.append)

    async def _look(self) -> int:
        self.looks += 1
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return self.free


def watched(test: Callable[[Gauge], Awaitable[None]], mark_bytes: int = MARK) -> None:
    """Run `test` beside an alarm that runs."""

    async def main() -> None:
        gauge = Gauge(mark_bytes)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gauge.alarm.run)
            await wait_all_tasks_blocked()
            await test(gauge)
            nursery.cancel_scope.cancel()

    run_timeless(main)


async def next_look() -> None:
    await trio.sleep(LOOK_SECONDS)
    await wait_all_tasks_blocked()


def test_it_looks_at_once_and_then_each_second() -> None:
    async def test(gauge: Gauge) -> None:
        assert gauge.looks == 1
        await trio.sleep(10.5 * LOOK_SECONDS)
        assert gauge.looks == 11
        assert gauge.alarm.free_bytes == ROOM

    watched(test)


def test_it_looks_after_so_many_bytes_without_waiting() -> None:
    async def test(gauge: Gauge) -> None:
        for _ in range(3):
            gauge.alarm.wrote(LOOK_BYTES // 4, is_full=False)
        await wait_all_tasks_blocked()
        assert gauge.looks == 1
        gauge.free = 0
        gauge.alarm.wrote(LOOK_BYTES // 4, is_full=False)
        await wait_all_tasks_blocked()
        assert gauge.looks == 2
        assert gauge.reports == [True]

    watched(test)


def test_it_ends_only_well_above_its_mark() -> None:
    async def test(gauge: Gauge) -> None:
        seen = []
        for free in (MARK, MARK - 1, MARK, MARK * 11 // 10 - 1, MARK * 11 // 10, MARK):
            gauge.free = free
            await next_look()
            seen.append(list(gauge.reports))
        on = [True]
        assert seen == [[], on, on, on, [True, False], [True, False]]

    watched(test)


def test_the_journal_and_the_space_are_one_alarm() -> None:
    async def test(gauge: Gauge) -> None:
        gauge.alarm.wrote(0, is_full=True)
        gauge.alarm.wrote(0, is_full=True)
        assert gauge.reports == [True]
        gauge.free = 0
        await next_look()
        gauge.alarm.wrote(0, is_full=False)
        assert gauge.reports == [True], "there is room, but not enough"
        gauge.free = ROOM
        await next_look()
        assert gauge.reports == [True, False]

    watched(test)


def test_without_a_mark_only_the_journal_speaks() -> None:
    async def test(gauge: Gauge) -> None:
        gauge.free = 0
        await next_look()
        assert gauge.reports == []
        gauge.alarm.wrote(0, is_full=True)
        await next_look()
        assert gauge.reports == [True]

    watched(test, mark_bytes=0)


def test_a_look_that_fails_changes_nothing_and_is_not_the_last() -> None:
    async def test(gauge: Gauge) -> None:
        gauge.free = 0
        await next_look()
        gauge.error = OSError(errno.EIO, "broken")
        await next_look()
        assert gauge.reports == [True]
        gauge.error, gauge.free = None, ROOM
        await next_look()
        assert gauge.reports == [True, False]

    watched(test)


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (1 << 20, 128 << 20),
        (10 << 30, (10 << 30) // 20),
        (1 << 40, 1 << 30),
    ],
)
def test_the_mark_depends_on_the_file_system(
    total: int, expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = type("Usage", (), {"total": total})
    monkeypatch.setattr("shutil.disk_usage", {str(tmp_path): usage}.__getitem__)
    assert default_mark_bytes(str(tmp_path), segment_bytes=64 << 20) == expected


def test_a_look_in_a_thread_does_not_hold_up_the_end() -> None:
    async def main() -> None:
        assert await in_thread(lambda: 5) == 5
        hung, gate, over = trio.Event(), Event(), []

        def hang() -> int:
            trio.from_thread.run_sync(hung.set)
            gate.wait(20)
            over.append(True)
            return 0

        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_thread, hang)
            await hung.wait()
            nursery.cancel_scope.cancel()
        assert over == []
        gate.set()

    trio.run(main)

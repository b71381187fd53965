"""SpillFile: bytes that come back from the disk, and files that go when they may."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

import trio
import trio.testing

from warren_broker.server import spill_file
from warren_broker.server.spill_file import SpillFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import pytest


class Writer:
    """What a run is for its spill: somebody who hears when it is written."""

    def __init__(self) -> None:
        self.is_written = trio.Event()

    def on_written(self) -> None:
        self.is_written.set()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def run(story: Callable[[SpillFile], Awaitable[None]], directory: Path) -> None:
    async def main() -> None:
        spill = SpillFile(directory)
        with trio.fail_after(20):
            await story(spill)
        spill.close()

    trio.run(main)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    async def story(spill: SpillFile) -> None:
        pieces = [os.urandom(size) for size in (1, 70_000, 5, 300_000)]
        writers = [Writer() for _ in pieces]
        places = [spill.write(*each) for each in zip(writers, pieces, strict=True)]
        for writer in writers:
            await writer.is_written.wait()
        for place in places:
            spill.want(place)
        assert [spill.read(place) for place in places[::-1]] == pieces[::-1]

    run(story, tmp_path)
    assert not list(tmp_path.iterdir()), "its files have no names"


def test_a_file_goes_with_its_last_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill_file, "FILE_BYTES", 1000)

    async def story(spill: SpillFile) -> None:
        before = descriptors()
        writers = [Writer() for _ in range(10)]
        places = [spill.write(writer, bytes(600)) for writer in writers]
        assert descriptors() == before + 4  # two fill a file
        for place in places[::2]:
            spill.free(place)  # perhaps before it is written
        for writer in writers:
            await writer.is_written.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert descriptors() == before + 4
        for place in places[1::2]:
            spill.free(place)
        assert descriptors() == before, "the last one is for what comes"

    run(story, tmp_path)


def test_without_room_on_the_disk_it_stays_in_memory(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def story(spill: SpillFile) -> None:
        refused, taken = Writer(), Writer()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            place = spill.write(refused, bytes(5000))
            while spill.pending_count:
                await trio.lowlevel.checkpoint()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not refused.is_written.is_set()
        spill.free(place)
        again = spill.write(taken, b"there is room again")
        await taken.is_written.wait()
        assert spill.read(again) == b"there is room again"

    run(story, tmp_path)


def test_without_a_descriptor_to_be_had_the_file_grows_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill_file, "FILE_BYTES", 1000)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def story(spill: SpillFile) -> None:
        before = descriptors()
        first = spill.write(Writer(), b"1" * 1000)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            second = spill.write(Writer(), b"2" * 1000)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        third = spill.write(Writer(), b"3" * 1000)
        while spill.pending_count:
            await trio.lowlevel.checkpoint()
        assert [spill.read(place)[:1] for place in (first, second, third)] == [
            *(b"1", b"2", b"3")
        ]
        assert descriptors() == before + 1, "the third began a file"

    run(story, tmp_path)

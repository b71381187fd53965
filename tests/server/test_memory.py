"""Memory: the limit that really binds, from files as the kernel writes them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

from tests.server.harness import run_timeless
from warren_broker.server.memory import available_bytes, resident_bytes, trim

if TYPE_CHECKING:
    from pathlib import Path

RAM = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def available(root: Path) -> int:
    return available_bytes(cgroup=root / "cgroup", process=root / "process")


def test_without_control_groups_it_is_ram(tmp_path: Path) -> None:
    assert available(tmp_path) == RAM


def test_version_2_takes_the_strictest_group_on_the_way_up(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "process/cgroup": "0::/slice/service\n",
            "cgroup/slice/service/memory.max": "max\n",
            "cgroup/slice/memory.max": f"{64 * MIB}\n",
        },
    )
    assert available(tmp_path) == 64 * MIB


def test_version_1_has_a_folder_for_memory(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "process/cgroup": "8:pids:/\n4:memory:/job\n",
            "cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "cgroup/memory/job/memory.limit_in_bytes": f"{32 * MIB}\n",
        },
    )
    assert available(tmp_path) == 32 * MIB


def test_a_container_sees_its_group_as_the_root(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "process/cgroup": "0::/host/path/not/mounted/here\n",
            "cgroup/memory.max": f"{16 * MIB}\n",
        },
    )
    assert available(tmp_path) == 16 * MIB


def test_resident_memory_grows_with_what_is_held() -> None:
    before = resident_bytes()
    held = bytearray(os.urandom(64 * MIB))
    after = resident_bytes()
    assert before is not None
    assert after is not None
    assert after - before > 32 * MIB
    del held
    trio.run(trim)
    assert (resident_bytes() or 0) < after


def test_memory_is_given_back_by_a_thread_and_an_end_does_not_wait_for_it() -> None:
    """With gigabytes to look through it takes long; all others go on meanwhile."""

    async def main() -> None:
        threads = trio.to_thread.current_default_thread_limiter()
        threads.total_tokens = 1
        async with threads:  # no thread is to be had
            with trio.move_on_after(1) as scope:
                await trim()
            assert scope.cancelled_caught

    run_timeless(main)

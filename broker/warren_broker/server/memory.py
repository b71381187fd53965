"""Memory: how much this process uses, and how much it may."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

import trio

_PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE")

_malloc_trim: Final = getattr(ctypes.CDLL(None), "malloc_trim", None)

_CGROUP: Final = Path("/sys/fs/cgroup")


def resident_bytes() -> int | None:
    """Return the memory this process has in RAM; None where the system won't say."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * _PAGE_SIZE
    except OSError:
        return None


async def trim() -> None:
    """Give freed memory back to the system, where the C library can.

    In a thread (ctypes lets go of the GIL): with gigabytes to look through it takes
    long. Nobody needs its end, so a cancelled caller does not wait for it.
    """
    if _malloc_trim is not None:
        await trio.to_thread.run_sync(_malloc_trim, 0, abandon_on_cancel=True)


def available_bytes(cgroup: Path = _CGROUP, process: Path = Path("/proc/self")) -> int:
    """Return what this process may use: its control group's limit, or all of RAM."""
    ram = os.sysconf("SC_PHYS_PAGES") * _PAGE_SIZE
    return min([ram, *_cgroup_limits(cgroup, process)])


def _cgroup_limits(cgroup: Path, process: Path) -> list[int]:
    """Return every limit that binds this process, version 1 and 2.

    A container sees its own group as the root of the mount while its path is still
    the host's, so the roots count too.
    """
    files = [cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"]
    for line in _read(process / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            files += _up_to_root(cgroup, path, "memory.max")
        elif "memory" in controllers.split(","):
            files += _up_to_root(cgroup / "memory", path, "memory.limit_in_bytes")
    return [int(text) for file in files if (text := _read(file).strip()).isdigit()]


def _up_to_root(root: Path, path: str, name: str) -> list[Path]:
    """Return the file `name` of the group `path` and of each group it is in."""
    group = root / path.lstrip("/")
    return [
        level / name for level in (group, *group.parents) if level.is_relative_to(root)
    ]


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""

"""File systems of our own: in files, on loop devices, below one directory."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, Self, final

MOUNTS: Final = Path("/proc/self/mounts")
SBIN: Final = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
MAKERS: Final = {
    # No thread of the system is to fill in later what a cut would miss.
    "ext4": ("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
    "xfs": ("mkfs.xfs", "-q", "-m", "reflink=1"),
}


class MountError(Exception):
    """It cannot be done here; the text says why."""


@final
class Mounts:
    """File systems below `directory`. At the end all of them are unmounted.

    A loop device is made with its mount and goes with it, so there is nothing else to
    clean up, wherever we were interrupted.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        below = f"{self._directory}/"
        places = [line.split()[1] for line in MOUNTS.read_text().splitlines()]
        for place in reversed(places):
            if place.startswith(below):
                _run("umount", "--lazy", place)

    def make(self, image: Path, kind: str, size: int, *options: str) -> None:
        """Make a file system of `size` bytes in a new file. Raises MountError."""
        with image.open("xb") as file:
            file.truncate(size)
        _run(*MAKERS[kind], *options, image)

    def mount(self, image: Path, kind: str) -> Path:
        """Mount an image beside itself; return where. Raises MountError."""
        place = image.with_suffix(".mounted")
        place.mkdir(exist_ok=True)
        _run("mount", "-o", "loop", "-t", kind, image, place)
        return place

    def unmount(self, place: Path) -> None:
        """Raises MountError."""
        _run("umount", place)


def clone(old: Path, new: Path) -> None:
    """Copy a file as it is at one moment, in no time. Raises MountError."""
    _run("cp", "--reflink=always", old, new)


def mounts_missing(*kinds: str) -> str | None:
    """Return why there can be no file systems of these kinds; None if there can."""
    if os.geteuid() != 0:
        return "only root can mount"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices"
    for kind in kinds:
        if shutil.which(MAKERS[kind][0], path=SBIN) is None:
            return f"{MAKERS[kind][0]} is not installed"
    return None


def _run(*command: object) -> None:
    ran = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": SBIN},
        start_new_session=True,  # Ctrl-C is for us, who clean up
    )
    if ran.returncode:
        raise MountError(f"{command[0]}: {ran.stderr.strip()}")

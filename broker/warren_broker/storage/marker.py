"""The marker: a file that says what of the data directory was found damaged.

A start that finds damage writes it down before it sets anything aside, and it stays
until `repair` has been run: damage that was seen once is not forgotten, whatever has
become of the segment. It is text, a line for each, for people as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warren_broker.storage.disk import read_carefully

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.storage.disk import Disk

NAME: Final = "damaged"
TEMPORARY: Final = "damaged.tmp"


def read(disk: Disk) -> tuple[str, ...]:
    """Return what is noted, a line each. Raises `OSError`."""
    if NAME not in disk.names():
        return ()
    text = read_carefully(disk, NAME, 0, disk.size(NAME)).decode(errors="replace")
    return tuple(text.splitlines())


def add(disk: Disk, lines: Iterable[str]) -> tuple[str, ...]:
    """Note `lines` that are new, safely; return all that is noted. Raises `OSError`."""
    known = read(disk)
    noted = tuple(dict.fromkeys((*known, *lines)))
    if noted != known:
        disk.remove(TEMPORARY)
        disk.append(TEMPORARY, ["".join(f"{line}\n" for line in noted).encode()])
        disk.sync(TEMPORARY)
        disk.rename(TEMPORARY, NAME)
        disk.sync_directory("")
    return noted


def remove(disk: Disk) -> None:
    """Forget it all. Raises `OSError`."""
    if NAME in disk.names():
        disk.remove(NAME)
        disk.sync_directory("")

"""The checksum by which is known again what was left to a disk."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable


def checksum_of(
    bodies: bytes | memoryview, kinds: Iterable[tuple[bytes, bytes]]
) -> int:
    """Return the checksum of messages in a row.

    `bodies` of all of them, joined; `kinds`: their routes and headers, as encoded. Of
    those that are equal and follow each other it makes no difference how many there
    are: who has only one of them need not repeat it.
    """
    checksum = crc32(bodies)
    last: tuple[bytes, bytes] | None = None
    for kind in kinds:
        if kind != last:
            checksum = crc32(kind[1], crc32(kind[0], checksum))
            last = kind
    return checksum


def verify(found: int, expected: int) -> None:
    """Raise OSError, as a disk would that notices it, unless they are the same."""
    if found != expected:
        raise OSError(errno.EIO, "what was read is not what was written")

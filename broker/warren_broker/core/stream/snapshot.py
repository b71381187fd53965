"""Snapshot: the newest record of each key, up to one offset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren.errors import PreconditionFailed
from warren_broker.core.stream.keys import compact_key, is_tombstone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.limits import Limits
    from warren_broker.core.stream.record import Record

_KEY_BYTES: Final = 200
"""What remembering a key takes besides the record."""


@final
class Snapshots:
    """What the snapshots of all readers take together, and may take.

    Attributes:
        size_bytes: of all that was read and is not delivered yet.
    """

    __slots__ = ("limits", "size_bytes")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.size_bytes = 0


@final
class Snapshot:
    """What has been read so far for one reader.

    Attributes:
        end: the offset before which it is taken; what follows is read as it is.
    """

    __slots__ = ("_all", "_newest", "_size_bytes", "end")

    def __init__(self, end: int, snapshots: Snapshots) -> None:
        """It is one of `snapshots` until `release`."""
        self.end = end
        self._all = snapshots
        self._newest: dict[str, Record] = {}
        self._size_bytes = 0

    def add(self, records: Iterable[Record]) -> None:
        """Take note of records, in their order.

        Raises:
            PreconditionFailed: they have more keys, or bytes, than one reader may, or
                than are left of what all may.
        """
        newest, limits, before = self._newest, self._all.limits, self._size_bytes
        for record in records:
            if record.offset >= self.end:
                break
            key = compact_key(record.message)
            older = newest.pop(key, None)
            if older is not None:
                self._size_bytes -= older.message.size_bytes + _KEY_BYTES
            if not is_tombstone(record.message):
                newest[key] = record
                self._size_bytes += record.message.size_bytes + _KEY_BYTES
        self._all.size_bytes += self._size_bytes - before
        if len(newest) > limits.snapshot_keys_max:
            raise PreconditionFailed(
                f"a snapshot has at most {limits.snapshot_keys_max} keys"
            )
        if self._size_bytes > limits.snapshot_max_bytes:
            raise PreconditionFailed(
                f"a snapshot has at most {limits.snapshot_max_bytes} bytes"
            )
        if self._all.size_bytes > limits.snapshots_max_bytes:
            raise PreconditionFailed(
                f"all snapshots have at most {limits.snapshots_max_bytes} bytes"
                " together: try again later"
            )

    def release(self) -> None:
        """It is delivered, or nobody wants it any more."""
        self._all.size_bytes -= self._size_bytes
        self._size_bytes = 0

    def records(self) -> list[Record]:
        """Return what is to be delivered, in the order of offsets."""
        return list(self._newest.values())

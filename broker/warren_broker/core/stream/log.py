"""Log: what keeps the records of one stream; the seam between core and storage.

The stream gives offsets and times, and appends; the log makes safe and says so. What is
asked of it is never answered within the call: each answer is a turn of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from warren_broker.core.stream.record import Page, Record


@frozen(kw_only=True)
class Retention:
    """How much of a stream is kept; None: no limit.

    Only whole sealed segments go, the oldest first, as long as one of the limits is
    exceeded by what remains.
    """

    max_bytes: int | None = None
    max_records: int | None = None
    max_age_ms: int | None = None


class LogOwner(ABC):
    """The stream a log belongs to, as the log knows it. Each call is within a turn."""

    __slots__ = ()

    @abstractmethod
    def on_safe(self) -> None:
        """The log's `end` has grown: readers may see more."""

    @abstractmethod
    def on_trimmed(self) -> None:
        """The log's `first` has grown: what was before it cannot be read any more."""

    @abstractmethod
    def on_page(self, page: Page) -> None:
        """What `want` asked for."""

    @abstractmethod
    def on_unreadable(self, start: int, end: int, reason: str) -> None:
        """What `want` asked for cannot be read: offsets from `start` to before `end`.

        What comes at `end` can be asked for; nothing is given up on the disk.
        """

    @abstractmethod
    def on_time_found(self, timestamp_ms: int, offset: int) -> None:
        """What `want_time` asked for."""


class Log(ABC):
    """The records of one stream.

    The attributes are plain slots that the subclass keeps: they are read for every
    reader and batch.
    """

    __slots__ = ("count", "end", "first", "is_watched", "newest_ms", "producers")

    count: int
    """Records from `first` to `end`: fewer than offsets once it was compacted."""
    newest_ms: int
    """The time of the last record when it was opened, 0 if there was none; the stream
    never gives an earlier one, and the log never looks at it again."""
    first: int
    """The oldest offset that can be read, `end` if there is nothing."""
    end: int
    """The offset after the last record that is safe."""
    is_watched: bool
    """The stream's word that somebody waits for what is appended, though it may not be
    its publisher: what is not safe is not seen."""
    producers: dict[str, int]
    """By producer id, the last sequence number among the records, when it was opened,
    the longest idle first; the stream goes on with it and the log never looks at it
    again."""

    @abstractmethod
    def append(self, record: Record, producer: tuple[str, int] | None) -> None:
        """Keep `record`, whose offset is one more than that of the last one.

        `producer`: the id and sequence number it came with. Hot: once a record.
        """

    @abstractmethod
    def size_segments(self, segment_bytes: int) -> None:
        """End segments at so many bytes from now on, the active one as well."""

    @abstractmethod
    def want(self, offset: int) -> None:
        """Ask for the page with `offset`, which is not below `first`, and below `end`.

        If it is being read already it comes once. The page may begin before `offset`,
        and tells about at least one offset from there on. See `LogOwner.on_page`. What
        is let go of meanwhile does not come: `LogOwner.on_trimmed` tells.
        """

    @abstractmethod
    def want_time(self, timestamp_ms: int) -> None:
        """Ask for the first offset whose record is not older (`end` if all are)."""

    @abstractmethod
    def retain(self, retention: Retention, now_ms: int) -> None:
        """Let go of what need not be kept; `LogOwner.on_trimmed` follows."""

    @abstractmethod
    def compact(self, tombstones_before_ms: int) -> None:
        """Let go of records that have a newer one with the same key, in the background.

        Also of those with an empty body (tombstones) that are older. The active segment
        is left alone. The key is the header `x-compact-key`, or else the routing key.
        """

    @abstractmethod
    def delete(self) -> None:
        """The stream is gone for good, and every byte of it."""

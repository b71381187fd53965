"""Record: one message at its offset in a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from warren_broker.core.message import Message


@final
class Record:
    """A message of a stream; never changed, and shared by all who read it.

    Attributes:
        offset: its place, from 0; no other record of the stream ever has it.
        timestamp_ms: when it was appended, in milliseconds since 1970.
        filter_value: what readers may choose by (x-stream-filter-value); None for none.
    """

    __slots__ = ("filter_value", "message", "offset", "timestamp_ms")

    def __init__(
        self,
        offset: int,
        timestamp_ms: int,
        message: Message,
        filter_value: str | None = None,
    ) -> None:
        self.offset: int = offset
        self.timestamp_ms: int = timestamp_ms
        self.message: Message = message
        self.filter_value: str | None = filter_value


@final
class Page:
    """Records as they were read together, in the order of their offsets.

    Attributes:
        start: the first offset it tells about.
        end: the offset after the last one it tells about.
        records: what there is between them; compaction leaves holes.
        size_bytes: about what they are in memory, as limits count it.
        encoded: what front ends have made of the records for all who read here, kept by
            them, each under a key of its own.
    """

    __slots__ = ("encoded", "end", "records", "size_bytes", "start")

    def __init__(
        self, start: int, end: int, records: list[Record], size_bytes: int | None = None
    ) -> None:
        """Without `size_bytes` they are measured, which takes as long as a delivery."""
        self.start: int = start
        self.end: int = end
        self.records: list[Record] = records
        if size_bytes is None:
            size_bytes = sum(record.message.size_bytes for record in records)
        self.size_bytes: int = size_bytes
        self.encoded: dict[object, object] = {}

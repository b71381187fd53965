"""The records of streams, on their way from one data directory to another."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, final

import cbor2

from warren_broker.server.transfer_file import MovingRecords, TransferError
from warren_broker.storage.stream.chunk import (
    COMPACTED,
    TRACKING,
    Draft,
    decode_producers,
    tracking,
)
from warren_broker.storage.stream.entry import decode, spans
from warren_broker.storage.stream.log import SEGMENT_BYTES
from warren_broker.storage.stream.producers import note_producers
from warren_broker.storage.stream.writing import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from warren_broker.storage.disk import Disk
    from warren_broker.storage.stream.log import StoreFacts
    from warren_broker.storage.stream.survey import StreamSurvey


def records_of(survey: StreamSurvey, wanted: Container[int]) -> Iterator[MovingRecords]:
    """Yield all that can be read of the streams that are `wanted`."""
    for number in sorted(survey.firsts):
        if number in wanted:
            for segment in survey.segments(number):
                for chunk in segment.chunks():
                    head = chunk.header
                    yield MovingRecords(
                        number,
                        head.first,
                        chunk.end,
                        head.kind,
                        head.timestamp_ms,
                        head.records,
                        chunk.data,
                        chunk.producers,
                    )


@final
class StreamImport:
    """Writes the segments of streams that nobody else knows. `finish` it."""

    def __init__(self, disk: Disk, facts: StoreFacts) -> None:
        self._disk = disk
        self._facts = facts
        self._number = 0
        self._writer: SegmentWriter | None = None
        self._producers: dict[str, int] = {}

    def add(self, moving: MovingRecords) -> None:
        """Write a chunk. Raises TransferError for one that is out of order; OSError."""
        if moving.number != self._number:
            self.finish()
            self._number, self._producers = moving.number, {}
        writer = self._writer
        if writer is None:
            writer = self._begin(moving.first)
        elif writer.state.position > SEGMENT_BYTES:
            self._end(writer)
            writer = self._begin(writer.state.offset)
        if moving.first < writer.state.offset:
            raise TransferError("the file is damaged")
        if moving.kind == TRACKING:
            self._producers = _producers_of(moving.data)
            return
        _check_entries(moving)
        note_producers(self._producers, _producers_of(moving.producers))
        writer.skip(moving.first)
        draft = Draft(moving.timestamp_ms, moving.kind)
        draft.pieces, draft.size = [moving.data], len(moving.data)
        draft.count = moving.records
        writer.add(draft, moving.end)

    def finish(self) -> None:
        """The last stream is complete. Raises OSError."""
        if self._writer is not None:
            if self._producers:
                writer = self._writer
                writer.add(tracking(self._producers, 0), writer.state.offset)
            self._end(self._writer)
            self._writer = None

    def _begin(self, first: int) -> SegmentWriter:
        disk, facts = self._disk, self._facts
        self._writer = SegmentWriter(disk, facts, self._number, first, 0)
        return self._writer

    def _end(self, writer: SegmentWriter) -> None:
        writer.finish().run(self._disk)


def _producers_of(cbor: bytes) -> dict[str, int]:
    """Raises TransferError."""
    try:
        producers: object = decode_producers(cbor)
    except (cbor2.CBORError, RecursionError) as error:
        raise TransferError("the file is damaged") from error
    match producers:
        case dict() if all(
            isinstance(name, str) and isinstance(last, int)
            for name, last in producers.items()
        ):
            return producers
    raise TransferError("the file is damaged")


def _check_entries(moving: MovingRecords) -> None:
    """Raise TransferError unless the data is as many entries as it should be."""
    count, end = 0, 0
    try:
        is_compacted = moving.kind == COMPACTED
        for delta, start, end in spans(moving.data, has_deltas=is_compacted):
            decode(moving.data, start)
            is_inside = moving.first + delta < moving.end
            if not is_inside or end > len(moving.data):
                raise TransferError("the file is damaged")
            count += 1
    except (struct.error, ValueError) as error:
        raise TransferError("the file is damaged") from error
    if (count, end) != (moving.records, len(moving.data)):
        raise TransferError("the file is damaged")

"""The file that `warren export` writes: a data directory as a CBOR sequence (RFC 8742).

    head         ["warren export", version, was the last stop a clean one]
    definition   [0, CBOR of one entry of the book]
    message      [1, number, sequence, expires, route, header, body]
    records      [3, number, first, end, kind, time, count, data, producers]
    end          [2, definitions, messages, CRC-32 of all items before]

Items are lists of numbers, byte strings and the head's text and boolean. There is a
shortest encoding of each and it is the only one, so the checksum is over the items as
they are encoded again. All that a message says is as the journal has it: `expires` is
in milliseconds since 1970, 0 for never; messages are ordered by number and sequence.
Records are the chunks of a stream, see docs/FORMAT.md, and count as messages; those of
one stream come together and in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final
from zlib import crc32

import cbor2

from warren.errors import WarrenError
from warren_broker.storage.stream.chunk import ENTRIES_MAX, KINDS, RECORDS
from warren_broker.storage.stream.segment import OFFSET_MAX as _OFFSET_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

MAGIC: Final = "warren export"
VERSION: Final = 2
VERSIONS: Final = frozenset({1, VERSION})  # the first one had no records of streams

_DEFINITION: Final = 0
_MESSAGE: Final = 1
_END: Final = 2
_RECORDS: Final = 3
_U32_MAX: Final = 2**32 - 1
_U64_MAX: Final = 2**64 - 1
_ROUTE_MAX: Final = 2 * 256  # two short strings


class TransferError(WarrenError):
    """A file or a directory cannot be used: the text says why."""


class Moving(NamedTuple):
    """A message on its way from one data directory to another."""

    number: int  # of the queue
    sequence: int
    expires_ms: int
    route: bytes
    header: bytes
    body: bytes


class MovingRecords(NamedTuple):
    """A chunk of a stream on its way."""

    number: int  # of the stream
    first: int  # offset
    end: int
    kind: int
    timestamp_ms: int
    records: int
    data: bytes
    producers: bytes


@final
class TransferWriter:
    """Writes the items of a file. The end must be written for it to be of any use.

    Attributes:
        definitions, messages: how many have been written.
    """

    def __init__(self, target: BinaryIO, *, was_clean: bool) -> None:
        self.definitions = 0
        self.messages = 0
        self._target = target
        self._crc = 0
        self._write([MAGIC, VERSION, was_clean])

    def add_definition(self, cbor: bytes) -> None:
        """Write an entry of the book."""
        self.definitions += 1
        self._write([_DEFINITION, cbor])

    def add_message(self, moving: Moving) -> None:
        """Write a message."""
        self.messages += 1
        self._write([_MESSAGE, *moving])

    def add_records(self, moving: MovingRecords) -> None:
        """Write a chunk."""
        self.messages += moving.records
        self._write([_RECORDS, *moving])

    def end(self) -> None:
        """Say that this is all."""
        self._write([_END, self.definitions, self.messages, self._crc])

    def _write(self, item: list[object]) -> None:
        encoded = cbor2.dumps(item)
        self._crc = crc32(encoded, self._crc)
        self._target.write(encoded)


@final
class TransferReader:
    """Reads the items of a file. What it gives counts only when the end was reached.

    Attributes:
        was_clean: whether the last stop was a clean one.
        definitions, messages: how many have been read.
    """

    def __init__(self, source: BinaryIO) -> None:
        """Raises TransferError unless a file of this version begins."""
        self.definitions = 0
        self.messages = 0
        self._decoder = cbor2.CBORDecoder(source)
        self._crc = 0
        match self._read_head():
            case [str(magic), int(version), bool(was_clean)] if magic == MAGIC:
                self.was_clean = was_clean
            case _:
                raise TransferError("this is no file of warren export")
        if version not in VERSIONS:
            raise TransferError(f"version {version} of the file is not known")

    def items(self) -> Iterator[bytes | Moving | MovingRecords]:
        """Yield definitions, messages and records. Raises TransferError."""
        while True:
            crc = self._crc
            match self._read():
                case [0, bytes(cbor)]:
                    self.definitions += 1
                    yield cbor
                case [1, int(number), int(sequence), int(expires_ms), *rest]:
                    self.messages += 1
                    yield _moving(number, sequence, expires_ms, rest)
                case [3, int(number), int(first), int(end), *rest]:
                    moving = _moving_records(number, first, end, rest)
                    self.messages += moving.records
                    yield moving
                case [2, self.definitions, self.messages, int(expected)]:
                    if expected == crc:
                        return
                    raise TransferError("the file is damaged")
                case _:
                    raise TransferError("the file is damaged")

    def _read_head(self) -> object:
        try:
            return self._read()
        except TransferError:
            return None

    def _read(self) -> object:
        try:
            item: object = self._decoder.decode()
            encoded = cbor2.dumps(item)
        except cbor2.CBORDecodeEOF as error:
            raise TransferError("the end of the file is missing") from error
        except (cbor2.CBORError, RecursionError) as error:
            raise TransferError("the file is damaged") from error
        self._crc = crc32(encoded, self._crc)
        return item


def _moving(number: int, sequence: int, expires_ms: int, rest: list[object]) -> Moving:
    match rest:
        case [bytes(route), bytes(header), bytes(body)] if (
            0 < number <= _U32_MAX
            and 0 <= sequence <= _U64_MAX
            and 0 <= expires_ms <= _U64_MAX
            and len(route) <= _ROUTE_MAX
        ):
            return Moving(number, sequence, expires_ms, route, header, body)
    raise TransferError("the file is damaged")


def _moving_records(
    number: int, first: int, end: int, rest: list[object]
) -> MovingRecords:
    match rest:
        case [int(kind), int(time), int(count), bytes(data), bytes(producers)] if (
            0 < number <= _U32_MAX
            and 0 <= first <= end <= _OFFSET_MAX
            and kind in KINDS
            and abs(time) <= _OFFSET_MAX
            and 0 <= count <= ENTRIES_MAX
            and (kind != RECORDS or end - first == count)
        ):
            return MovingRecords(number, first, end, kind, time, count, data, producers)
    raise TransferError("the file is damaged")

"""The file that `warren export` writes: a data directory as a CBOR sequence (RFC 8742).

    head         ["warren export", version, was the last stop a clean one]
    definition   [0, CBOR of one entry of the book]
    message      [1, number, sequence, expires, route, header, body]
    end          [2, definitions, messages, CRC-32 of all items before]

Items are lists of numbers, byte strings and the head's text and boolean. There is a
shortest encoding of each and it is the only one, so the checksum is over the items as
they are encoded again. All that a message says is as the journal has it: `expires` is
in milliseconds since 1970, 0 for never; messages are ordered by number and sequence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final
from zlib import crc32

import cbor2

from warren.errors import WarrenError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

MAGIC: Final = "warren export"
VERSION: Final = 1

_DEFINITION: Final = 0
_MESSAGE: Final = 1
_END: Final = 2
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
        if version != VERSION:
            raise TransferError(f"version {version} of the file is not known")

    def items(self) -> Iterator[bytes | Moving]:
        """Yield definitions and messages. Raises TransferError."""
        while True:
            crc = self._crc
            match self._read():
                case [0, bytes(cbor)]:
                    self.definitions += 1
                    yield cbor
                case [1, int(number), int(sequence), int(expires_ms), *rest]:
                    self.messages += 1
                    yield _moving(number, sequence, expires_ms, rest)
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

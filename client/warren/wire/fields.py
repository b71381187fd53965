"""Wire types of the fields of methods and properties, and how each is moved.

A wire type is a Python type with a mark: ``ShortStr = Annotated[str, Wire.SHORTSTR]``.
A codec is the reader and writer of one field, or of a run of bits, which share an
octet. Specification, section 4.2.5.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum, auto
from itertools import groupby
from struct import Struct
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, final

from warren.wire.faults import malformed_string
from warren.wire.table import Table, decode_table, encode_table

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTSTR_SIZE_MAX: Final = 255
"""Bytes of a short string."""


class Wire(Enum):
    """How a field looks on the wire."""

    BIT = auto()
    OCTET = auto()
    SHORT = auto()
    LONG = auto()
    LONGLONG = auto()
    SHORTSTR = auto()
    LONGSTR = auto()
    TABLE = auto()


Bit: TypeAlias = Annotated[bool, Wire.BIT]
Octet: TypeAlias = Annotated[int, Wire.OCTET]
Short: TypeAlias = Annotated[int, Wire.SHORT]
Long: TypeAlias = Annotated[int, Wire.LONG]
LongLong: TypeAlias = Annotated[int, Wire.LONGLONG]
ShortStr: TypeAlias = Annotated[str, Wire.SHORTSTR]
LongStr: TypeAlias = Annotated[bytes, Wire.LONGSTR]
Arguments: TypeAlias = Annotated[Table, Wire.TABLE]


class FieldCodec(ABC):
    """Moves one field, or one run of bits, between a payload and its owner.

    A reader may trust nothing: it raises IndexError or struct.error past the end, or
    returns an offset past the end, and its caller takes all three for the same fault.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name: str = name

    @abstractmethod
    def read(self, payload: bytes, offset: int, values: dict[str, object]) -> int:
        """Put what is at `offset` into `values`; return the offset after it."""

    @abstractmethod
    def write(self, owner: object) -> bytes:
        """Return the bytes of the field of `owner`, which is not None."""


@final
class BitsCodec(FieldCodec):
    """A run of at most eight bits, the first the lowest; unused ones are ignored."""

    __slots__ = ("names",)

    def __init__(self, names: Iterable[str]) -> None:
        self.names: tuple[str, ...] = tuple(names)
        super().__init__(" ".join(self.names))

    def read(self, payload: bytes, offset: int, values: dict[str, object]) -> int:
        octet = payload[offset]
        for name in self.names:
            values[name] = octet & 1 == 1
            octet >>= 1
        return offset + 1

    def write(self, owner: object) -> bytes:
        octet = 0
        for position, name in enumerate(self.names):
            if getattr(owner, name):
                octet |= 1 << position
        return bytes((octet,))


@final
class NumberCodec(FieldCodec):
    """An unsigned number of one, two, four or eight bytes."""

    __slots__ = ("layout",)

    def __init__(self, name: str, layout: Struct) -> None:
        super().__init__(name)
        self.layout: Struct = layout

    def read(self, payload: bytes, offset: int, values: dict[str, object]) -> int:
        values[self.name] = self.layout.unpack_from(payload, offset)[0]
        return offset + self.layout.size

    def write(self, owner: object) -> bytes:
        return self.layout.pack(getattr(owner, self.name))


@final
class ShortStrCodec(FieldCodec):
    """At most 255 bytes of UTF-8, after their number in one octet."""

    __slots__ = ()

    def read(self, payload: bytes, offset: int, values: dict[str, object]) -> int:
        start = offset + 1
        stop = start + payload[offset]
        try:
            values[self.name] = payload[start:stop].decode()
        except UnicodeDecodeError:
            raise malformed_string() from None
        return stop

    def write(self, owner: object) -> bytes:
        raw: bytes = getattr(owner, self.name).encode()
        if len(raw) > SHORTSTR_SIZE_MAX:
            raise ValueError(f"{self.name} is longer than {SHORTSTR_SIZE_MAX} bytes")
        return bytes((len(raw),)) + raw


@final
class LongStrCodec(FieldCodec):
    """Bytes, after their number in four octets."""

    __slots__ = ()

    def read(self, payload: bytes, offset: int, values: dict[str, object]) -> int:
        start = offset + _LONG.size
        stop: int = start + _LONG.unpack_from(payload, offset)[0]
        values[self.name] = payload[start:stop]
        return stop

    def write(self, owner: object) -> bytes:
        raw: bytes = getattr(owner, self.name)
        return _LONG.pack(len(raw)) + raw


@final
class TableCodec(FieldCodec):
    """A field table."""

    __slots__ = ()

    def read(self, payload: bytes, offset: int, values: dict[str, object]) -> int:
        values[self.name], offset = decode_table(payload, offset)
        return offset

    def write(self, owner: object) -> bytes:
        return encode_table(getattr(owner, self.name))


_LONG: Final = Struct(">I")

_NUMBERS: Final[dict[Wire, Struct]] = {
    Wire.OCTET: Struct(">B"),
    Wire.SHORT: Struct(">H"),
    Wire.LONG: _LONG,
    Wire.LONGLONG: Struct(">Q"),
}
_OTHERS: Final[dict[Wire, type[ShortStrCodec | LongStrCodec | TableCodec]]] = {
    Wire.SHORTSTR: ShortStrCodec,
    Wire.LONGSTR: LongStrCodec,
    Wire.TABLE: TableCodec,
}


def codecs_for(fields: dict[str, Wire]) -> tuple[FieldCodec, ...]:
    """Return the codecs of a method's fields, given in wire order."""
    codecs: list[FieldCodec] = []
    for wire, run in groupby(fields, key=fields.__getitem__):
        if wire is Wire.BIT:
            codecs.append(BitsCodec(run))
        elif wire in _NUMBERS:
            codecs += (NumberCodec(name, _NUMBERS[wire]) for name in run)
        else:
            codecs += map(_OTHERS[wire], run)
    return tuple(codecs)

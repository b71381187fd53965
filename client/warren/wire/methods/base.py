"""Method: what every method of the specification is made of.

The body of a method's class is its definition in the specification: the fields in their
order, with their wire types and defaults. Everything else is derived from it, once::

    class BasicAck(Method, index=(60, 80), by=EITHER):
        delivery_tag: LongLong = 0
        multiple: Bit = False
"""

from dataclasses import dataclass, field
from enum import Flag, auto
from re import findall
from struct import Struct
from struct import error as StructError
from typing import ClassVar, Final, Self, dataclass_transform

from warren.wire.constants import FRAME_METHOD
from warren.wire.faults import malformed_method, unknown_frame, unknown_method
from warren.wire.fields import FieldCodec, codecs_for

_INDEX: Final = Struct(">I")


class Side(Flag):
    """Who may send a method."""

    CLIENT = auto()
    SERVER = auto()
    EITHER = CLIENT | SERVER


@dataclass_transform(field_specifiers=(field,))
class Method:
    """One method: its arguments as attributes, and its way to the wire and back.

    `index` is the class id and the method id in one number, as on the wire. `name` is
    the specification's, like "queue.declare-ok".
    """

    class_id: ClassVar[int]
    method_id: ClassVar[int]
    index: ClassVar[int]
    name: ClassVar[str]
    has_content: ClassVar[bool]
    by_client: ClassVar[bool]
    by_server: ClassVar[bool]
    _prefix: ClassVar[bytes]
    _codecs: ClassVar[tuple[FieldCodec, ...]]

    def __init_subclass__(
        cls, *, index: tuple[int, int], by: Side, has_content: bool = False
    ) -> None:
        dataclass(cls)
        cls.class_id, cls.method_id = index
        cls.index = cls.class_id << 16 | cls.method_id
        cls.name = _spec_name(cls.__name__)
        cls.has_content = has_content
        cls.by_client = Side.CLIENT in by
        cls.by_server = Side.SERVER in by
        cls._prefix = _INDEX.pack(cls.index)
        cls._codecs = codecs_for(
            {name: kind.__metadata__[0] for name, kind in cls.__annotations__.items()}
        )
        METHODS[cls.index] = cls

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the method of a payload that is known to be of this class.

        Raises as `decode_method` does.
        """
        method = cls.__new__(cls)
        values = method.__dict__
        offset = len(cls._prefix)
        try:
            for codec in cls._codecs:
                offset = codec.read(payload, offset, values)
        except (IndexError, StructError):
            raise malformed_method(payload) from None
        if offset != len(payload):
            raise malformed_method(payload)
        return method

    def encode(self) -> bytes:
        """Return the payload of the method's frame.

        Raises ValueError for an argument that its wire type cannot hold.
        """
        try:
            return self._prefix + b"".join([each.write(self) for each in self._codecs])
        except StructError as error:
            raise ValueError(f"{self.name}: {error}") from None


METHODS: Final[dict[int, type[Method]]] = {}
"""Every method by its `index`; complete when the package is imported."""


def decode_method(payload: bytes) -> Method:
    """Return the method in a method frame's payload.

    Raises `FrameError` for arguments that are cut, too long or not UTF-8,
    `NotImplemented_` for an unknown method, and what `decode_table` raises.
    """
    if len(payload) < _INDEX.size:
        raise unknown_frame(FRAME_METHOD, payload)
    kind = METHODS.get(_INDEX.unpack_from(payload)[0])
    if kind is None:
        raise unknown_method(*_IDS.unpack_from(payload))
    return kind.decode(payload)


_IDS: Final = Struct(">HH")


def _spec_name(class_name: str) -> str:
    """Return "queue.declare-ok" for "QueueDeclareOk"."""
    noun, *verb = findall("[A-Z][a-z]*", class_name)
    return f"{noun}.{'-'.join(verb)}".lower()

"""Codecs: which bytes a value becomes, and which value bytes become.

Publishing, the type of the value decides, or the content type if the caller names one:

====================  =========================  ================
value                 content type               content encoding
====================  =========================  ================
`bytes` and the like  as the caller says         as he says
`str`                 ``text/plain``             ``utf-8``
anything else         ``application/cbor``
====================  =========================  ================

Receiving, the content type decides; one that is not known, or none, gives the bytes.
Bodies come from strangers: what cannot be decoded raises `BodyError` and nothing else.
CBOR is RFC 8949, JSON RFC 8259; neither can make anything but plain values here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, final, overload

import attrs

from warren.bodies.structure import AS_TEXT, DoesNotFit, destructure, structure
from warren.errors import WarrenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Value = TypeVar("Value")

TEXT: Final = "text/plain"
JSON: Final = "application/json"
CBOR: Final = "application/cbor"
UTF_8: Final = "utf-8"


class BodyError(WarrenError):
    """A value that cannot be encoded, or a body that cannot be decoded."""


@attrs.frozen
class Codec:
    """How values travel under one content type.

    `encode` and `decode` may raise what they like: it becomes a `BodyError`.
    """

    content_type: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    content_encoding: str | None = None


@attrs.frozen
class Encoded:
    """A body, and what its properties are to say of it."""

    body: bytes
    content_type: str | None
    content_encoding: str | None


def _encode_text(value: object) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is not str")
    return value.encode()


def _encode_json(value: object) -> bytes:
    plain = destructure(value)
    return json.dumps(plain, separators=(",", ":"), default=_json_text).encode()


def _json_text(value: object) -> str:
    if isinstance(value, tuple(AS_TEXT)):
        return str(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


def _encode_cbor(value: object) -> bytes:
    import cbor2

    encoded: bytes = cbor2.dumps(destructure(value), timezone=None)
    return encoded


def _decode_cbor(body: bytes) -> object:
    import cbor2

    value: object = cbor2.loads(body, semantic_decoders=_REFUSED)
    return value


def _refuse(_: object) -> NoReturn:
    raise ValueError("a tag that has no place in a message")


_REFUSED: Final = dict.fromkeys((28, 29, 35, 36), _refuse)
"""Tags for values that are shared, of which a few bytes make a million; and for regular
expressions and e-mails, which are no plain values."""

STANDARD: Final = (
    Codec(TEXT, _encode_text, bytes.decode, UTF_8),
    Codec(JSON, _encode_json, json.loads, UTF_8),
    Codec(CBOR, _encode_cbor, _decode_cbor),
)


@final
class Codecs:
    """A registry of codecs by content type; `register` adds to it, or replaces.

    ::

        codecs = warren.Codecs()
        codecs.register(
            warren.Codec("application/msgpack", msgpack.packb, msgpack.unpackb)
        )
        async with warren.connect(url, codecs=codecs) as connection: ...
    """

    def __init__(
        self, codecs: Iterable[Codec] = STANDARD, *, default: str = CBOR
    ) -> None:
        """`default` is the content type of values that are neither text nor bytes."""
        self._codecs: dict[str, Codec] = {}
        self.default: str = default
        for codec in codecs:
            self.register(codec)

    def register(self, codec: Codec) -> None:
        """Use a codec for its content type from now on."""
        self._codecs[_essence(codec.content_type)] = codec

    def encode(
        self,
        value: object,
        content_type: str | None = None,
        content_encoding: str | None = None,
    ) -> Encoded:
        """Return the body for a value.

        Raises `BodyError` if no codec is known for the content type, or it refuses.
        """
        if isinstance(value, bytes | bytearray | memoryview):
            return Encoded(bytes(value), content_type, content_encoding)
        chosen = content_type or (TEXT if isinstance(value, str) else self.default)
        codec = self._codecs.get(_essence(chosen))
        if codec is None:
            raise BodyError(f"no codec makes {chosen} of {type(value).__name__}")
        try:
            body = codec.encode(value)
        except Exception as error:
            raise BodyError(f"{type(value).__name__} to {chosen}: {error}") from error
        return Encoded(body, chosen, content_encoding or codec.content_encoding)

    @overload
    def decode(self, body: bytes, content_type: str | None) -> Any: ...  # noqa: ANN401
    @overload
    def decode(
        self, body: bytes, content_type: str | None, kind: type[Value]
    ) -> Value: ...
    def decode(
        self, body: bytes, content_type: str | None, kind: type | None = None
    ) -> object:
        """Return the value of a body, as a `kind` if one is wanted.

        Raises `BodyError` for what its codec cannot read and what is no `kind`.
        """
        codec = self._codecs.get(_essence(content_type or ""))
        value: object = body
        if codec is not None:
            try:
                value = codec.decode(body)
            except Exception as error:
                raise BodyError(f"a body is no {content_type}: {error}") from error
        if kind is None or kind is Any:
            return value
        try:
            return structure(value, kind)
        except DoesNotFit as error:
            raise BodyError(str(error)) from error


def _essence(content_type: str) -> str:
    """Return a content type without its parameters, as RFC 9110 compares them."""
    return content_type.partition(";")[0].strip().lower()

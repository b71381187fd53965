"""Typed bodies: what values become, and what becomes of them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal  # noqa: TC003 - attrs reads the annotations
from enum import Enum
from typing import Any, Literal
from uuid import UUID  # noqa: TC003

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import warren


class Colour(Enum):
    """An enumeration."""

    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Part:
    """A class within another."""

    name: str
    weight: float = 1.0


@attrs.frozen
class Whole:
    """All kinds of fields."""

    number: int
    yes: bool
    text: str
    parts: list[Part]
    pair: tuple[int, str]
    many: tuple[int, ...]
    table: dict[str, Part]
    colour: Colour
    mode: Literal["a", "b"]
    at: datetime
    price: Decimal
    key: UUID
    either: int | Part | None = None
    anything: Any = None


parts = st.builds(
    Part, name=st.text(max_size=5), weight=st.floats(allow_nan=False, width=16)
)
wholes = st.builds(
    Whole,
    number=st.integers(-(2**63), 2**63),
    yes=st.booleans(),
    text=st.text(max_size=5),
    parts=st.lists(parts, max_size=3),
    pair=st.tuples(st.integers(0, 9), st.text(max_size=3)),
    many=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    table=st.dictionaries(st.text(max_size=3), parts, max_size=3),
    colour=st.sampled_from(Colour),
    mode=st.sampled_from(["a", "b"]),
    at=st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)),
    price=st.decimals(allow_nan=False, allow_infinity=False, places=2),
    key=st.uuids(),
    either=st.none() | st.integers() | parts,
    anything=st.none() | st.integers() | st.text(max_size=3),
)


@given(wholes, st.sampled_from(["application/cbor", "application/json"]))
def test_what_is_encoded_comes_back(whole: Whole, content_type: str) -> None:
    codecs = warren.Codecs()
    made = codecs.encode(whole, content_type)
    assert made.content_type == content_type
    assert codecs.decode(made.body, content_type, Whole) == whole


@given(
    st.binary(), st.sampled_from(["application/cbor", "application/json", "text/plain"])
)
def test_any_bytes_give_a_value_or_a_body_error(body: bytes, content_type: str) -> None:
    for kind in (None, Whole, int):
        with suppress(warren.BodyError):
            warren.Codecs().decode(body, content_type, kind)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"\x81" * 100_000, "application/cbor"), (b"[" * 100_000, "application/json")],
)
def test_deep_bodies(body: bytes, content_type: str) -> None:
    with pytest.raises(warren.BodyError, match="no application"):
        warren.Codecs().decode(body, content_type)


def test_which_content_type_a_value_gets() -> None:
    codecs = warren.Codecs()
    for value, content_type, encoding in [
        (b"", None, None),
        (bytearray(b"x"), None, None),
        ("text", "text/plain", "utf-8"),
        ({"a": 1}, "application/cbor", None),
    ]:
        made = codecs.encode(value)
        assert (made.content_type, made.content_encoding) == (content_type, encoding)
    assert codecs.encode(b"{}", "application/json").body == b"{}"
    assert warren.Codecs(default="application/json").encode([1]).body == b"[1]"


def test_unknown_content_types_give_the_bytes() -> None:
    codecs = warren.Codecs()
    for content_type in (None, "", "image/png"):
        assert codecs.decode(b"\xff", content_type) == b"\xff"
    assert codecs.decode(b"1", "Application/JSON; charset=utf-8") == 1
    with pytest.raises(warren.BodyError, match="image/png"):
        codecs.encode(object(), "image/png")


def test_a_codec_of_ones_own() -> None:
    codecs = warren.Codecs()
    codecs.register(
        warren.Codec("application/x-hex", lambda value: value.hex().encode(), _of_hex)
    )
    made = codecs.encode(Hexed(b"\x01"), "application/x-hex")
    assert made.body == b"01"
    assert codecs.decode(made.body, made.content_type) == b"\x01"
    with pytest.raises(warren.BodyError, match="x-hex"):
        codecs.decode(b"no", "application/x-hex")


@attrs.frozen
class Hexed:
    """Something that has a `hex`."""

    inner: bytes

    def hex(self) -> str:
        return self.inner.hex()


def _of_hex(body: bytes) -> bytes:
    return bytes.fromhex(body.decode())


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ({"name": 1}, Part, "value.name: int is not str"),
        ({}, Part, "Part needs 'name'"),
        ({"name": "x", "extra": 1}, Part, "Part has no 'extra'"),
        ([1, "x"], list[int], r"value\[1\]: str is not int"),
        ({"a": {}}, dict[str, Part], r"value\['a'\]: Part needs"),
        (True, int, "bool is not int"),
        ("green", Colour, "str is not Colour"),
        ([1], tuple[int, int], "2 values"),
        ("x", int | None, "str is not int or NoneType"),
        ("c", Literal["a", "b"], "'a' or 'b'"),
        (1, list[int], "a sequence"),
        (1, dict[str, int], "a map"),
    ],
)
def test_misfits_say_where(value: object, kind: type, text: str) -> None:
    codecs = warren.Codecs()
    made = codecs.encode(value, "application/cbor")
    with pytest.raises(warren.BodyError, match=text):
        codecs.decode(made.body, made.content_type, kind)


@attrs.frozen
class Picky:
    """A class that raises whatever it likes."""

    number: int = attrs.field(converter=lambda number: {1: 1}[number])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[[1]]", set),
        (b"[[1]]", set[Any]),
        (b"[{}]", frozenset[dict[str, int]]),
        (b'{"number": 2}', Picky),
        (b"1" + b"0" * 400, float),
        (b"1" + b"0" * 5000, int),
        (b"[1]", Colour),
    ],
)
def test_what_no_kind_can_be_made_of_is_a_body_error(body: bytes, kind: type) -> None:
    """Bodies come from strangers: another error would be the end of a worker."""
    with pytest.raises(warren.BodyError):
        warren.Codecs().decode(body, "application/json", kind)


def doubled(depth: int) -> bytes:
    """A list of a list twice, of a list twice...: 2 to the `depth` lists, if told."""
    inner = b"\x80" if not depth else doubled(depth - 1)
    return b"\xd8\x1c\x82" + inner + b"\xd8\x1d" + b"\x18" + bytes([depth])


@pytest.mark.parametrize(
    "body",
    [
        doubled(50),
        b"\xd8\x1c\x81\xd8\x1d\x00",  # a list of itself
        b"\xd8\x23\x66(a+)+$",
        b"\xd8\x24\x64X: y",
    ],
)
def test_tags_that_make_no_plain_values(body: bytes) -> None:
    with pytest.raises(warren.BodyError, match="no application/cbor"):
        warren.Codecs().decode(body, "application/cbor")


def test_json_takes_no_strange_things() -> None:
    with pytest.raises(warren.BodyError, match="object"):
        warren.Codecs().encode(object(), "application/json")

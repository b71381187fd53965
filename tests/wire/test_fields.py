"""warren.wire.fields: each wire type alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import by_wire, typed
from warren.errors import FrameError
from warren.wire.fields import FieldCodec, Wire, codecs_for


def codec(wire: Wire) -> FieldCodec:
    return codecs_for({"field": wire})[0]


@given(st.sampled_from(Wire), st.data(), st.binary(max_size=5), st.binary(max_size=5))
def test_round_trip(
    wire: Wire, data: st.DataObject, before: bytes, after: bytes
) -> None:
    value = data.draw(by_wire[wire])
    raw = codec(wire).write(SimpleNamespace(field=value))
    values: dict[str, object] = {}
    whole = before + raw + after
    end = codec(wire).read(whole, len(before), values)
    assert end == len(before) + len(raw)
    assert typed(values) == typed({"field": value})


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_bits_share_an_octet_the_first_is_the_lowest(bits: list[bool]) -> None:
    names = {f"bit_{number}": Wire.BIT for number in range(len(bits))}
    (bits_codec,) = codecs_for(names)
    raw = bits_codec.write(SimpleNamespace(**dict(zip(names, bits, strict=True))))
    assert raw == bytes((sum(1 << place for place, bit in enumerate(bits) if bit),))


def test_bits_apart_have_an_octet_each() -> None:
    fields = {"a": Wire.BIT, "b": Wire.BIT, "c": Wire.OCTET, "d": Wire.BIT}
    names = [each.name for each in codecs_for(fields)]
    assert names == ["a b", "c", "d"]


def test_unused_bits_are_ignored() -> None:
    values: dict[str, object] = {}
    codec(Wire.BIT).read(b"\xfe", 0, values)
    assert values == {"field": False}


def test_a_long_short_string_is_a_value_error() -> None:
    owner = SimpleNamespace(field="é" * 128)
    with pytest.raises(ValueError, match="field is longer than 255 bytes"):
        codec(Wire.SHORTSTR).write(owner)


def test_a_short_string_is_utf8() -> None:
    with pytest.raises(FrameError, match="Malformed UTF-8 in shortstr"):
        codec(Wire.SHORTSTR).read(b"\1\xff", 0, {})

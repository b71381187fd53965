"""What hypothesis draws for the codec: tables, properties, methods, cuts."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from warren.wire.fields import Wire
from warren.wire.methods import METHODS, Method
from warren.wire.properties import Properties
from warren.wire.table import ByteArray, Timestamp

if TYPE_CHECKING:
    from warren.wire.table import FieldValue, Table


def is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def fits_shortstr(text: str) -> bool:
    return len(text.encode()) <= 255


int32 = st.integers(-(2**31), 2**31 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
shortstr = st.text(max_size=40) | st.text(max_size=255).filter(fits_shortstr)
keys = st.text(max_size=20)

decimals = st.builds(
    lambda scale, number: Decimal(number).scaleb(-scale), st.integers(0, 255), int32
)
times = st.builds(
    lambda seconds: datetime.fromtimestamp(seconds, UTC),
    st.integers(0, 253_402_300_799),
)
far_times = st.integers(253_402_300_800, 2**64 - 1)

common_scalars = st.none() | st.booleans() | int64 | st.text(max_size=30)
"""What every library encodes, most of them alike."""

scalars = (
    common_scalars
    | st.floats(allow_nan=False)
    | st.binary(max_size=30).filter(lambda raw: not is_utf8(raw))
    | st.binary(max_size=30).map(ByteArray)
    | decimals
    | times
    | far_times.map(Timestamp)
)


def tables_of(leaves: st.SearchStrategy[FieldValue]) -> st.SearchStrategy[Table]:
    values = st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
        ),
        max_leaves=12,
    )
    return st.dictionaries(keys, values, max_size=5)


common_tables = tables_of(common_scalars)
tables = tables_of(scalars)


def typed(value: object) -> object:
    """The value with all its types, so that 1, True and 1.0 are not equal."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    if isinstance(value, Decimal):
        return Decimal, value.as_tuple()
    return type(value), value


by_wire: dict[Wire, st.SearchStrategy[object]] = {
    Wire.BIT: st.booleans(),
    Wire.OCTET: st.integers(0, 2**8 - 1),
    Wire.SHORT: st.integers(0, 2**16 - 1),
    Wire.LONG: st.integers(0, 2**32 - 1),
    Wire.LONGLONG: st.integers(0, 2**64 - 1),
    Wire.SHORTSTR: shortstr,
    Wire.LONGSTR: st.binary(max_size=300),
    Wire.TABLE: tables,
}


def fields_of(kind: type[Method]) -> dict[str, Wire]:
    """The fields of a method, in order, as its class body says."""
    return {
        name: annotation.__metadata__[0]
        for name, annotation in kind.__annotations__.items()
    }


def methods_of(
    kind: type[Method], drawn: dict[Wire, st.SearchStrategy[object]] = by_wire
) -> st.SearchStrategy[Method]:
    fields = {name: drawn[wire] for name, wire in fields_of(kind).items()}
    return st.builds(kind, **fields)


methods = st.sampled_from(list(METHODS.values())).flatmap(methods_of)

octets = st.integers(0, 255)
property_values: dict[str, st.SearchStrategy[object]] = {
    **dict.fromkeys(Properties.__slots__, shortstr),
    "headers": tables,
    "delivery_mode": octets,
    "priority": octets,
    "timestamp": times | far_times.map(Timestamp),
}
properties = st.builds(
    Properties,
    **{name: st.none() | drawn for name, drawn in property_values.items()},
)


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The data in chunks, cut anywhere, as reads might bring it; none is empty."""
    places = draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=12))
    edges = [0, *sorted(place for place in places if place < len(data)), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges) if stop > start]

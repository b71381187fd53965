"""Moments, as clients write them; and whatever else they write."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.wire.table import Timestamp, decode_table, encode_table
from warren_broker.core.moment import moment_of

NEW_YEAR = 1_767_225_600.0  # 2026-01-01T00:00:00Z

zones = st.timezones() | st.just(UTC) | st.none()
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.text(alphabet="0123456789-+:.,TZtzW \ud800", max_size=40)
    | st.binary()
    | st.datetimes(timezones=zones),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


def seconds_of(moment: datetime) -> float:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)


@given(moments)
def test_what_python_writes_is_read(moment: datetime) -> None:
    expected = pytest.approx(seconds_of(moment), abs=1e-4)
    assert moment_of(moment) == expected
    assert moment_of(moment.isoformat()) == expected
    assert moment_of(moment.isoformat().lower()) == expected
    assert moment_of(moment.isoformat(" ")) == expected


@given(st.integers(-(10**13), 10**14))
def test_numbers_are_milliseconds(number: int) -> None:
    for written in (number, str(number), float(number), Decimal(number)):
        assert moment_of(written) == pytest.approx(number / 1000)


@given(st.datetimes(datetime(1970, 1, 1)))
def test_a_timestamp_comes_through_the_wire(moment: datetime) -> None:
    table, _ = decode_table(encode_table({"at": moment}))
    assert moment_of(table["at"]) == seconds_of(moment.replace(microsecond=0))


@given(values)
def test_whatever_it_is_a_moment_or_nothing(value: object) -> None:
    moment = moment_of(value)
    assert moment is None or (isinstance(moment, float) and math.isfinite(moment))


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01",
        "2026-01-01T00:00",
        "2026-01-01T00:00:00Z",
        "2026-01-01t00:00:00z",
        "2026-01-01 00:00:00.000",
        "2026-01-01T00:00:00,000000000Z",
        "2026-01-01T01:00:00+01:00",
        "2025-12-31T16:00:00-08:00",
        "20260101T000000Z",
        "2026-W01-4",
        "1767225600000",
        "+1767225600000",
    ],
)
def test_ways_to_write_a_new_year(text: str) -> None:
    assert moment_of(text) == NEW_YEAR


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        math.nan,
        math.inf,
        -math.inf,
        1e300,
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("1E+999999"),
        10**400,
        2**63 - 1,
        -(2**63),
        Timestamp(253_402_300_800),
        Timestamp(2**64 - 1),
        b"2026-01-01T00:00:00Z",
        [],
        {},
        "",
        " ",
        "tomorrow",
        "10000-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-02-30",
        "2026-01-01T00:00:00+24:00",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "1" * 19,
        "1" * 65,
        "1" * 5000,
        "\uff12\uff10\uff12\uff16-01-01",
        "\ud800",
        "2026-01-01\ud80000:00:00Z" + "\ud800",
        "2026-01-01T00:00:00" + "0" * 100_000,
    ],
)
def test_what_is_no_moment(value: object) -> None:
    assert moment_of(value) is None


def test_a_zone_that_is_an_hour_off() -> None:
    zone = timezone(timedelta(hours=1))
    assert moment_of(datetime(2026, 1, 1, 1, tzinfo=zone)) == NEW_YEAR

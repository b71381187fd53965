"""Log: what peers say cannot speak to the operator's terminal."""

from __future__ import annotations

import io
import json
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren_broker.log import Log, LogSettings

ESCAPES: Final = "\x1b[2Jpwned\x1b]0;x\x07"
HOSTILE: Final = st.text(
    st.one_of(st.characters(), st.sampled_from("\x1b\x07\x7f\x9b\r\n\t\u202e\ud800"))
)


@attrs.frozen
class Quoting:
    """A value whose `repr` tells what it was given, raw."""

    text: str

    def __repr__(self) -> str:
        return f"<{self.text}>"


VALUES: Final = st.recursive(
    st.one_of(HOSTILE, HOSTILE.map(Quoting), st.binary(), st.integers(), st.none()),
    lambda inner: st.lists(inner) | st.dictionaries(HOSTILE, inner),
    max_leaves=5,
)
OWN_KEYS: Final = {"self", "event", "level", "timestamp", "logger", "logger_name"}
KEYS: Final = HOSTILE.filter(
    lambda key: key not in OWN_KEYS | {"stack", "exception", "exc_info"}
)


def console(name: str, fields: dict[str, object]) -> str:
    stream = io.StringIO()
    Log(LogSettings(format="console"), stream).event(name, fields)
    return stream.getvalue()


@given(HOSTILE, st.dictionaries(KEYS, VALUES, max_size=3))
def test_an_event_is_one_printable_line(name: str, fields: dict[str, object]) -> None:
    line = console(name, fields)
    assert line.endswith("\n")
    assert line[:-1].isprintable()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (ESCAPES, r"key='\x1b[2Jpwned\x1b]0;x\x07'"),
        (r"\x1b", r"key=\x1b"),
        ("a\nuser=admin", r"key='a\nuser=admin'"),
        ("käse", "key=käse"),
        ({"a": ESCAPES}, r"key={'a': '\x1b[2Jpwned\x1b]0;x\x07'}"),
        (Quoting("\x07"), r"key=<\x07>"),
        (7, "key=7"),
    ],
)
def test_what_is_escaped_can_still_be_read(value: object, shown: str) -> None:
    assert console("e", {"key": value}).rstrip("\n").endswith(f" {shown}")


def test_a_failure_shows_its_error_escaped_and_its_traceback_in_lines() -> None:
    stream = io.StringIO()
    error = ValueError(ESCAPES)
    Log(LogSettings(format="console"), stream).failure("bug", error, {"key": ESCAPES})
    lines = stream.getvalue().splitlines()
    assert all(line.isprintable() for line in lines)
    assert lines[-1] == r"ValueError: \x1b[2Jpwned\x1b]0;x\x07"


def test_json_keeps_every_character() -> None:
    stream = io.StringIO()
    Log(LogSettings(format="json"), stream).event("e", {"key": [ESCAPES]})
    assert "\x1b" not in stream.getvalue()
    assert json.loads(stream.getvalue())["key"] == [ESCAPES]

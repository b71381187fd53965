"""Log: one line an event, and never a reason to fail."""

from __future__ import annotations

import io
import json

import pytest

from warren_broker.log import Log, LogSettings


def failure() -> ValueError:
    try:
        raise ValueError("planted")
    except ValueError as error:
        return error


def test_json_is_one_object_a_line() -> None:
    stream = io.StringIO()
    log = Log(LogSettings(format="json"), stream)
    log.event("connection opened", {"peer": "1.2.3.4:5", "bytes": b"\xff"})
    log.event("login refused", {})
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["event"] == "connection opened"
    assert first["level"] == "info"
    assert first["peer"] == "1.2.3.4:5"
    assert first["timestamp"].endswith("Z")
    assert second["level"] == "warning"


def test_a_failure_has_its_traceback_in_either_format() -> None:
    for name in ("json", "console"):
        stream = io.StringIO()
        Log(LogSettings(format=name), stream).failure("bug", failure(), {"peer": "x"})
        text = stream.getvalue()
        assert "planted" in text
        assert "test_log.py" in text


def test_what_peers_say_cannot_forge_a_line() -> None:
    forged = "x\n2026-01-01 [error] all is lost \x1b[2J"
    for name in ("json", "console"):
        stream = io.StringIO()
        Log(LogSettings(format=name), stream).event("e", {"queue": forged})
        assert stream.getvalue().count("\n") == 1
        assert "\x1b" not in stream.getvalue()


def test_the_level_filters() -> None:
    stream = io.StringIO()
    log = Log(LogSettings(level="warning"), stream)
    log.event("connection opened", {})
    log.event("connection not made", {})
    assert not stream.getvalue()
    log.event("login refused", {})
    assert stream.getvalue()


def test_no_terminal_means_json() -> None:
    stream = io.StringIO()
    Log(LogSettings(), stream).event("e", {})
    assert json.loads(stream.getvalue())["event"] == "e"


@pytest.mark.parametrize("is_closed", [True, False])
def test_what_cannot_be_written_is_lost(is_closed: bool) -> None:
    class FullDisk(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError("No space left on device")

    stream = FullDisk()
    if is_closed:
        stream.close()
    log = Log(LogSettings(format="json"), stream)
    log.event("connection opened", {})
    log.failure("bug", failure(), {})

"""``import warren``: cheap, lazy, and complete."""

from __future__ import annotations

import subprocess
import sys

import pytest

import warren
import warren.errors

PROBE = """
import sys
import warren
loaded = set(sys.modules)
print(*sorted({"trio", "warren_broker", "starlette", "attrs"} & loaded))
warren.NotFound
print("warren.errors" in sys.modules)
"""

WIRE_PROBE = """
import sys
from warren.wire import content, frames, methods, outbox, properties, splitter, uri
outside = {"attr", "attrs", "trio", "warren_broker", "warren.protocol"}
print(*sorted(outside & set(sys.modules)))
"""


def run(probe: str) -> list[str]:
    """What a fresh interpreter prints, by lines."""
    command = [sys.executable, "-c", probe]
    return subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.splitlines()


def test_import_loads_nothing_heavy() -> None:
    assert run(PROBE) == ["", "True"]


def test_the_codec_needs_the_standard_library_only() -> None:
    assert run(WIRE_PROBE) == [""]


def test_errors_are_the_same_objects() -> None:
    assert warren.NotFound is warren.errors.NotFound


def test_every_public_name_is_there() -> None:
    assert set(warren.__all__) <= set(dir(warren))
    for name in warren.__all__:
        assert getattr(warren, name).__name__ == name


def test_every_error_is_public() -> None:
    kinds = {
        name
        for name, value in vars(warren.errors).items()
        if isinstance(value, type) and value.__module__ == "warren.errors"
    }
    assert kinds <= set(warren.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = warren.nonsense

"""Meaning: what a setting is for, said where the setting is.

`warren serve --help` and the reference in the documentation are made of it.
"""

from __future__ import annotations

from typing import Final

TEXT: Final = "meaning"
UNIT: Final = "unit"

_UNITS: Final = {"bytes": "bytes", "ms": "ms", "seconds": "s"}
"""Names of settings have their unit among their words."""


def meaning(text: str, *, unit: str = "") -> dict[str, str]:
    """Return the metadata of an attrs field that is a setting.

    `text` is Markdown, and says more than the name does. The `unit` is given where the
    name does not have it.
    """
    return {TEXT: text, UNIT: unit}


def unit_of(name: str, metadata: dict[str, str]) -> str:
    """Return the unit of a setting, "" if it has none."""
    given = metadata.get(UNIT)
    named = [_UNITS[word] for word in name.split("_") if word in _UNITS]
    return given or (named[0] if named else "")

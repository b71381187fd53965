"""Notices: what the core has to tell an operator; the core itself never logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTICES_MAX: Final = 1000


@frozen
class Notice:
    """One event worth a line in the log, with its fields as values."""

    event: str
    fields: Mapping[str, object] = field(factory=dict)

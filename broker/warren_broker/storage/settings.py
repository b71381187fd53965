"""What an operator can choose about the journal."""

from __future__ import annotations

import enum
import re
from typing import Final

import attrs

from warren.errors import WarrenError

SEGMENT_SIZE: Final = 64 << 20
RESERVE_SIZE: Final = 64 << 20
SEGMENTS_MIN: Final = 4
RECORD_SIZE_MAX: Final = 1 << 31
"""Bytes after which a record is closed even within a turn. With one more message it
must be far from what a size and an offset can be: 32 bits."""
RUNWAY_SIZE: Final = 1 << 20

_INTERVAL: Final = re.compile(r"interval:(\d{1,6})")


class SettingError(WarrenError):
    """A setting cannot be understood."""


class SyncMode(enum.Enum):
    """When what was written counts as safe."""

    ALWAYS = "always"  # when it would survive a power cut
    INTERVAL = "interval"  # when it is written; a power cut may take the last interval
    OS = "os"  # when it is written; the system syncs when it likes


@attrs.frozen
class Sync:
    """The setting `--sync always|interval:MS|os`."""

    mode: SyncMode = SyncMode.ALWAYS
    interval_ms: int = 0

    @classmethod
    def parse(cls, text: str) -> Sync:
        """Read the setting as an operator writes it. Raises `SettingError`."""
        if text in (SyncMode.ALWAYS.value, SyncMode.OS.value):
            return cls(SyncMode(text))
        match = _INTERVAL.fullmatch(text)
        if match is None or not int(match[1]):
            raise SettingError(f"sync is always, interval:MS or os, not {text!r}")
        return cls(SyncMode.INTERVAL, int(match[1]))

    def __str__(self) -> str:
        suffix = f":{self.interval_ms}" if self.mode is SyncMode.INTERVAL else ""
        return self.mode.value + suffix


@attrs.frozen
class JournalSettings:
    """Sizes in bytes."""

    sync: Sync = Sync()
    segment_size: int = SEGMENT_SIZE  # a segment ends with the record that passes it
    reserve_size: int = (
        RESERVE_SIZE  # kept on disk for the time when it is full; 0: none
    )
    segments_min: int = SEGMENTS_MIN  # sealed ones that are left alone, however empty
    runway_size: int = RUNWAY_SIZE  # zeros written ahead of small records; 0: none

    @property
    def runway(self) -> int:
        """How many zeros: none where nobody waits for a sync."""
        return self.runway_size if self.sync.mode is SyncMode.ALWAYS else 0

"""Outcome: what became of a batch, and of what it was to keep."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Outcome(enum.Enum):
    """What became of a batch."""

    WRITTEN = "written"  # `committed` has moved on
    FULL = "full"  # no room: see `Written.refused`; try again in a second
    FAILED = "failed"  # the disk is broken: the journal is dead, see `Journal.failed`


class Refused(NamedTuple):
    """A message that is not in the journal, whatever position it was given.

    The owner refuses it to its publisher and drops it; or it adds the message again
    before the next batch is taken. Then it is in one record with all that was kept,
    so that what was moved from queue to queue is not lost.
    """

    queue: int
    sequence: int


class Written(NamedTuple):
    """The answer to `on_written`. `refused` is empty unless the outcome is FULL."""

    outcome: Outcome
    refused: tuple[Refused, ...] = ()

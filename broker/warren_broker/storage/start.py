"""Where a journal goes on: what recovery found out for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from warren_broker.storage.space import Segment
    from warren_broker.storage.superblock import Superblock


@attrs.frozen
class Start:
    """The state of the files before the first batch."""

    superblock: Superblock  # as it was written last, with the epoch of this start
    next_lsn: int  # number of the first record to be written
    number: int  # of the segment it will be in, which is not there yet
    previous_crc: int  # of number and epoch of the last record before it
    segments: tuple[Segment, ...]  # those that are there, oldest first, all sealed
    has_reserve: bool

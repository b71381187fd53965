"""Repair of streams: what cannot be read is written down as gone.

A damaged segment is copied to quarantine as it is, and written anew with every record
that can be read; where records are lost there are none any more, and readers pass over
them. A torn end that was never confirmed is left to the next start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from warren_broker.storage.salvage import set_aside_copy
from warren_broker.storage.stream.survey import StreamSurvey, rewrite_segment

if TYPE_CHECKING:
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.stream.damage import StreamDamage
    from warren_broker.storage.stream.log import StoreFacts


class StreamRepair(NamedTuple):
    """What was found and what was done."""

    damage: list[StreamDamage]  # all of it is repaired
    set_aside: list[str]  # the files as they were, in quarantine
    records_kept: int


def repair_streams(disk: Disk, facts: StoreFacts) -> StreamRepair:
    """Repair the streams of a data directory that no broker uses. Raises `OSError`."""
    survey = StreamSurvey(disk, facts.store_id)
    done = StreamRepair(survey.damage, [], 0)
    records = 0
    for number, firsts in survey.firsts.items():
        damaged = []
        for segment in survey.segments(number):
            for chunk in segment.chunks():
                records += chunk.header.records
            if segment.walk.damage:
                damaged.append(segment.first)
                done.set_aside.append(set_aside_copy(disk, segment.name))
        if damaged:
            again = StreamSurvey(disk, facts.store_id)
            again.firsts = {number: firsts}
            for segment in again.segments(number):
                if segment.first in damaged:
                    rewrite_segment(disk, facts, number, segment)
    return done._replace(records_kept=records)

"""Check: what is damaged in a data directory, without changing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from warren_broker.storage import marker
from warren_broker.storage import record as records
from warren_broker.storage.disk import StoreInUseError
from warren_broker.storage.replay import Replay
from warren_broker.storage.stream.survey import StreamSurvey
from warren_broker.storage.survey import Survey

if TYPE_CHECKING:
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.stream.damage import StreamDamage
    from warren_broker.storage.walk import Damage


@attrs.frozen
class CheckReport:
    """What was found."""

    damage: tuple[Damage | StreamDamage, ...]  # that nobody has set aside yet
    noted: tuple[str, ...]  # by starts since the last repair
    records: int  # that are whole
    messages: int  # that live
    stream_records: int  # that are whole
    is_in_use: bool = False  # a broker has it: only `noted` was looked at

    @property
    def is_damaged(self) -> bool:
        """Whether there is anything to repair."""
        return bool(self.damage or self.noted)


def check(disk: Disk) -> CheckReport:
    """Read everything that a start would read, and every record of streams.

    Of a directory that a broker uses only what that has noted. Raises
    `StoreVersionError`, `ForeignDirectoryError`, `StoreDamagedError`, `OpsError`,
    `OSError`.
    """
    try:
        disk.lock()
    except StoreInUseError:
        return CheckReport((), marker.read(disk), 0, 0, 0, is_in_use=True)
    try:
        return _check(disk, Survey(disk, bytes(16)))
    finally:
        disk.unlock()


def _check(disk: Disk, survey: Survey) -> CheckReport:
    replay, count = Replay(survey.snapshot), 0
    for _, walk in survey.walks():
        for found in walk.records():
            count += 1
            if found.header.kind == records.OPS:
                replay.apply(found.header.lsn, 0, found.body)
    streams, stream_count = StreamSurvey(disk, survey.superblock.store_id), 0
    for number in streams.firsts:
        for segment in streams.segments(number):
            stream_count += sum(chunk.header.records for chunk in segment.chunks())
    new = (each for each in survey.damage if not each.is_old)
    return CheckReport(
        damage=(*new, *streams.damage),
        noted=marker.read(disk),
        records=count,
        messages=sum(map(len, replay.queues.values())),
        stream_records=stream_count,
    )

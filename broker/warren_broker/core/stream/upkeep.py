"""Upkeep: when a stream lets go of what it need not keep, and is compacted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.stream.log import Retention
from warren_broker.core.stream.segment_size import segment_bytes

if TYPE_CHECKING:
    from warren_broker.core.stream.stream import Stream

PERIOD_SECONDS: Final = 60.0
"""How often the age of records is looked at, and compaction thought of."""
COMPACTION_SECONDS: Final = 3600.0
"""How often a stream is compacted to which little comes; a segment that was filled
makes it sooner."""
TOMBSTONE_AGE_MS: Final = 86_400_000
_PARTS: Final = 4
"""Retention is looked at when a quarter of a segment, or of the limit, has come."""


@final
class Upkeep(DeadlineOwner):
    """The care for one stream."""

    __slots__ = ("_bytes", "_compact_at", "_fresh_bytes", "_looked_at", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._bytes = 0
        self._fresh_bytes = 0
        self._compact_at = 0.0
        self._looked_at = 0

    def start(self) -> None:
        """The rules of the stream are other ones now, or it was opened."""
        self._look()
        rules, broker = self._stream.rules, self._stream.vhost.broker
        if rules.max_age_ms is not None or rules.compact:
            broker.deadlines.set(self, broker.now + PERIOD_SECONDS)
        else:
            broker.deadlines.cancel(self)

    def stop(self) -> None:
        """The stream is deleted: know it no longer."""
        self._stream.vhost.broker.deadlines.cancel(self)
        del self._stream  # the two would be a cycle

    def after(self, appended_bytes: int) -> None:
        """So many bytes more are safe."""
        self._bytes += appended_bytes
        self._fresh_bytes += appended_bytes
        rules, log = self._stream.rules, self._stream.log
        is_due = self._bytes * _PARTS >= segment_bytes(rules)
        if rules.max_length is not None:
            is_due |= (log.end - self._looked_at) * _PARTS >= rules.max_length
        if is_due:
            self._look()

    def on_deadline(self, now: float) -> None:
        """Look at the age of what is kept; compact it if it is time."""
        self._look()
        stream = self._stream
        segment_size = segment_bytes(stream.rules)
        is_due = now >= self._compact_at or self._fresh_bytes >= segment_size
        if stream.rules.compact and is_due:
            age_ms = stream.rules.tombstone_age_ms
            if age_ms is None:
                age_ms = TOMBSTONE_AGE_MS
            self._fresh_bytes = 0
            self._compact_at = now + COMPACTION_SECONDS
            stream.log.compact(stream.vhost.broker.sure_wall_ms - age_ms)
        stream.vhost.broker.deadlines.set(self, now + PERIOD_SECONDS)

    def _look(self) -> None:
        stream = self._stream
        self._bytes = 0
        self._looked_at = stream.log.end
        rules = stream.rules
        retention = Retention(
            max_bytes=rules.max_length_bytes,
            max_records=rules.max_length,
            max_age_ms=rules.max_age_ms,
        )
        if retention != _KEEP_ALL:
            stream.log.retain(retention, stream.vhost.broker.sure_wall_ms)


_KEEP_ALL: Final = Retention()

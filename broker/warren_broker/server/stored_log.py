"""StoredLog: the log of one stream, written with the journal and read by a thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, final

from warren_broker.amqp.deliver import encode_route
from warren_broker.core.stream.log import Log
from warren_broker.server.record_codec import compact_key
from warren_broker.storage.stream.compaction import Compaction
from warren_broker.storage.stream.reading import UnreadableError

if TYPE_CHECKING:
    from warren_broker.core.stream.log import LogOwner, Retention
    from warren_broker.core.stream.record import Page, Record
    from warren_broker.server.background import Done
    from warren_broker.server.streams import Streams
    from warren_broker.storage.stream.batch import Replacement
    from warren_broker.storage.stream.log import Place, StreamLog


@final
class StoredLog(Log):
    """What a stream says and asks, for the files.

    Attributes:
        files: which have the records.
        is_deleted: it was given up.
    """

    __slots__ = (
        "_compaction",
        "_owner",
        "_streams",
        "_unplaced",
        "_wanted",
        "files",
        "is_deleted",
        "is_dirty",
    )

    def __init__(self, files: StreamLog, owner: LogOwner, streams: Streams) -> None:
        self.files = files
        self.producers = dict(files.producers)
        self.newest_ms = files.newest_ms
        self.is_watched = False
        self.is_deleted = False
        self.is_dirty = False  # kept by `streams`
        self._owner = owner
        self._streams = streams
        self._wanted: set[int] = set()
        self._compaction: Compaction | None = None
        self._unplaced: set[tuple[int, int]] = set()  # see `on_compacted`
        self._take_over()

    def append(self, record: Record, producer: tuple[str, int] | None) -> None:
        """Collect `record` for the next group commit. Hot: once a record."""
        message, value = record.message, record.filter_value
        route = message.route
        self.files.append(
            record.timestamp_ms,
            None if value is None else value.encode(),
            route.encoded or encode_route(route),
            message.header.payload,
            message.body,
            producer,
        )
        self._streams.say(self)

    def size_segments(self, segment_bytes: int) -> None:
        self.files.size_segments(self._streams.segment_size(segment_bytes))

    def want(self, offset: int) -> None:
        """Let the page with `offset` be read, if it is not under way."""
        if offset not in self._wanted:
            self._wanted.add(offset)
            self._ask(offset, is_again=False)

    def want_time(self, timestamp_ms: int) -> None:
        """Let it be found where a time begins."""
        place = self.files.place_of_time(timestamp_ms)
        end = self.end
        self._streams.reading.do(partial(self._find_time, timestamp_ms, place, end))

    def retain(self, retention: Retention, now_ms: int) -> None:
        """Let the oldest segments go; their files go with the next group commit."""
        if self.files.retain(retention, now_ms):
            self._take_over()
            self._streams.note(self)
            self._owner.on_trimmed()

    def compact(self, tombstones_before_ms: int) -> None:
        """Begin to compact, if that is not being done.

        Nor if what was compacted is not in place: the next one would write it anew.
        """
        places = self.files.sealed()
        self._unplaced &= {(each.first, each.revision) for each in places}
        if self._compaction is None and places and not self._unplaced:
            self._compaction = Compaction(
                self.files.number,
                places,
                self._streams.facts,
                compact_key,
                tombstones_before_ms,
            )
            self._streams.compact(self, self._compaction)

    def delete(self) -> None:
        """Let the files go with the next group commit; nobody is told any more."""
        self.is_deleted = True
        self._compaction = None
        self._streams.delete(self)

    # --- what has been done

    def on_safe(self) -> None:
        """A group commit is done: tell, if more is safe."""
        end = self.end
        self._take_over()
        if self.end > end and not self.is_deleted:
            self._owner.on_safe()

    def on_compacted(self, replacement: Replacement) -> None:
        """A segment has been compacted and is to be put in its place.

        Until then the segment has the revision that it has.
        """
        if not self.is_deleted and self.files.replace(replacement):
            self._unplaced |= {
                (each.first, each.revision)
                for each in self.files.sealed()
                if each.first == replacement.first
            }
            self._streams.note(self)

    def on_compaction_ended(self) -> None:
        """There may be another one."""
        self._compaction = None

    def _take_over(self) -> None:
        files = self.files
        self.first, self.end, self.count = files.first, files.end, files.count

    # --- reading: what begins with `_find` runs in the thread

    def _ask(self, offset: int, *, is_again: bool) -> None:
        place = self.files.place_of(offset)
        self._streams.reading.do(partial(self._find_page, offset, place, is_again))

    def _find_page(self, offset: int, place: Place, is_again: bool) -> Done:
        """Read a page, and return how to tell about it."""
        streams = self._streams
        try:
            pages = streams.reader.page(self.files.number, place, offset)
            page = streams.decoder.page(pages)
        except FileNotFoundError as error:
            if not is_again:
                return partial(self._on_gone, offset)
            return partial(self._on_unreadable, offset, offset, place.end, str(error))
        except UnreadableError as error:
            tell = partial(self._on_unreadable, offset)
            return partial(tell, error.start, error.end, error.reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, others read on
            end = max(place.end, offset + 1)
            return partial(self._on_unreadable, offset, offset, end, repr(error))
        return partial(self._on_page, offset, page)

    def _find_time(self, timestamp_ms: int, place: Place | None, end: int) -> Done:
        found = end
        if place is not None:
            try:
                reader = self._streams.reader
                found = reader.offset_at(self.files.number, place, timestamp_ms)
            except Exception:  # noqa: BLE001 - too early is better than nothing
                found = place.first
        return partial(self._on_time, timestamp_ms, found)

    def _on_page(self, offset: int, page: Page) -> None:
        self._wanted.discard(offset)
        self._tell(partial(self._owner.on_page, page))

    def _on_unreadable(self, offset: int, start: int, end: int, reason: str) -> None:
        self._wanted.discard(offset)
        if offset >= self.first:
            self._tell(partial(self._owner.on_unreadable, start, end, reason))

    def _on_time(self, timestamp_ms: int, offset: int) -> None:
        offset = max(offset, self.first)
        self._tell(partial(self._owner.on_time_found, timestamp_ms, offset))

    def _on_gone(self, offset: int) -> None:
        """The segment has been let go of; or there is a newer one in its place."""
        if self.is_deleted or offset < self.first:
            self._wanted.discard(offset)
        else:
            self._ask(offset, is_again=True)

    def _tell(self, what: Done) -> None:
        if not self.is_deleted:
            self._streams.tell(what)

"""Bugs in what streams promise, for the stories to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.simulation.bugs import nothing, replaced
from warren_broker.core.bridge.source import Source
from warren_broker.core.stream.cursor import Cursor
from warren_broker.core.stream.group import Group
from warren_broker.core.stream.producers import Producers
from warren_broker.core.stream.reader import Reader
from warren_broker.core.stream.stream import Stream
from warren_broker.storage.stream import compaction
from warren_broker.storage.stream.batch import StreamBatch
from warren_broker.storage.stream.chunk import tracking
from warren_broker.storage.stream.compaction import _Keys
from warren_broker.storage.stream.log import StreamLog

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from tests.simulation.bugs import Plant
    from warren_broker.core.message import Message
    from warren_broker.core.queue import Entry
    from warren_broker.core.stream.claims import Claims
    from warren_broker.core.stream.log import Retention
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.stream.chunk import Chunk, Draft


def seen_at_once(self: Stream, message: Message, claims: Claims | None) -> None:
    """Readers do not wait for the disk."""
    RIGHT_APPEND(self, message, claims)
    self.log.end = self.next_offset
    self.on_safe()


def confirmed_unseen(self: Stream, claims: Claims) -> bool | None:
    """A duplicate is confirmed, and nobody looks whether the first one is safe."""
    producer = claims.producer
    if producer and self.producers.came_before(producer):
        return True
    return RIGHT_ANSWER(self, claims)


def known_to_nobody(self: Producers, maximum: int, known: Mapping[str, int]) -> None:
    RIGHT_PRODUCERS(self, maximum, {})


def untracked(self: StreamLog, batch: StreamBatch, count: int) -> Draft:
    return tracking({}, 0)


def never_synced(self: StreamBatch, disk: Disk) -> None:
    self.syncs = False
    RIGHT_RUN(self, disk)
    self.syncs = True


def as_far_as_it_read(self: Group, stream: Stream) -> None:
    """What a member still holds is not given to the next one."""
    reader = self._readers[stream]
    RIGHT_FREE(self, stream)
    self._offsets[stream] = reader.position


def not_given_again(self: Reader, entry: Entry, *, failed: bool) -> None:
    RIGHT_TAKE_BACK(self, entry, failed=failed)
    self._returned.clear()


def jumped_in_silence(self: Cursor, reader: Reader, first: int) -> None:
    self.next = first


def more_than_too_much(self: StreamLog, retention: Retention, now_ms: int) -> bool:
    return True


def the_newest_goes(self: _Keys, digest: bytes, at: int) -> int | None:
    older = RIGHT_FIND_OLDER(self, digest, at)
    return older if older is None else at


def moved_together(chunk: Chunk, kept: list[tuple[int, bytes]], first: int) -> Draft:
    """What was left out before a chunk is not counted."""
    return RIGHT_DRAFT_OF(chunk, kept, chunk.header.first)


def all_that_was_taken(self: Source) -> None:
    """How far the queue has read is stored, not how far it has come."""
    unsettled, self._unsettled = self._unsettled, {}
    RIGHT_STORE(self)
    self._unsettled = unsettled


def tapped_but_for_some(self: Stream, message: Message) -> bool:
    return message.body[-1:] >= b"5" or RIGHT_ACCEPT_ANSWERED(self, message)


RIGHT_APPEND: Final = Stream._append
RIGHT_ANSWER: Final = Stream._answer
RIGHT_PRODUCERS: Final = Producers.__init__
RIGHT_RUN: Final = StreamBatch.run
RIGHT_FREE: Final = Group._free
RIGHT_TAKE_BACK: Final = Reader.take_back
RIGHT_FIND_OLDER: Final = _Keys.find_older
RIGHT_DRAFT_OF: Final = compaction._draft_of
RIGHT_STORE: Final = Source.store
RIGHT_ACCEPT_ANSWERED: Final = Stream.accept_answered


def offsets_of_compaction(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compaction, "_draft_of", moved_together)


BUGS: Final[dict[str, Plant]] = {
    "records are seen before they are safe": replaced(Stream, "_append", seen_at_once),
    "confirms of duplicates do not wait": replaced(Stream, "_answer", confirmed_unseen),
    "producers are forgotten by a start": replaced(
        Producers, "__init__", known_to_nobody
    ),
    "producers are forgotten with a segment": replaced(
        StreamLog, "_tracking", untracked
    ),
    "duplicates are appended": replaced(Producers, "note", nothing),
    "records are not synced": replaced(StreamBatch, "run", never_synced),
    "what is held counts as settled": replaced(
        Reader, "settled_until", property(lambda self: self.position)
    ),
    "what is held is not handed over": replaced(Group, "_free", as_far_as_it_read),
    "what is returned is left out": replaced(Reader, "take_back", not_given_again),
    "a gap is not told": replaced(Cursor, "_jump", jumped_in_silence),
    "retention takes all but the last segment": replaced(
        StreamLog, "_exceeds", more_than_too_much
    ),
    "compaction takes the newest": replaced(_Keys, "find_older", the_newest_goes),
    "compaction moves offsets": offsets_of_compaction,
    "a fed queue forgets what it holds": replaced(Source, "store", all_that_was_taken),
    "a tap misses messages": replaced(Stream, "accept_answered", tapped_but_for_some),
}

"""Bugs in what is done on a full disk, for the stories to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.simulation.bugs import nothing, replaced
from warren_broker.server.journal_store import JournalStore
from warren_broker.server.unsafe import Unsafe
from warren_broker.storage import recovery, salvage
from warren_broker.storage.batch import Batch
from warren_broker.storage.journal import Journal
from warren_broker.storage.stream.batch import StreamBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

    from tests.simulation.bugs import Plant
    from warren_broker.server.group_commit import GroupCommit
    from warren_broker.server.unsafe import Place, Waiting
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.outcome import Outcome


def without_the_reserve(self: Batch, disk: Disk, action: Callable[[], None]) -> None:
    """What lets segments go has no more room than others."""
    action()


def kept_for_ever(self: Batch, disk: Disk) -> None:
    """The reserve is there, and nobody gets it."""
    self.releases_reserve = False
    RIGHT_RUN(self, disk)


def recorded_when_all_is(self: JournalStore, commit: GroupCommit) -> Outcome:
    outcome = RIGHT_WRITTEN(self, commit)
    self.recorded = self.committed
    return outcome


def said_again_at_once(self: Unsafe, places: Iterable[Place]) -> dict[Place, Waiting]:
    """Acks stand behind messages that need room."""
    return {**RIGHT_REFUSE(self, places), **self.release()}


def held_in_any_case(self: Unsafe, places: Iterable[Place]) -> dict[Place, Waiting]:
    """What was moved is forgotten where it was, and not yet known where it is."""
    self._whole.clear()
    return RIGHT_REFUSE(self, places)


def promised_when_it_is_gone(self: Unsafe, count: int, lsn: int, ticket: int) -> None:
    """Though what took it may not be written."""
    RIGHT_END_TURN(self, count, lsn, 0)


def without_its_file(self: StreamBatch, disk: Disk) -> None:
    self.lacks_file = False


def started_with_much_room(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "rewrite_in_place", salvage.rewrite)


RIGHT_RUN: Final = Batch.run
RIGHT_WRITTEN: Final = JournalStore.on_written
RIGHT_REFUSE: Final = Unsafe.refuse
RIGHT_END_TURN: Final = Unsafe.end_turn

BUGS: Final[dict[str, Plant]] = {
    "the reserve is not given up for definitions": replaced(
        Batch, "with_room", without_the_reserve
    ),
    "the reserve is not given up for acks": replaced(Batch, "run", kept_for_ever),
    "messages take the room of the reserve": replaced(Batch, "_spare_room", nothing),
    "records take the room of the reserve": replaced(
        StreamBatch, "_spare_room", nothing
    ),
    "messages take it when the disk is full": replaced(
        Journal, "take_apart", lambda self: ()
    ),
    "what is held is never said again": replaced(JournalStore, "release", nothing),
    "what is held counts as safe": replaced(
        Unsafe, "safe_up_to", lambda self, committed: committed
    ),
    "what is held and goes is promised at once": replaced(
        Unsafe, "end_turn", promised_when_it_is_gone
    ),
    "what was moved is held": replaced(Unsafe, "refuse", held_in_any_case),
    "acks stand behind messages": replaced(Unsafe, "refuse", said_again_at_once),
    "declares stand behind messages": replaced(
        JournalStore, "on_written", recorded_when_all_is
    ),
    "a start needs room": started_with_much_room,
    "a stream has no file before it has records": replaced(
        StreamBatch, "make_file", without_its_file
    ),
    "retention waits for room": replaced(StreamBatch, "_let_go", nothing),
}

"""What the tests of storage share: a small journal, and a ledger of its promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.simulated_disk import SimulatedDisk
from warren_broker.storage.journal import Journal
from warren_broker.storage.lookup import Lookup
from warren_broker.storage.outcome import Outcome
from warren_broker.storage.recovery import recover
from warren_broker.storage.settings import JournalSettings, Sync

if TYPE_CHECKING:
    from warren_broker.storage.outcome import Written
    from warren_broker.storage.recovery import Recovered

STORE_ID = b"sixteen bytes...."[:16]
RESERVE = 700
RUNWAY = 3000  # so that most records of tests are small
SMALL = JournalSettings(
    segment_size=600, reserve_size=RESERVE, segments_min=1, runway_size=RUNWAY
)

Key = tuple[int, int]  # queue, sequence
Content = tuple[int, bytes, bytes, bytes]  # expires, route, header, body


def settings(sync: str = "always", segment_size: int = 600) -> JournalSettings:
    return JournalSettings(Sync.parse(sync), segment_size, RESERVE, 1, RUNWAY)


def reopen(disk: SimulatedDisk) -> Recovered:
    """Recover as another process would."""
    disk.locked = False
    return recover(disk, reserve_size=RESERVE, store_id=STORE_ID)


def contents_of(recovered: Recovered) -> dict[Key, Content]:
    return {
        (queue, each.sequence): each[1:5]
        for queue, stored in recovered.messages.items()
        for each in stored
    }


def definitions_of(recovered: Recovered) -> list[bytes]:
    """All definitions there ever were: a snapshot is those before it, joined."""
    return (recovered.snapshot or b"").split() + list(recovered.definitions)


class Promise(NamedTuple):
    content: Content
    ticket: int  # with which it is safe


class Ledger:
    """What was asked of a journal, and when it is promised: the obvious twin."""

    def __init__(self) -> None:
        self.added: dict[Key, Promise] = {}
        self.settled: dict[Key, int] = {}  # ticket
        self.moves: list[tuple[Key, Key, int]] = []  # from, to, ticket
        self.definitions: list[tuple[bytes, int]] = []
        self.positions: dict[Key, int] = {}  # of what lives

    def live(self) -> dict[Key, Content]:
        return {key: self.added[key].content for key in self.positions}

    def settle_down(self, committed: int) -> None:
        """After a start: what is there is safe, what is not never was."""
        self.added = {
            key: Promise(self.added[key].content, committed) for key in self.positions
        }
        self.settled = {}
        self.moves = []
        self.definitions = [(cbor, committed) for cbor, _ in self.definitions]

    def complaints(self, recovered: Recovered, committed: int) -> list[str]:
        """Every broken promise, given that all up to `committed` was confirmed."""
        found = contents_of(recovered)
        wrong = [f"damage: {each}" for each in recovered.damage]
        for key, (content, ticket) in self.added.items():
            settled = self.settled.get(key)
            if key in found and found[key] != content:
                wrong.append(f"altered: {key}")
            if key not in found and ticket <= committed and settled is None:
                wrong.append(f"lost: {key}")
            if key in found and settled is not None and settled <= committed:
                wrong.append(f"came back: {key}")
        return wrong + self._complaints_of_order(recovered, committed)

    def _complaints_of_order(self, recovered: Recovered, committed: int) -> list[str]:
        found = contents_of(recovered)
        wrong = [f"invented: {key}" for key in found if key not in self.added]
        for queue, stored in recovered.messages.items():
            sequences = [each.sequence for each in stored]
            if sequences != sorted(set(sequences)):
                wrong.append(f"order: {queue}")
        for old, new, _ in self.moves:
            if old in found and new in found:
                wrong.append(f"doubled by a move: {old} {new}")
            is_safe = old in self.added and self.added[old].ticket <= committed
            is_gone = new in self.settled or not is_safe
            if not (is_gone or old in found or new in found):
                wrong.append(f"lost by a move: {old} {new}")
        names = definitions_of(recovered)
        issued = [cbor for cbor, _ in self.definitions]
        safe = sum(ticket <= committed for _, ticket in self.definitions)
        if names != issued[: len(names)] or len(names) < safe:
            wrong.append(f"definitions: {names}, of {issued}, {safe} safe")
        return wrong


class Store:
    """A journal on a simulated disk, its ledger, and the one who uses both."""

    def __init__(
        self, options: JournalSettings = SMALL, disk: SimulatedDisk | None = None
    ) -> None:
        self.options = options
        self.disk = disk or SimulatedDisk()
        self.ledger = Ledger()
        self.open()

    def open(self) -> Recovered:
        recovered = reopen(self.disk)
        self.journal = Journal(recovered.start, self.options)
        self.lookup = Lookup(self.journal, self.disk)
        self.ledger.positions = {
            (queue, each.sequence): each.position
            for queue, stored in recovered.messages.items()
            for each in stored
        }
        names = definitions_of(recovered)
        self.ledger.definitions = self.ledger.definitions[: len(names)]
        return recovered

    def restart(self, disk: SimulatedDisk) -> Recovered:
        """Another process goes on with `disk`, and so does the ledger."""
        self.disk = disk
        recovered = self.open()
        self.ledger.settle_down(self.journal.committed)
        return recovered

    def look_up(self) -> list[str]:
        """Every message that is written and lives and cannot be read again."""
        ledger, wrong = self.ledger, []
        for queue in sorted({queue for queue, _ in ledger.positions}):
            places = [
                (key[1], position)
                for key, position in ledger.positions.items()
                if key[0] == queue
                and ledger.added[key].ticket <= self.journal.committed
            ]
            try:
                found = self.lookup.read(queue, places)
            except OSError as error:
                wrong.append(f"queue {queue}: {error}")
                continue
            for (sequence, _), content in zip(places, found, strict=True):
                if ledger.added[queue, sequence].content[1:] != content:
                    wrong.append(f"not as it was: {queue} {sequence}")
        return wrong

    def publish(self, queue: int, sequence: int, body: bytes, *copies: int) -> None:
        content = (sequence % 3, b"route", b"header", body)
        position = self.journal.add_message(queue, sequence, *content)
        self._note((queue, sequence), content, position)
        for other in copies:
            place = self.journal.add_copy(other, sequence, content[0])
            self._note((other, sequence), content, place)

    def settle(self, key: Key) -> None:
        self.journal.add_settled(*key, self.ledger.positions.pop(key))
        self.ledger.settled[key] = self.journal.ticket

    def move(self, key: Key, queue: int, sequence: int) -> None:
        """As dead-lettering does: out of one queue and into another, in one turn."""
        body = self.ledger.added[key].content[3]
        self.settle(key)
        self.publish(queue, sequence, body)
        self.ledger.moves.append((key, (queue, sequence), self.journal.ticket))

    def purge(self, queue: int) -> None:
        gone = [key for key in self.ledger.positions if key[0] == queue]
        places = [(key[1], self.ledger.positions.pop(key)) for key in gone]
        self.journal.add_range(queue, 0, 2**64 - 1, places)
        for key in gone:
            self.ledger.settled[key] = self.journal.ticket

    def define(self, cbor: bytes) -> None:
        self.journal.add_definition(cbor)
        self.ledger.definitions.append((cbor, self.journal.ticket))

    def snapshot(self) -> None:
        names = [cbor for cbor, _ in self.ledger.definitions]
        self.journal.add_snapshot(b" ".join(names))

    def commit(self, *, is_last: bool = False) -> Written | None:
        while is_last and self.journal.closed:
            self.commit()
        take = self.journal.take_last_batch if is_last else self.journal.take_batch
        batch = take()
        if batch is None:
            return None
        error = None
        try:
            batch.run(self.disk)
        except OSError as caught:
            error = caught
        written = self.journal.on_written(batch, error)
        if written.outcome is Outcome.FULL:
            self._refuse({tuple(each) for each in written.refused})
        return written

    def tidy(self) -> None:
        """Move what an old segment is kept for, and make the reserve again."""
        move = self.journal.take_move()
        if move is not None:
            move.run(self.disk)
            self.journal.on_moved(move, None)
        piece = self.journal.take_reserve()
        if piece is not None:
            piece.run(self.disk)
            self.journal.on_reserved(piece, None)

    def _refuse(self, refused: set[tuple[int, ...]]) -> None:
        """Nack what was published, add what was moved again, as an owner does."""
        ledger, moved = self.ledger, {new: old for old, new, _ in self.ledger.moves}
        for key in [key for key in ledger.added if key in refused]:
            content = ledger.added[key].content
            if key in moved and key in ledger.positions:
                position = self.journal.add_message(*key, *content)
                self._note(key, content, position)
                continue
            del ledger.added[key]
            ledger.positions.pop(key, None)

    def _note(self, key: Key, content: Content, position: int) -> None:
        self.ledger.added[key] = Promise(content, self.journal.ticket)
        self.ledger.positions[key] = position

"""The ledger of stories with streams: books of streams, and queues that they feed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.history import Violation
from tests.simulation.ledger import Ledger
from tests.simulation.streams.book import Book, Course, StreamTerms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulation.history import Fact, Value
    from tests.simulation.ledger import Note


class Feed:
    """A queue that a stream feeds: nothing of it may be left out, ever.

    Attributes:
        course: what it was to get and what was settled.
        held: what somebody holds.
    """

    def __init__(self, name: str, book: Book, begun: int) -> None:
        self.name = name
        self.book = book
        self.course = Course(begun)
        self.held: set[int] = set()
        self._given: set[int] = set()  # in this life
        self._done: set[int] = set()  # in this life

    def restart(self) -> None:
        """The broker is gone; what was settled may come again, or not."""
        self.held.clear()
        self._given.clear()
        self._done.clear()

    def give(self, offset: int) -> None:
        """Somebody gets it. Raises Violation if another one has it, or it is done."""
        if offset in self.held or offset in self._done:
            raise Violation(f"{self.name}: {offset} is given twice")
        self.held.add(offset)
        self._given.add(offset)

    def settle(self, offset: int) -> None:
        self.held.discard(offset)
        self._done.add(offset)
        self.course.settled.add(offset)

    def give_back(self, offset: int) -> None:
        self.held.discard(offset)

    def check(self) -> None:
        """What is given is what follows, from where all was settled."""
        if not self._given:
            return
        first = min(self._given)
        self.book.check_passed(self.course, first, self.name)
        for offset in range(max(first, self.book.trimmed_until), max(self._given)):
            if offset not in self._given and not self.book.may_be_gone(offset):
                raise Violation(f"{self.name}: {offset} is left out")


class StreamLedger(Ledger):
    """What is in the broker, streams as well."""

    def __init__(self) -> None:
        super().__init__()
        self.books: dict[str, Book] = {}  # of all that there ever was, by name
        self.streams: dict[str, Book] = {}
        self.known_feeds: dict[str, Feed] = {}
        self.feeds: dict[str, Feed] = {}
        self._appended: dict[int, list[tuple[Book, str]]] = {}  # by step

    # --- what clients do

    def declare_stream(self, name: str, terms: StreamTerms) -> None:
        self.streams[name] = self.books[name] = Book(name, terms)
        self.history.set(("stream", name), terms.arguments)

    def declare_feed(self, name: str, source: str, begun: int) -> None:
        feed = Feed(name, self.streams[source], begun)
        self.feeds[name] = self.known_feeds[name] = feed
        self.history.set(("stream", name), {"x-source-stream": source})

    def delete_stream(self, name: str) -> None:
        """Delete a stream, or a queue that is fed by one."""
        for source, queue in [each for each in self.bindings if each[1] == name]:
            self.unbind(source, queue)
        self.streams.pop(name, None)
        self.feeds.pop(name, None)
        self.history.set(("stream", name), None)

    def append(self, stream: str, name: str, note: Note) -> None:
        """`note` was routed to a stream, under `name`."""
        book = self.streams[stream]
        self._appended.setdefault(self.history.step, []).append((book, name))
        is_repeated = self._is_ticking or "/" in name or bool(note.delay)
        book.append(
            name,
            note,
            self.now,
            may_repeat=is_repeated,
            is_timely=self._is_ticking,
        )

    def note_ticket(self, ticket: int) -> None:
        """What was done in this step is safe with that."""
        for book, name in self._appended.get(self.history.step, ()):
            line = book.lines[name]
            line.ticket = line.ticket or ticket

    def confirm(self, step: int, safe: int, note: str = "") -> None:
        """All of `step` is safe, or only `note`, says the broker; `safe` is a ticket.

        Raises Violation if it is not.
        """
        for book, name in self._appended.get(step, ()):
            if not note or name == note:
                line = book.lines[name]
                line.is_confirmed = True
                if line.ticket > safe:
                    raise Violation(f"{book.name}: {name} is confirmed, and not safe")

    # --- another life

    def restart(self, found: Mapping[Fact, Value], *, is_clean: bool) -> None:
        super().restart(found, is_clean=is_clean)
        names = [fact[1] for fact in found if fact[0] == "stream"]
        self.streams = {name: self.books[name] for name in names if name in self.books}
        self.feeds = {name: self.known_feeds[name] for name in names if name[0] == "f"}
        for each in (*self.streams.values(), *self.feeds.values()):
            each.restart()
        self._appended.clear()

    # --- inside

    def _route(self, note: Note) -> None:
        if not note.exchange and note.key in self.streams:
            self.append(note.key, note.name, note)
        else:
            super()._route(note)

    def _put(self, name: str, note: Note, queue: str, ttl: int) -> None:
        if queue in self.streams:
            self.append(queue, name, note)
            return
        tap = self.queues[queue].tap
        if tap in self.streams:
            self.append(tap, name, note)
        super()._put(name, note, queue, ttl)

    def _note_binding(self, source: str, queue: str, value: Value) -> None:
        if queue not in self.books:
            super()._note_binding(source, queue, value)
        elif self.exchanges[source]:
            self.history.set(("binding", source, queue), value)

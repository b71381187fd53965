"""Book: what a data directory defines, as entries of the journal.

Entries are CBOR; argument tables within them are field tables as AMQP encodes them,
since only those tell all their types apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import cbor2

from warren.wire.table import decode_table, encode_table
from warren_broker.core.definitions import USER, VHOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from warren_broker.core.store import Key

_ARGUMENTS: Final = "arguments"


@final
class Book:
    """The definitions of a data directory.

    Attributes:
        last_number: the largest number that was ever given to a queue.
        returns: how often messages were returned, by number and sequence.
        doubts: by number, the last sequence that may have been delivered before a
            crash.
        sequences: by number, the last sequence of which something was noted: it must
            never be that of another message.
    """

    __slots__ = ("_entries", "doubts", "last_number", "returns", "sequences")

    def __init__(self) -> None:
        self._entries: dict[Key, Mapping[str, object]] = {}
        self.last_number = 0
        self.returns: dict[tuple[int, int], int] = {}
        self.doubts: dict[int, int] = {}
        self.sequences: dict[int, int] = {}

    def read(self, snapshot: bytes | None, entries: Iterable[bytes]) -> None:
        """Take over what was stored, in its order."""
        if snapshot is not None:
            for entry in cbor2.loads(snapshot):
                self._take(entry)
        for raw in entries:
            self._take(cbor2.loads(raw))

    def go_on_after(self, numbers: Iterable[int]) -> None:
        """These were given, even if the note of it is lost."""
        self.last_number = max(self.last_number, *numbers, 0)

    def definitions(self) -> dict[Key, Mapping[str, object]]:
        """Return what is defined, with tables decoded."""
        return {key: _decoded(value) for key, value in self._entries.items()}

    def numbers(self) -> set[int]:
        """Return the numbers of all that is defined and keeps something."""
        found = (value.get("number") for value in self._entries.values())
        return {number for number in found if isinstance(number, int)}

    def return_count(self, number: int, sequence: int) -> int:
        """How often a message was returned, as far as is known."""
        doubted = sequence <= self.doubts.get(number, 0)
        return self.returns.get((number, sequence), int(doubted))

    def forget_gone(self, live: Mapping[int, Iterable[int]]) -> None:
        """Only the sequences `live`, by number, are still there."""
        self.doubts = {one: last for one, last in self.doubts.items() if one in live}
        if self.returns:
            places = {(one, each) for one, all_ in live.items() for each in all_}
            self.returns = {
                place: count for place, count in self.returns.items() if place in places
            }

    def put(self, key: Key, value: Mapping[str, object] | None) -> list[object]:
        """Take down a definition and return it as an entry."""
        stored = None if value is None else _encoded(value)
        self._keep(key, stored)
        return [list(key), stored]

    def entries(self) -> list[list[object]]:
        """Return everything, as entries."""
        entries: list[list[object]] = [self.number_entry()]
        entries += [[list(key), value] for key, value in self._entries.items()]
        entries += [[*place, count] for place, count in self.returns.items()]
        entries += [[*doubt] for doubt in self.doubts.items()]
        return entries

    def number_entry(self) -> list[object]:
        """Return the entry that says which numbers have been given."""
        return [self.last_number]

    def _take(self, entry: list[object]) -> None:
        match entry:
            case [int(last_number)]:
                self.last_number = last_number
            case [int(number), int(sequence), int(count)]:
                self.returns[number, sequence] = count
                self._note_sequence(number, sequence)
            case [int(number), int(sequence)]:
                self.doubts[number] = sequence
                self._note_sequence(number, sequence)
            case [list(key), dict(value)]:
                self._keep(tuple(map(str, key)), value)
            case [list(key), None]:
                self._keep(tuple(map(str, key)), None)

    def _note_sequence(self, number: int, sequence: int) -> None:
        self.sequences[number] = max(sequence, self.sequences.get(number, 0))

    def _keep(self, key: Key, value: Mapping[str, object] | None) -> None:
        if value is None:
            self._entries.pop(key, None)
            if key[0] == VHOST:
                self._forget_inside(key[1])
        else:
            self._entries[key] = value

    def _forget_inside(self, vhost: str) -> None:
        """A virtual host is gone, and all that was in it."""
        for key in [key for key in self._entries if key[1] == vhost]:
            if key[0] != USER:
                del self._entries[key]


def _encoded(value: Mapping[str, object]) -> dict[str, object]:
    """Return `value` as CBOR can hold it."""
    stored = dict(value)
    if _ARGUMENTS in stored:
        stored[_ARGUMENTS] = encode_table(stored[_ARGUMENTS])  # type: ignore[arg-type]
    return stored


def _decoded(stored: Mapping[str, object]) -> dict[str, object]:
    value = dict(stored)
    raw = value.get(_ARGUMENTS)
    if isinstance(raw, bytes):
        value[_ARGUMENTS] = decode_table(raw, 0)[0]
    return value

"""Offsets: how far those have come who read a stream under a name.

Kept as definitions, so they survive; each is where its owner is to go on, and never
ahead of what was settled.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.stream.stream import Stream


@final
class Offsets:
    """The stored offsets of one stream, by reference.

    There is room for so many; one more and the longest unused is forgotten.
    """

    __slots__ = ("_offsets",)

    def __init__(self) -> None:
        self._offsets: OrderedDict[str, int] = OrderedDict()

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._offsets.items())

    def get(self, reference: str | None) -> int | None:
        """Return where `reference` goes on; None if it is not known."""
        return None if reference is None else self._offsets.get(reference)

    def begin(self, stream: Stream, reference: str | None, offset: int) -> None:
        """`reference` reads `stream` from `offset` on.

        Stored at once: else a crash before anything is settled would leave out what has
        come until then. Not so a leap ahead of what was settled.
        """
        if reference is not None and offset <= self._offsets.get(reference, offset):
            self.put(stream, reference, offset)

    def put(self, stream: Stream, reference: str, offset: int) -> None:
        """`reference` has settled all of `stream`, whose offsets these are, so far."""
        if stream.is_deleted:
            return
        is_stored = self._offsets.get(reference) == offset
        self.restore(reference, offset)
        if is_stored:
            return
        definitions = stream.vhost.definitions
        definitions.put_offset(stream, reference, offset)
        limit = stream.vhost.broker.limits.stream_offsets_max
        while len(self._offsets) > limit:
            forgotten, _ = self._offsets.popitem(last=False)
            definitions.put_offset(stream, forgotten, None)

    def restore(self, reference: str, offset: int) -> None:
        """Put back what was stored."""
        self._offsets[reference] = offset
        self._offsets.move_to_end(reference)

    def limit(self, stream: Stream) -> None:
        """Let nobody go on behind the end: what comes there now is not what it had.

        On a full disk an offset may be stored before the records that are before it,
        and a crash then takes these.
        """
        for reference, offset in list(self):
            if offset > stream.next_offset:
                self.put(stream, reference, stream.next_offset)

    def clear(self, stream: Stream) -> None:
        """`stream` is deleted: forget them all."""
        for reference in self._offsets:
            stream.vhost.definitions.put_offset(stream, reference, None)
        self._offsets.clear()

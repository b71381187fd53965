"""Outbox: the bytes that wait to be sent to one peer.

A turn writes chunks, the peer's writer takes them. Hot: `write` is called once a
message or more, `take` once a batch.

* An outbox that becomes non-empty puts itself on the `dirty` list that it was given, so
  that whoever owns the list wakes only the writers that have something to do.
* Small chunks leave joined, large ones untouched: a body is never copied here.
* A consumer is not given more while its outbox is congested (over the high mark), and
  is served again once it is drained (at or below the low mark).
"""

from __future__ import annotations

from collections import deque
from typing import Final, final

HIGH_WATER: Final = 1024 * 1024
"""Bytes: more than this waiting, and the peer is congested."""

LOW_WATER: Final = 256 * 1024
"""Bytes: at most this much waiting, and a congested peer is served again."""

CHUNK_LARGE: Final = 16 * 1024
"""Bytes: a chunk of this size or more is passed by reference, never copied."""


@final
class Outbox:
    """Chunks to send, in order. `size` is the number of bytes that wait."""

    __slots__ = ("_chunks", "_dirty", "_source", "closed", "size")

    def __init__(self, dirty: list[Outbox]) -> None:
        self._dirty: list[Outbox] = dirty
        # What `write` fills and what `take` empties: one deque until `close`.
        self._chunks: deque[bytes] = deque()
        self._source: deque[bytes] = self._chunks
        self.size: int = 0
        self.closed: bool = False

    @property
    def is_congested(self) -> bool:
        """More waits than the high mark allows."""
        return self.size > HIGH_WATER

    @property
    def is_drained(self) -> bool:
        """No more waits than the low mark allows."""
        return self.size <= LOW_WATER

    def write(self, chunk: bytes) -> None:
        """Add bytes to send; after `close` they are dropped."""
        if not self._chunks:
            if self.closed:
                return
            self._dirty.append(self)
        self._chunks.append(chunk)
        self.size += len(chunk)

    def nudge(self) -> None:
        """Have whoever empties the outbox look at its connection, bytes or none."""
        self._dirty.append(self)

    def take(self, limit: int) -> list[bytes]:
        """Remove and return what to send next: about `limit` bytes, whole chunks.

        The list is meant for one `sendmsg`. It is empty when nothing waits. The last
        chunk may reach past the limit, so that even a huge chunk gets its turn.
        """
        source = self._source
        if self.size <= limit and (
            self.size < CHUNK_LARGE or max(map(len, source)) < CHUNK_LARGE
        ):
            whole = b"".join(source)
            source.clear()
            self.size = 0
            return [whole] if whole else []
        return self._take_some(limit)

    def _take_some(self, limit: int) -> list[bytes]:
        source = self._source
        taken: list[bytes] = []
        small: list[bytes] = []
        size = 0
        while source and size < limit:
            chunk = source.popleft()
            size += len(chunk)
            if len(chunk) < CHUNK_LARGE:
                small.append(chunk)
                continue
            if small:
                taken.append(b"".join(small))
                small.clear()
            taken.append(chunk)
        if small:
            taken.append(b"".join(small))
        self.size -= size
        return taken

    def close(self) -> None:
        """Accept no more writes; what waits can still be taken. Wakes the writer.

        The writer is done when the outbox is `closed` and `take` returns nothing.
        """
        if self.closed:
            return
        self.closed = True
        # `write` looks at `closed` only when `_chunks` is empty, and from now on it is.
        self._chunks = deque()
        self._dirty.append(self)

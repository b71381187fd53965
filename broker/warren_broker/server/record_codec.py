"""RecordDecoder: entries of a stream become the records that readers are given.

What repeats is made once: records of one publisher mostly share route and header, and
then the bytes of both are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, final

from warren_broker.amqp.content_header import ContentHeader
from warren_broker.core.message import Message
from warren_broker.core.stream.record import Page, Record
from warren_broker.server.revival import decode_route
from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream import entry as entries
from warren_broker.storage.stream.entry import DELTA, FILTERED, HEAD, MARK

if TYPE_CHECKING:
    from warren_broker.core.message import Route
    from warren_broker.storage.stream.chunk import Chunk
    from warren_broker.storage.stream.reading import Pages

T = TypeVar("T")

_KNOWN_MAX: Final = 2048  # of each kind
_COMPACT_KEY: Final = "x-compact-key"
_RAW_COMPACT_KEY: Final = _COMPACT_KEY.encode()


@final
class RecordDecoder:
    """Decodes in one thread, whichever that is."""

    __slots__ = ("_pairs", "_routes")

    def __init__(self) -> None:
        self._pairs: dict[bytes, tuple[Route, ContentHeader]] = {}
        self._routes: dict[bytes, Route] = {}

    def page(self, pages: Pages) -> Page:
        """Return all records that were read together. Raises ValueError."""
        records: list[Record] = []
        for chunk in pages.chunks:
            if chunk.header.kind != chunks.TRACKING:
                self._decode(chunk, records)
        return Page(pages.start, pages.end, records, pages.size)

    def _decode(self, chunk: Chunk, records: list[Record]) -> None:
        """Add the records of a chunk. Hot: once a record."""
        data, timestamp_ms = chunk.data, chunk.header.timestamp_ms
        first = offset = chunk.header.first
        is_compacted = chunk.header.kind == chunks.COMPACTED
        unpack, pairs, add = HEAD.unpack_from, self._pairs, records.append
        position, size, last = 0, len(data), b""
        while position < size:
            if is_compacted:
                offset = first + DELTA.unpack_from(data, position)[0]
                position += 4
            length, mark, a, b, c = unpack(data, position)
            start = position + 12 + a
            body = start + b + c
            # The sizes belong to it: else two pairs could have the same bytes.
            key = data[position + 6 : body]
            if a:
                key = key[:6] + data[start:body]
            if key != last:
                route, header = pairs.get(key) or self._pair(key, b, mark)
                last = key
            position += 4 + length
            # They are set: no key is empty.
            message = Message(route, header, data[body:position])  # type: ignore[possibly-undefined]
            record = Record(offset, timestamp_ms, message)
            if mark == FILTERED:
                record.filter_value = data[start - a : start].decode()
            add(record)
            offset += 1

    def _pair(
        self, key: bytes, route_size: int, mark: int
    ) -> tuple[Route, ContentHeader]:
        """Read what is in `key` behind its six bytes. Raises ValueError."""
        if mark not in (MARK, FILTERED):
            raise ValueError(f"a record of the unknown format {mark}")
        end = 6 + route_size
        encoded = key[6:end]
        route = self._routes.get(encoded)
        if route is None:
            _make_room(self._routes)
            route = self._routes[encoded] = decode_route(encoded)
        pair = route, ContentHeader.restored(key[end:])
        if pair[1].repeats:
            _make_room(self._pairs)
            self._pairs[key] = pair
        return pair


def compact_key(data: bytes, start: int) -> bytes:
    """The key of an entry: its header `x-compact-key` as text, or its routing key."""
    entry = entries.decode(data, start)
    if _RAW_COMPACT_KEY in entry.header:
        value = ContentHeader.restored(entry.header).headers().get(_COMPACT_KEY)
        if value is not None:
            return str(value).encode()
    return entry.route[entry.route[0] + 2 :]


def _make_room(known: dict[bytes, T]) -> None:
    if len(known) >= _KNOWN_MAX:
        known.clear()

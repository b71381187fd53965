"""Replay: from operations back to what lives.

Memory is bounded by what lives at any point of the journal: what is settled is
forgotten at once. Routes repeat, so equal ones are kept once.
"""

from __future__ import annotations

from array import array
from struct import error as StructError
from typing import TYPE_CHECKING, Final, NamedTuple, final

from warren_broker.storage.ops import (
    COPY,
    COPY_OP,
    DEFINE,
    DEFINE_HEAD,
    MESSAGE,
    MESSAGE_HEAD,
    RANGE,
    RANGE_OP,
    SETTLED,
    SETTLED_OP,
    OpsError,
)
from warren_broker.storage.space import OFFSET_BITS, OFFSET_MASK

if TYPE_CHECKING:
    from warren_broker.storage.definitions import Snapshot

_ROUTES_MAX: Final = 4096


class Stored(NamedTuple):
    """A message that lives in a queue."""

    sequence: int
    expires_ms: int  # since 1970; 0: never
    route: bytes
    header: bytes
    body: bytes
    position: int  # for `Journal.add_settled`


@final
class Replay:
    """What lives after the records that were applied.

    A later operation about a message of the same queue and sequence counts; settling
    a message that is not known is no error.
    """

    __slots__ = (
        "_defined",
        "_routes",
        "_snapshot",
        "definitions",
        "last_defined",
        "queues",
    )

    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot
        self._routes: dict[bytes, bytes] = {}
        self._defined = 0  # definitions in this record so far
        self.queues: dict[int, dict[int, Stored]] = {}
        self.definitions: list[bytes] = []  # those the snapshot does not know
        self.last_defined = 0  # last record with a definition, in the snapshot or not

    def apply(self, lsn: int, base: int, body: bytes) -> None:
        """Apply a record. `base` is the position of the body's first byte.

        Hot: a start takes as long as this. Raises `OpsError`.
        """
        queues = self.queues
        offset, end = 0, len(body)
        self._defined = 0
        route = header = content = b""
        try:
            while offset < end:
                kind = body[offset]
                if kind == MESSAGE:
                    _, queue, sequence, expires_ms, a, b, c = MESSAGE_HEAD.unpack_from(
                        body, offset
                    )
                    start = offset + 31
                    route = self._route(body[start : start + a])
                    header = body[start + a : start + a + b]
                    content = body[start + a + b : start + a + b + c]
                    place = base + offset
                    offset = start + a + b + c
                elif kind == SETTLED:
                    _, queue, sequence = SETTLED_OP.unpack_from(body, offset)
                    if queue in queues:
                        queues[queue].pop(sequence, None)
                    offset += 13
                    continue
                elif kind == COPY:
                    _, queue, sequence, expires_ms, _ = COPY_OP.unpack_from(
                        body, offset
                    )
                    place = base + offset
                    offset += 25
                else:
                    offset = self._apply_other(kind, lsn, body, offset)
                    continue
                stored = Stored(sequence, expires_ms, route, header, content, place)
                if queue not in queues:
                    queues[queue] = {}
                queues[queue][sequence] = stored
        except StructError as error:
            raise OpsError(f"record {lsn} ends in an operation") from error
        if offset != end:
            raise OpsError(f"record {lsn} has an operation that is too long")

    def _apply_other(self, kind: int, lsn: int, body: bytes, offset: int) -> int:
        """What is not about one message; return where it ends."""
        if kind == RANGE:
            _, queue, first, last = RANGE_OP.unpack_from(body, offset)
            self._settle_range(queue, first, last)
            return offset + RANGE_OP.size
        if kind != DEFINE:
            raise OpsError(f"record {lsn} has an unknown operation {kind}")
        start = offset + DEFINE_HEAD.size
        end: int = start + DEFINE_HEAD.unpack_from(body, offset)[1]
        self._define(lsn, body[start:end])
        return end

    def _route(self, route: bytes) -> bytes:
        if len(self._routes) >= _ROUTES_MAX:
            self._routes.clear()
        return self._routes.setdefault(route, route)

    def _settle_range(self, queue: int, first: int, last: int) -> None:
        live = self.queues.get(queue, {})
        if last - first < len(live):
            for sequence in range(first, last + 1):
                live.pop(sequence, None)
        else:
            for sequence in [each for each in live if first <= each <= last]:
                del live[sequence]
        if not live:
            self.queues.pop(queue, None)

    def _define(self, lsn: int, cbor: bytes) -> None:
        self.last_defined = lsn
        known = self._snapshot
        if known is None or (lsn, self._defined) >= (known.lsn, known.defined):
            self.definitions.append(cbor)
        self._defined += 1

    def take_messages(self) -> dict[int, list[Stored]]:
        """Return what lives in each queue, in order of sequence, and forget it."""
        queues = self.queues
        found = {}
        for queue in sorted(queues):
            stored = sorted(queues.pop(queue).values())
            if stored:
                found[queue] = stored
        return found


def live_offsets(messages: dict[int, list[Stored]]) -> dict[int, array[int]]:
    """The offsets of what lives, by segment."""
    offsets: dict[int, array[int]] = {}
    for stored in messages.values():
        for each in stored:
            number = each.position >> OFFSET_BITS
            if number not in offsets:
                offsets[number] = array("I")
            offsets[number].append(each.position & OFFSET_MASK)
    return offsets

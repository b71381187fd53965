"""The two hot directions of a consumer: reading deliveries, and acking them.

`DeliverReader` reads what `BasicDeliver.decode` reads, but looks up what repeats: the
consumer tag before the delivery tag, and the route behind it. `AckRun` makes one ack of
many: while deliveries are acked in their order, one frame with `multiple` settles all
that were acked since the last one was sent.

Both are guarded by `make bench-clients`, and by tests that hold them to their plain
twins.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, final

from warren.wire.constants import FRAME_END, FRAME_METHOD
from warren.wire.methods import BasicAck, BasicDeliver

DELIVER_PREFIX: Final = BasicDeliver().encode()[:4]
"""How the payload of a delivery begins: class and method."""

KNOWN_MAX: Final = 4096
"""Routes, and consumer tags; a peer who has more makes the cache useless, not large."""

UNORDERED_MAX: Final = 10_000
"""Tags settled while an older one is not; more, and no runs are looked for any more."""

_TAG: Final = Struct(">Q")
_ACK: Final = Struct(">BHIIQBB")
_ACK_SIZE: Final = 13


@final
class DeliverReader:
    """Decodes deliveries; one for each connection."""

    __slots__ = ("_consumers", "_routes")

    def __init__(self) -> None:
        self._consumers: dict[bytes, str] = {}
        self._routes: dict[bytes, tuple[bool, str, str]] = {}

    def decode(self, payload: bytes) -> BasicDeliver:
        """Return the method of a payload that begins with `DELIVER_PREFIX`.

        Hot: called once a message. Raises as `BasicDeliver.decode` does.
        """
        at = 5 + payload[4] if len(payload) > 4 else len(payload)
        consumer = self._consumers.get(payload[4:at])
        route = self._routes.get(payload[at + 8 :])
        if consumer is None or route is None:
            return self._learn(payload, at)
        return BasicDeliver(consumer, _TAG.unpack_from(payload, at)[0], *route)

    def _learn(self, payload: bytes, at: int) -> BasicDeliver:
        method = BasicDeliver.decode(payload)
        if len(self._consumers) >= KNOWN_MAX or len(self._routes) >= KNOWN_MAX:
            self._consumers.clear()
            self._routes.clear()
        self._consumers[payload[4:at]] = method.consumer_tag
        self._routes[payload[at + 8 :]] = (
            method.redelivered,
            method.exchange,
            method.routing_key,
        )
        return method


@final
class AckRun:
    """The acks of one channel that are not sent yet: one run, at the lower end."""

    __slots__ = ("_channel", "_first", "_next", "_unordered")

    def __init__(self, channel: int) -> None:
        self._channel: int = channel
        self._first: int = 1  # of the run; it is empty if this is `_next`
        self._next: int = 1  # everything below is settled, or in the run
        self._unordered: set[int] = set()

    @property
    def is_empty(self) -> bool:
        """Whether `take` would return nothing."""
        return self._first == self._next

    def add(self, tag: int) -> bytes:
        """Ack a delivery. Return a frame to be sent now, if it is in no run."""
        if tag == self._next:
            self._next = tag + 1
            return b""
        self.note(tag)
        return ack_frame(self._channel, tag, multiple=False)

    def note(self, tag: int) -> None:
        """It was settled otherwise. The run must have been taken before."""
        if tag == self._next:
            self._first = self._next = tag + 1
        elif tag > self._next and len(self._unordered) < UNORDERED_MAX:
            self._unordered.add(tag)

    def take(self) -> bytes:
        """Return the frame that settles the run, and begin a new one."""
        frame = b""
        last = self._next - 1
        if self._first <= last:
            multiple = self._first < last
            frame = ack_frame(self._channel, last, multiple=multiple)
        while self._unordered and self._next in self._unordered:
            self._unordered.remove(self._next)
            self._next += 1
        self._first = self._next
        return frame


def ack_frame(channel: int, tag: int, *, multiple: bool) -> bytes:
    """Return the whole frame of an ack, as `encode_method` would."""
    return _ACK.pack(
        FRAME_METHOD, channel, _ACK_SIZE, BasicAck.index, tag, multiple, FRAME_END
    )

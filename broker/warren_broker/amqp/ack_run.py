"""The hot path of acks: many in one batch of input, each alone, one after the other.

That is how nearly all clients ack. A run of such frames is found at once, by one
pattern, and no frame of it is taken apart. The plain twin is `FrameReader`, with each
frame by itself: it gets what follows the run, and what is wrong with it.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import TYPE_CHECKING, Final

from warren.wire.constants import FRAME_END, FRAME_METHOD
from warren.wire.frames import FRAME_PREFIX
from warren.wire.methods import BasicAck
from warren_broker.amqp.channel import ServerChannel

if TYPE_CHECKING:
    from warren_broker.amqp.connection import ServerConnection
    from warren_broker.core.unacked import Unacked

_TAG: Final = Struct(">11xQ2x")
"""Where the delivery tag is in a frame."""

_RUN_MAX: Final = 1024
"""Frames that are looked at together: what follows may be for another turn."""


def _pattern() -> re.Pattern[bytes]:
    """Return what two or more acks on one channel are, without `multiple`."""
    kind = bytes((FRAME_METHOD,))
    size = FRAME_PREFIX.pack(0, 0, _TAG.size - FRAME_PREFIX.size - 1)[3:]
    index = BasicAck.index.to_bytes(4, "big")
    rest = re.escape(size + index) + b"." * 8 + re.escape(bytes((0, FRAME_END)))
    again = re.escape(kind) + rb"\1" + rest
    return re.compile(
        re.escape(kind) + b"(..)" + rest + b"(?:%b){1,%d}+" % (again, _RUN_MAX - 1),
        re.DOTALL,
    )


_RUN: Final = _pattern()


def take_acks(
    connection: ServerConnection, data: bytes, position: int, work_until: int
) -> int:
    """Act on the run of acks at `position`; return where what is not done begins.

    It ends before an ack that is not simply of what is unacked, and when the turn's
    work is over `work_until`. Hot: once a batch of input.
    """
    while run := _RUN.match(data, position):
        channel = connection.channels.get(int.from_bytes(run[1], "big"))
        if (
            not isinstance(channel, ServerChannel)
            or channel.transaction is not None
            or channel.content.publication is not None
        ):
            break
        tags = [tag for (tag,) in _TAG.iter_unpack(run[0])]
        done = _settle(channel.unacked, tags, work_until)
        position += done * _TAG.size
        if done < len(tags):
            break
    return position


def _settle(unacked: Unacked, tags: list[int], work_until: int) -> int:
    """Settle `tags` in turn; return how many."""
    broker, loans = unacked.broker, unacked.loans
    done, count = 0, len(tags)
    while done < count and broker.work <= work_until:
        lent = loans.settle_run(tags, done) if loans.count else 0
        if lent:
            done += lent
            continue
        entry = unacked.entries.pop(tags[done], None)
        if entry is None:
            break
        entry.queue.settle(entry)
        done += 1
    return done

"""Large bodies in any cuts: the reader joins them on a way of their own."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.pairs import World, random_cuts, whole
from warren.wire.frames import encode_frame
from warren.wire.large_frame import LARGE_SIZE
from warren.wire.methods import BasicGet, ConnectionClose, QueueDeclare

if TYPE_CHECKING:
    from tests.pairs import Cut

SIZES = (LARGE_SIZE - 1, LARGE_SIZE, LARGE_SIZE + 1, 60_000, 131_064, 200_000)


def in_pieces_of(size: int) -> Cut:
    """Return a cut into pieces of one size."""
    return lambda data: (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize(
    "cut", [whole, random_cuts(1), in_pieces_of(1000), in_pieces_of(65_536)]
)
def test_bodies_arrive_as_they_were_sent(cut: Cut) -> None:
    client = World().open(cut)
    client.call(QueueDeclare(queue="q"))
    bodies = [random.Random(size).randbytes(size) for size in SIZES]
    client.publish("q", *bodies, b"small")
    client.send(*[BasicGet(queue="q", no_ack=True)] * (len(bodies) + 1))
    assert client.bodies() == [*bodies, b"small"]


@pytest.mark.parametrize("channel", [0, 1, 5])
@pytest.mark.parametrize("damage", ["end", "nothing announced it", "kind"])
def test_a_large_frame_that_is_wrong(channel: int, damage: str) -> None:
    """As wrong as a small one, and as soon."""

    def replies(size: int, cut: Cut) -> list[tuple[int, int, int]]:
        client = World().open(cut)
        kind = 9 if damage == "kind" else 3
        frame = encode_frame(kind, channel, bytes(size))
        if damage == "end":
            frame = frame[:-1] + b"\x00"
        client.send_raw(frame)
        closes = [one for one in client.methods() if isinstance(one, ConnectionClose)]
        return [
            (close.reply_code, close.failing_class_id, close.failing_method_id)
            for close in closes
        ]

    large = replies(LARGE_SIZE, in_pieces_of(10_000))
    assert large == replies(100, whole) != []

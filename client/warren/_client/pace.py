"""Pace: how many messages ride on one task switch.

A switch costs several times what a message does. So a loop over messages lets the other
tasks run after so many of them, and in between only looks whether it was cancelled.
"""

from __future__ import annotations

from typing import Final, final

import trio

TURN_SIZE: Final = 64
"""Messages."""


@final
class Pace:
    """Counts the messages of one loop."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    async def step(self) -> None:
        """One more message. A point to be cancelled at; now and then, a switch."""
        self._count += 1
        if self._count % TURN_SIZE:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await trio.lowlevel.checkpoint()

"""Doorway: how many may be on their way in at once.

Whoever has not logged in yet may cost little. Beyond the limits (all together, and one
address) newcomers wait, unread, for one before them to log in, leave or time out. They
are not refused at once: after a restart a whole fleet comes back in the same moment,
often through one proxy. Addresses do not wait for each other until the common limit.

Who waits holds a connection all the same, so one address may have so many coming and no
more: it must not use up the connections of all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import trio

if TYPE_CHECKING:
    from warren_broker.core.limits import Limits


COMING_FACTOR: Final = 20
"""Clients of one address, inside or waiting, for each place it may have inside."""


@final
class Newcomer:
    """A client on its way in: `enter`, once.

    `leave` when it is known, gone or gives up; again is harmless.
    """

    __slots__ = ("_address", "_doorway", "_is_here", "_is_inside")

    def __init__(self, doorway: Doorway, address: str) -> None:
        self._doorway: Doorway = doorway
        self._address: str = address
        self._is_here: bool = True
        self._is_inside: bool = False

    async def enter(self) -> None:
        """Wait for a place. The caller limits the time."""
        await self._doorway.acquire(self._address)
        self._is_inside = True

    def leave(self) -> None:
        """Make room for the next."""
        if self._is_here:
            self._is_here = False
            self._doorway.depart(self._address, was_inside=self._is_inside)


@final
class Doorway:
    """Places for newcomers: some a client address, and some in all."""

    __slots__ = ("_all", "_by_address", "_coming", "_per_address_max")

    def __init__(self, limits: Limits) -> None:
        self._all = trio.Semaphore(limits.unauthenticated_max)
        self._per_address_max = limits.unauthenticated_per_address_max
        self._by_address: dict[str, trio.Semaphore] = {}
        self._coming: dict[str, int] = {}

    def arrive(self, address: str) -> Newcomer | None:
        """Let a client come; None if too many of its address are coming already."""
        coming = self._coming.get(address, 0)
        if coming >= COMING_FACTOR * self._per_address_max:
            return None
        if not coming:
            self._by_address[address] = trio.Semaphore(self._per_address_max)
        self._coming[address] = coming + 1
        return Newcomer(self, address)

    async def acquire(self, address: str) -> None:
        """Wait for a place; `Newcomer.enter` calls this."""
        semaphore = self._by_address[address]
        await semaphore.acquire()
        try:
            await self._all.acquire()
        except trio.Cancelled:
            semaphore.release()
            raise

    def depart(self, address: str, *, was_inside: bool) -> None:
        """Give a place back, forget an empty address; `Newcomer.leave` calls this."""
        if was_inside:
            self._all.release()
            self._by_address[address].release()
        self._coming[address] -= 1
        if not self._coming[address]:
            del self._coming[address], self._by_address[address]

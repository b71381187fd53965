"""Doorway: how many may be on their way in at once.

Whoever has not logged in yet may cost little. Beyond the limits (all together, and one
address) newcomers wait, unread, for one before them to log in, leave or time out. They
are not refused at once: after a restart a whole fleet comes back in the same moment,
often through one proxy. Addresses do not wait for each other until the common limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio

if TYPE_CHECKING:
    from warren_broker.core.limits import Limits


@final
class Newcomer:
    """A client in the doorway. `leave` when it is known, or gone; again is harmless."""

    __slots__ = ("_address", "_doorway")

    def __init__(self, doorway: Doorway, address: str) -> None:
        self._doorway: Doorway | None = doorway
        self._address: str = address

    def leave(self) -> None:
        """Make room for the next."""
        if self._doorway is not None:
            self._doorway.leave(self._address)
            self._doorway = None


@final
class Doorway:
    """Places for newcomers: some a client address, and some in all."""

    __slots__ = ("_all", "_by_address", "_per_address_max", "_users")

    def __init__(self, limits: Limits) -> None:
        self._all = trio.Semaphore(limits.unauthenticated_max)
        self._per_address_max = limits.unauthenticated_per_address_max
        self._by_address: dict[str, trio.Semaphore] = {}
        self._users: dict[str, int] = {}

    async def enter(self, address: str) -> Newcomer:
        """Wait for a place. The caller limits the time."""
        semaphore = self._arrive(address)
        try:
            await semaphore.acquire()
            try:
                await self._all.acquire()
            except trio.Cancelled:
                semaphore.release()
                raise
        except trio.Cancelled:
            self._depart(address)
            raise
        return Newcomer(self, address)

    def leave(self, address: str) -> None:
        """Give a place back; `Newcomer.leave` calls this."""
        self._all.release()
        self._by_address[address].release()
        self._depart(address)

    def _arrive(self, address: str) -> trio.Semaphore:
        self._users[address] = self._users.get(address, 0) + 1
        semaphore = self._by_address.get(address)
        if semaphore is None:
            semaphore = trio.Semaphore(self._per_address_max)
            self._by_address[address] = semaphore
        return semaphore

    def _depart(self, address: str) -> None:
        """Forget an address that nobody comes from any more."""
        self._users[address] -= 1
        if not self._users[address]:
            del self._users[address], self._by_address[address]

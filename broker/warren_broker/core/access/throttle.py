"""Failed logins: how many an address, and a user, may have.

Each has a bucket of tokens that fills with time; a failure takes one, and with an
empty bucket a login is refused before its password is looked at. Guessing from many
addresses empties the user's bucket, which would lock the user out as well: so an
address from which that user has logged in before has a bucket of its own for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Hashable

ENTRIES_MAX: Final = 10_000
"""Buckets kept, and users' addresses kept; the longest untouched go first."""


@final
class LoginThrottle:
    """Token buckets, ``burst`` deep, filling by ``per_second``."""

    __slots__ = ("_burst", "_familiar", "_per_second", "_tokens")

    def __init__(self, *, burst: int = 10, per_second: float = 1.0) -> None:
        self._burst: float = float(burst)
        self._per_second: float = per_second
        self._tokens: dict[Hashable, tuple[float, float]] = {}
        self._familiar: dict[Hashable, None] = {}

    def allows(self, address: str, user: str, now: float) -> bool:
        """Return True if ``user`` may try to log in from ``address``."""
        keys = self._keys(address, user)
        return all(self._level(key, now) >= 1.0 for key in keys)

    def on_failure(self, address: str, user: str, now: float) -> None:
        """Count a login that failed."""
        for key in self._keys(address, user):
            level = self._level(key, now)
            self._tokens.pop(key, None)
            self._tokens[key] = (max(level - 1.0, 0.0), now)
            _cut(self._tokens)

    def on_success(self, address: str, user: str) -> None:
        """Remember that ``user`` logs in from ``address``."""
        self._familiar.pop((address, user), None)
        self._familiar[address, user] = None
        _cut(self._familiar)

    def _keys(self, address: str, user: str) -> tuple[Hashable, ...]:
        if (address, user) in self._familiar:
            return ((address, user),)
        return (("address", address, ""), ("user", user, ""))

    def _level(self, key: Hashable, now: float) -> float:
        level, since = self._tokens.get(key, (self._burst, now))
        return min(self._burst, level + (now - since) * self._per_second)


def _cut(entries: dict[Hashable, tuple[float, float]] | dict[Hashable, None]) -> None:
    """Forget the entry that was touched least lately, if there are too many."""
    if len(entries) > ENTRIES_MAX:
        del entries[next(iter(entries))]

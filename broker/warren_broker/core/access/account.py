"""Users, and what each of them may do in each virtual host."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, final

import attrs

from warren_broker.core.access.pattern import compile_pattern

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from warren_broker.core.access.password import PasswordHash

DECISIONS_MAX: Final = 4096
"""Decisions remembered for one user in one virtual host."""


class Operation(StrEnum):
    """What a permission is about: AMQP's three kinds of operation."""

    CONFIGURE = "configure"
    WRITE = "write"
    READ = "read"


@attrs.frozen
class User:
    """Who has logged in."""

    name: str
    tags: frozenset[str] = frozenset()

    @property
    def is_administrator(self) -> bool:
        """True if the user may manage everything."""
        return "administrator" in self.tags

    @property
    def is_impersonator(self) -> bool:
        """True if the user may publish with any ``user-id``."""
        return "impersonator" in self.tags


@attrs.frozen(kw_only=True)
class Account:
    """A user as the broker keeps them; without a password none can log in."""

    user: User
    password: PasswordHash | None = None


@attrs.frozen(kw_only=True)
class Permissions:
    """A user's patterns in one virtual host, as an administrator wrote them."""

    configure: str
    write: str
    read: str


@final
class Grants:
    """Compiled permissions, with the decisions made by them so far.

    Permissions never change in place: new ones are new grants. So what was decided
    once holds for as long as the grants are found at all.
    """

    __slots__ = ("_decisions", "_patterns", "permissions")

    def __init__(self, permissions: Permissions) -> None:
        """Raise ValueError for a pattern that is none, or not a safe one."""
        self.permissions: Permissions = permissions
        self._patterns: dict[Operation, re.Pattern[str]] = {
            Operation.CONFIGURE: compile_pattern(permissions.configure),
            Operation.WRITE: compile_pattern(permissions.write),
            Operation.READ: compile_pattern(permissions.read),
        }
        self._decisions: dict[tuple[Operation, str], bool] = {}

    def permit(self, operation: Operation, name: str) -> bool:
        """Return True if the pattern of ``operation`` is found in ``name``."""
        decision = self._decisions.get((operation, name))
        if decision is None:
            decision = self._patterns[operation].search(name) is not None
            if len(self._decisions) >= DECISIONS_MAX:
                self._decisions.clear()
            self._decisions[operation, name] = decision
        return decision


class AccountStore:
    """Accounts by name, and grants by name and virtual host, in memory."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._grants: dict[str, dict[str, Grants]] = {}

    def find(self, name: str) -> Account | None:
        """Return the account of a user."""
        return self._accounts.get(name)

    def find_grants(self, name: str, vhost: str) -> Grants | None:
        """Return what a user may do in a virtual host; None: not even open it."""
        return self._grants.get(name, {}).get(vhost)

    def accounts(self) -> Iterator[Account]:
        """Yield every account."""
        yield from self._accounts.values()

    def grants(self, name: str) -> Iterator[tuple[str, Grants]]:
        """Yield each virtual host a user may open, and what they may do there."""
        yield from self._grants.get(name, {}).items()

    def put(self, account: Account) -> None:
        """Add an account, or replace it."""
        self._accounts[account.user.name] = account

    def put_grants(self, name: str, vhost: str, grants: Grants) -> None:
        """Add a user's grants in a virtual host, or replace them."""
        self._grants.setdefault(name, {})[vhost] = grants

    def remove(self, name: str) -> bool:
        """Remove a user and all their grants; False if there was none."""
        self._grants.pop(name, None)
        return self._accounts.pop(name, None) is not None

    def remove_grants(self, name: str, vhost: str) -> bool:
        """Remove a user's grants in a virtual host; False if there were none."""
        return self._grants.get(name, {}).pop(vhost, None) is not None

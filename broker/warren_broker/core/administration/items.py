"""Items: one user, permission or policy as somebody has set it.

An item knows how the broker is made to go by it, and what the store keeps of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, final

import attrs

from warren_broker.core.access import (
    Account,
    Grants,
    HashAlgorithm,
    PasswordHash,
    Permissions,
    account_of,
)
from warren_broker.core.definitions import (
    OPERATOR_POLICY,
    PERMISSION,
    POLICY,
    USER,
    VHOST,
)
from warren_broker.core.policy import Policy
from warren_broker.core.stored import stored_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from warren_broker.core.access import Access
    from warren_broker.core.broker import Broker
    from warren_broker.core.store import Key

    Value = Mapping[str, object]


class Item(ABC):
    """A value; equal ones are the same wish."""

    __slots__ = ()

    @property
    @abstractmethod
    def key(self) -> Key:
        """What it is of, as the store has it."""

    @property
    def needs(self) -> Key | None:
        """The item without which this one has no meaning."""
        return None

    @abstractmethod
    def value(self) -> dict[str, object]:
        """Return what the store keeps."""

    @abstractmethod
    def apply(self, broker: Broker) -> None:
        """Let the broker go by it, and no more by one of the same key."""

    @abstractmethod
    def withdraw(self, broker: Broker) -> None:
        """Let the broker forget it."""


@final
@attrs.frozen
class UserItem(Item):
    """A user, and how he logs in."""

    account: Account

    @property
    def key(self) -> Key:
        return USER, self.account.user.name

    def value(self) -> dict[str, object]:
        password = self.account.password
        return {
            "password_hash": None if password is None else password.encode(),
            "hashing_algorithm": None if password is None else password.algorithm.value,
            "tags": sorted(self.account.user.tags),
        }

    def apply(self, broker: Broker) -> None:
        user = self.account.user
        broker.access.add_user(user.name, self.account.password, user.tags)

    def withdraw(self, broker: Broker) -> None:
        """As in RabbitMQ his connections are closed."""
        name = self.account.user.name
        broker.access.delete_user(name)
        broker.sessions.evict_user(name)


@final
@attrs.frozen
class PermissionItem(Item):
    """What a user may do in a virtual host.

    Raises ValueError for a pattern that cannot be used.
    """

    user: str
    vhost: str
    permissions: Permissions = attrs.field()

    @permissions.validator
    def _check(self, _: object, permissions: Permissions) -> None:
        Grants(permissions)

    @property
    def key(self) -> Key:
        return PERMISSION, self.vhost, self.user

    @property
    def needs(self) -> Key | None:
        return USER, self.user

    def value(self) -> dict[str, object]:
        return attrs.asdict(self.permissions)

    def apply(self, broker: Broker) -> None:
        broker.access.set_permissions(self.user, self.vhost, self.permissions)

    def withdraw(self, broker: Broker) -> None:
        broker.access.clear_permissions(self.user, self.vhost)


@final
@attrs.frozen
class PolicyItem(Item):
    """A policy, or operator policy, of a virtual host."""

    vhost: str
    policy: Policy

    @property
    def key(self) -> Key:
        kind = OPERATOR_POLICY if self.policy.is_operator else POLICY
        return kind, self.vhost, self.policy.name

    def value(self) -> dict[str, object]:
        policy = self.policy
        return {
            "pattern": policy.pattern,
            "apply_to": policy.apply_to.value,
            "priority": policy.priority,
            "definition": dict(policy.definition),
        }

    def apply(self, broker: Broker) -> None:
        broker.vhosts[self.vhost].policies.set(self.policy)

    def withdraw(self, broker: Broker) -> None:
        policies = broker.vhosts[self.vhost].policies
        policies.delete(self.policy.name, is_operator=self.policy.is_operator)


def _read_user(key: Key, value: Value) -> Item:
    password = None
    if value["password_hash"] is not None:
        algorithm = HashAlgorithm(stored_field(value, "hashing_algorithm", str))
        encoded = stored_field(value, "password_hash", str)
        password = PasswordHash.decode(encoded, algorithm)
    return UserItem(account_of(key[1], password, stored_field(value, "tags", list)))


def _read_permission(key: Key, value: Value) -> Item:
    permissions = Permissions(
        configure=stored_field(value, "configure", str),
        write=stored_field(value, "write", str),
        read=stored_field(value, "read", str),
    )
    return PermissionItem(key[2], key[1], permissions)


def _read_policy(key: Key, value: Value) -> Item:
    policy = Policy.parse(
        key[2],
        stored_field(value, "pattern", str),
        stored_field(value, "definition", dict),
        apply_to=stored_field(value, "apply_to", str),
        priority=stored_field(value, "priority", int),
        is_operator=key[0] == OPERATOR_POLICY,
    )
    return PolicyItem(key[1], policy)


_READERS: Final[dict[str, Callable[[Key, Value], Item]]] = {
    USER: _read_user,
    PERMISSION: _read_permission,
    POLICY: _read_policy,
    OPERATOR_POLICY: _read_policy,
}
KINDS: Final = tuple(_READERS)
"""Kinds of items; none needs one of a later kind."""


def read_item(key: Key, value: Value) -> Item:
    """Return what the store has kept as `value`.

    Raises ValueError, KeyError or TypeError if it cannot be (any more).
    """
    return _READERS[key[0]](key, value)


def items_of(access: Access) -> Iterator[Item]:
    """Yield the users and permissions that `access` has."""
    for account in access.accounts():
        yield UserItem(account)
        name = account.user.name
        for vhost, permissions in access.permissions(name).items():
            yield PermissionItem(name, vhost, permissions)


_WORDS: Final = {
    VHOST: "vhost '{1}'",
    USER: "user '{1}'",
    PERMISSION: "permissions of user '{2}' in vhost '{1}'",
    POLICY: "policy '{2}' in vhost '{1}'",
    OPERATOR_POLICY: "operator policy '{2}' in vhost '{1}'",
}


def describe(key: Key) -> str:
    """Return what `key` is of, for the log and for errors."""
    return _WORDS[key[0]].format(*key)

"""Administration: the one door for commands about vhosts, users and what they may.

Three have a say, and for each key the first of them holds:

    fixed      what the configuration file names; nobody else can change it
    kept       what commands have set; the store keeps it
    default    what the broker was made with: guest, as long as nobody else is a user

A command is checked whole before it changes anything, and what it changes is in the
store within its turn: so it is there after a crash, or nothing of it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import attrs

from warren.errors import NotFound, PreconditionFailed
from warren_broker.core.access import Account, PasswordHash, account_of
from warren_broker.core.administration.items import (
    KINDS,
    Item,
    PermissionItem,
    PolicyItem,
    UserItem,
    describe,
    items_of,
    read_item,
)
from warren_broker.core.definitions import (
    OPERATOR_POLICY,
    PERMISSION,
    POLICY,
    USER,
    VHOST,
)
from warren_broker.core.policy import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from warren_broker.core.access import Permissions
    from warren_broker.core.broker import Broker
    from warren_broker.core.policy import Policy
    from warren_broker.core.store import Key
    from warren_broker.core.vhost import VHost

VHOST_NAME_MAX_BYTES: Final = 255


@attrs.frozen(kw_only=True)
class Changes:
    """What another configuration has changed, and what it hides."""

    added: tuple[Key, ...]
    changed: tuple[Key, ...]
    removed: tuple[Key, ...]
    hidden: tuple[Key, ...]
    """Commands have set these as well: that holds once the file names them no more."""


@final
class Administration:
    """Virtual hosts, users, permissions and policies of one broker."""

    __slots__ = (
        "_broker",
        "_default",
        "_fixed",
        "_fixed_vhosts",
        "_kept",
        "_kept_vhosts",
        "_shown",
    )

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._fixed_vhosts: frozenset[str] = frozenset()
        self._kept_vhosts: set[str] = set()
        self._fixed: dict[Key, Item] = {}
        self._kept: dict[Key, Item] = {}
        self._default = {item.key: item for item in items_of(broker.access)}
        self._shown = dict(self._default)  # what the broker goes by

    # Virtual hosts

    def create_vhost(self, name: str) -> bool:
        """Make a virtual host; False if it is there already, which is no error.

        Raises ValueError for a name that is empty or too long.
        """
        if not 0 < len(name.encode()) <= VHOST_NAME_MAX_BYTES:
            raise ValueError(f"a vhost's name has 1 to {VHOST_NAME_MAX_BYTES} bytes")
        is_new = name not in self._broker.vhosts
        self._broker.add_vhost(name)
        if name not in self._kept_vhosts:
            self._kept_vhosts.add(name)
            self._tell((VHOST, name), {})
        return is_new

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all that is in it, and close its connections.

        Raises NotFound, and PreconditionFailed if the configuration file names it or
        something in it.
        """
        vhost = self._vhost(name)
        if name in self._fixed_vhosts:
            raise _fixed((VHOST, name))
        inside = [key for key in self._shown if key[0] != USER and key[1] == name]
        for key in inside:
            self._check_free(key)
        self._tell((VHOST, name), None)
        self._kept_vhosts.discard(name)
        for layer in (self._kept, self._default):
            for key in [key for key in layer if key[0] != USER and key[1] == name]:
                del layer[key]
        self._show(inside)
        vhost.close()
        del self._broker.vhosts[name]
        self._broker.sessions.evict_from(name)

    # Users

    def put_user(
        self, name: str, password: PasswordHash | None, tags: Iterable[str] = ()
    ) -> None:
        """Add a user, or replace who had the name; permissions stay.

        Without a password the user cannot log in with one. Raises ValueError as
        `Access.add_user`, and PreconditionFailed if the configuration file names him.
        """
        account = account_of(name, password, tags)
        self._check_free((USER, name))
        self._keep_default()
        if (USER, name) not in self._shown:  # he is nobody whom the file named once
            self._drop(self._permissions_of(name))
        self._put(UserItem(account))

    def set_password(self, name: str, password: PasswordHash | None) -> None:
        """Give a user another password, or none. Raises as `put_user`, and NotFound."""
        account = self._account(name)
        self.put_user(name, password, account.user.tags)

    def set_tags(self, name: str, tags: Iterable[str]) -> None:
        """Give a user other tags. Raises as `put_user`, and NotFound."""
        account = self._account(name)
        self.put_user(name, account.password, tags)

    def delete_user(self, name: str) -> None:
        """Delete a user with all permissions, and close his connections.

        Raises NotFound, and PreconditionFailed if the configuration file names him.
        """
        self._account(name)
        self._check_free((USER, name))
        self._keep_default()
        self._drop([*self._permissions_of(name), (USER, name)])

    # Permissions

    def set_permissions(self, user: str, vhost: str, permissions: Permissions) -> None:
        """Let `user` open `vhost` and do there what `permissions` say.

        Raises NotFound, ValueError for a pattern that cannot be used, and
        PreconditionFailed if the configuration file says it.
        """
        self._account(user)
        self._vhost(vhost)
        item = PermissionItem(user, vhost, permissions)
        self._check_free(item.key)
        self._keep_default()
        self._put(item)

    def clear_permissions(self, user: str, vhost: str) -> None:
        """Keep `user` out of `vhost`. Raises NotFound, PreconditionFailed."""
        self._account(user)
        self._vhost(vhost)
        key = (PERMISSION, vhost, user)
        self._check_free(key)
        self._check_there(key)
        self._keep_default()
        self._drop([key])

    # Policies

    def set_policy(self, vhost: str, policy: Policy) -> None:
        """Set a policy, or an operator policy.

        Raises NotFound for the vhost, PreconditionFailed if the configuration file has
        one of that name, and PolicyError if there are as many as there may be.
        """
        self._vhost(vhost)
        item = PolicyItem(vhost, policy)
        self._check_free(item.key)
        self._check_count({*self._policy_keys(), item.key})
        self._put(item)

    def delete_policy(
        self, vhost: str, name: str, *, is_operator: bool = False
    ) -> None:
        """Delete a policy. Raises NotFound, PreconditionFailed."""
        self._vhost(vhost)
        key = (OPERATOR_POLICY if is_operator else POLICY, vhost, name)
        self._check_free(key)
        self._check_there(key)
        self._drop([key])

    # What others say

    def fix(self, vhosts: Iterable[str], items: Iterable[Item]) -> Changes:
        """Let the configuration file say `vhosts` and `items`, and nothing else.

        A virtual host that it names no more stays: a line that is missing in a file
        deletes no messages. Raises ValueError for more policies than there may be, or
        an item in a virtual host that is not there; and then nothing has changed.
        """
        old: dict[Key, object] = {(VHOST, name): None for name in self._fixed_vhosts}
        old |= self._fixed
        fixed = {item.key: item for item in items}
        names = frozenset(vhosts)
        new: dict[Key, object] = {(VHOST, name): None for name in sorted(names)}
        new |= fixed
        self._check_fixed(names, fixed)
        for name in sorted(names):
            self._broker.add_vhost(name)
        self._fixed_vhosts, self._fixed = names, fixed
        self._show_all()
        return Changes(
            added=tuple(key for key in new if key not in old),
            changed=tuple(key for key in new if key in old and old[key] != new[key]),
            removed=tuple(key for key in old if key not in new),
            hidden=tuple(key for key in fixed if key in self._kept),
        )

    def restore(self, definitions: Mapping[Key, Mapping[str, object]]) -> None:
        """Take over what the store has kept of earlier commands.

        What cannot be made again is left out, with a notice; the store keeps it.
        """
        for key, value in definitions.items():
            if key[0] == VHOST:
                self._kept_vhosts.add(key[1])
            if key[0] != USER:
                self._broker.add_vhost(key[1])
            if key[0] in KINDS:
                try:
                    self._kept[key] = read_item(key, value)
                except (ValueError, KeyError, TypeError) as error:
                    self._note_not_restored(key, error)
        self._show_all()

    def forget_default(self) -> None:
        """Other users come instead of those the broker was made with."""
        self._default = {}
        self._show_all()

    # Changing

    def _put(self, item: Item) -> None:
        self._kept[item.key] = item
        self._show([item.key])
        self._tell(item.key, item.value())

    def _drop(self, keys: list[Key]) -> None:
        for key in keys:
            if self._kept.pop(key, None) is not None:
                self._tell(key, None)
        self._show(keys)

    def _tell(self, key: Key, value: Mapping[str, object] | None) -> None:
        if self._broker.store is not None:
            self._broker.store.define(key, value)

    def _keep_default(self) -> None:
        """Who changes users by command has them all: the default is kept now."""
        default = {} if self._has_users else self._default
        self._default = {}
        for item in default.values():
            self._put(item)

    def _show_all(self) -> None:
        every = {**self._default, **self._kept, **self._fixed, **self._shown}
        ordered = sorted(every, key=lambda key: KINDS.index(key[0]))
        self._show([key for key in reversed(ordered) if self._holding(key) is None])
        self._show(ordered)

    def _show(self, keys: Iterable[Key]) -> None:
        """Let the broker go by what holds for `keys`."""
        for key in keys:
            item, shown = self._holding(key), self._shown.get(key)
            if item is None and shown is not None:
                del self._shown[key]
                shown.withdraw(self._broker)
            elif item is not None and item != shown:
                try:
                    item.apply(self._broker)
                except PolicyError as error:  # the limit was lowered since it was set
                    self._note_not_restored(key, error)
                else:
                    self._shown[key] = item

    def _holding(self, key: Key) -> Item | None:
        item = self._find(key)
        if item is None or item.needs is None:
            return item
        return item if self._find(item.needs) is not None else None

    def _find(self, key: Key) -> Item | None:
        item = self._fixed.get(key) or self._kept.get(key)
        if item is None and key in self._default and not self._has_users:
            return self._default[key]
        return item

    @property
    def _has_users(self) -> bool:
        return any(
            key[0] == USER for layer in (self._fixed, self._kept) for key in layer
        )

    def _note_not_restored(self, key: Key, error: Exception) -> None:
        self._broker.notice("not restored", key=list(key), reason=str(error))

    # Checking

    def _account(self, name: str) -> Account:
        return self._broker.access.account(name)

    def _vhost(self, name: str) -> VHost:
        vhost = self._broker.vhosts.get(name)
        if vhost is None:
            raise NotFound(f"no vhost '{name}'")
        return vhost

    def _check_there(self, key: Key) -> None:
        if key not in self._shown:
            raise NotFound(f"no {describe(key)}")

    def _check_free(self, key: Key) -> None:
        """Raise PreconditionFailed for what the file says: it would come back."""
        if key in self._fixed:
            raise _fixed(key)

    def _check_fixed(self, vhosts: frozenset[str], fixed: Mapping[Key, Item]) -> None:
        known = vhosts | self._broker.vhosts.keys()
        for key in fixed:
            if key[0] != USER and key[1] not in known:
                raise ValueError(f"{describe(key)}: there is no such vhost")
        self._check_count({*fixed, *self._kept})

    def _check_count(self, keys: Iterable[Key]) -> None:
        """Raise PolicyError if those of `keys` that are of policies are too many."""
        limit = self._broker.limits.policies_max
        counts: dict[tuple[str, str], int] = {}
        for key in keys:
            if key[0] in {POLICY, OPERATOR_POLICY}:
                place = key[0], key[1]
                counts[place] = counts.get(place, 0) + 1
        for (_, vhost), count in counts.items():
            if count > limit:
                raise PolicyError(
                    f"policy limit ({limit}) in vhost '{vhost}' is reached: {count}"
                )

    def _policy_keys(self) -> list[Key]:
        return [key for key in self._shown if key[0] in {POLICY, OPERATOR_POLICY}]

    def _permissions_of(self, user: str) -> list[Key]:
        every = {**self._kept, **self._shown}
        return [key for key in every if key[0] == PERMISSION and key[2] == user]


def _fixed(key: Key) -> PreconditionFailed:
    return PreconditionFailed(f"{describe(key)} is set in the configuration file")

"""Accounts: users and permissions of the configuration, as the core has them."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final

from warren.errors import WarrenError
from warren_broker.core.access import (
    HashAlgorithm,
    PasswordHash,
    Permissions,
    account_of,
)
from warren_broker.core.access.password import SALT_SIZE
from warren_broker.core.administration import Item, PermissionItem, UserItem
from warren_broker.server.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.server.settings import AuthSettings, UserSettings

_SALTING: Final = secrets.token_bytes(32)
"""A password that is read again has the hash it had: the user has not changed."""


def read_users(settings: AuthSettings) -> list[Item]:
    """Return the users in `settings` and what they may do. Raises SettingsError."""
    found: list[Item] = []
    for user in settings.users:
        try:
            found += _items_of(user)
        except (ValueError, WarrenError) as error:
            raise SettingsError(f"auth.users: {user.name!r}: {error}") from error
    return found


def _items_of(user: UserSettings) -> Iterator[Item]:
    yield UserItem(account_of(user.name, _password_of(user), user.tags))
    for permission in user.permissions:
        patterns = Permissions(
            configure=permission.configure,
            write=permission.write,
            read=permission.read,
        )
        yield PermissionItem(user.name, permission.vhost, patterns)


def _password_of(user: UserSettings) -> PasswordHash | None:
    """Return the hash to keep; None lets the user in by certificate only."""
    if user.password_hash is not None:
        if user.password is not None:
            raise ValueError("password and password_hash exclude each other")
        algorithm = HashAlgorithm(user.hashing_algorithm)
        return PasswordHash.decode(user.password_hash, algorithm)
    if user.password is None:
        return None
    password = user.password.encode()
    salt = hmac.digest(_SALTING, user.name.encode() + b"\0" + password, "sha256")
    return PasswordHash.of(password, salt=salt[:SALT_SIZE])

"""Accounts: the users to start with, from settings into the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren.errors import WarrenError
from warren_broker.core.access import (
    Access,
    AccountStore,
    HashAlgorithm,
    PasswordHash,
    Permissions,
)
from warren_broker.server.settings import SettingsError

if TYPE_CHECKING:
    from warren_broker.server.settings import AuthSettings, UserSettings


def access_for(settings: AuthSettings) -> Access:
    """Return access for the users in `settings`, or for guest if there are none.

    Raises SettingsError.
    """
    if not settings.users:
        return Access(loopback_users=settings.loopback_users)
    access = Access(AccountStore(), loopback_users=settings.loopback_users)
    for user in settings.users:
        try:
            _add(access, user, settings.vhosts)
        except (ValueError, WarrenError) as error:
            raise SettingsError(f"auth.users: {user.name!r}: {error}") from error
    return access


def _add(access: Access, user: UserSettings, vhosts: tuple[str, ...]) -> None:
    access.add_user(user.name, _password_of(user), user.tags)
    for permission in user.permissions:
        if permission.vhost not in vhosts:
            raise ValueError(f"vhost {permission.vhost!r} is not in auth.vhosts")
        patterns = Permissions(
            configure=permission.configure,
            write=permission.write,
            read=permission.read,
        )
        access.set_permissions(user.name, permission.vhost, patterns)


def _password_of(user: UserSettings) -> PasswordHash | None:
    """Return the hash to keep; None lets the user in by certificate only."""
    if user.password_hash is not None:
        if user.password is not None:
            raise ValueError("password and password_hash exclude each other")
        algorithm = HashAlgorithm(user.hashing_algorithm)
        return PasswordHash.decode(user.password_hash, algorithm)
    return None if user.password is None else PasswordHash.of(user.password.encode())

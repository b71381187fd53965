"""Accounts: settings become users and permissions, or an error that names them."""

from __future__ import annotations

import pytest

from warren.errors import AccessRefused
from warren_broker.core.access import Access, Operation, PasswordHash
from warren_broker.core.broker import Broker
from warren_broker.server.configured import read_configured
from warren_broker.server.settings import (
    AuthSettings,
    PermissionSettings,
    ServerSettings,
    SettingsError,
    UserSettings,
)

EVERYTHING = PermissionSettings()
HASH = PasswordHash.of(b"secret").encode()


def access_for(auth: AuthSettings) -> Access:
    broker = Broker()
    read_configured(ServerSettings(auth=auth)).apply(broker)
    return broker.access


def log_in(access: Access, name: str, password: bytes, *, loopback: bool) -> bool:
    try:
        access.authenticate(name, password, from_loopback=loopback)
    except AccessRefused:
        return False
    return True


def test_without_users_it_is_guest_from_here_only() -> None:
    access = access_for(AuthSettings())
    assert log_in(access, "guest", b"guest", loopback=True)
    assert not log_in(access, "guest", b"guest", loopback=False)


def test_with_users_there_is_no_guest() -> None:
    access = access_for(AuthSettings(users=(UserSettings(name="a", password="b"),)))
    assert log_in(access, "a", b"b", loopback=False)
    assert not log_in(access, "guest", b"guest", loopback=True)


def test_a_hash_is_as_good_as_its_password() -> None:
    user = UserSettings(name="a", password_hash=HASH)
    access = access_for(AuthSettings(users=(user,)))
    assert log_in(access, "a", b"secret", loopback=False)
    assert not log_in(access, "a", HASH.encode(), loopback=False)


def test_without_a_password_none_gets_in_with_one() -> None:
    access = access_for(AuthSettings(users=(UserSettings(name="a"),)))
    assert not log_in(access, "a", b"", loopback=True)


def test_permissions_are_those_written() -> None:
    only_write = PermissionSettings(vhost="orders", configure="^$", write="^o", read="")
    user = UserSettings(name="a", password="b", permissions=(only_write,))
    access = access_for(AuthSettings(users=(user,), vhosts=("/", "orders")))
    known = access.authenticate("a", b"b", from_loopback=True)
    assert not access.may_open(known, "/")
    assert access.is_allowed(known, "orders", Operation.WRITE, "orders")
    assert not access.is_allowed(known, "orders", Operation.WRITE, "invoices")
    assert not access.is_allowed(known, "orders", Operation.CONFIGURE, "orders")


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (UserSettings(name="a", password="b", password_hash=HASH), "exclude"),
        (UserSettings(name="a", password_hash="?"), "base64"),
        (UserSettings(name="a", password_hash=HASH, hashing_algorithm="x"), "x"),
        (UserSettings(name=""), "name"),
        (
            UserSettings(name="a", permissions=(PermissionSettings(write="("),)),
            "auth.users: 'a'",
        ),
    ],
)
def test_what_cannot_be_names_the_user(user: UserSettings, reason: str) -> None:
    with pytest.raises(SettingsError, match=r"auth\.users") as refused:
        access_for(AuthSettings(users=(user,)))
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("auth", "reason"),
    [
        (
            AuthSettings(
                users=(
                    UserSettings(
                        name="a", permissions=(PermissionSettings(vhost="no"),)
                    ),
                )
            ),
            "permissions of user 'a' in vhost 'no': there is no such vhost",
        ),
        (
            AuthSettings(users=(UserSettings(name="a"), UserSettings(name="a"))),
            "user 'a': it is there twice",
        ),
        (AuthSettings(vhosts=("",)), "auth.vhosts: a vhost has a name"),
    ],
)
def test_what_does_not_fit_together(auth: AuthSettings, reason: str) -> None:
    with pytest.raises(SettingsError) as refused:
        access_for(auth)
    assert str(refused.value) == reason


def test_a_password_that_is_read_again_is_no_change() -> None:
    broker = Broker()
    for expected in (1, 0):
        auth = AuthSettings(users=(UserSettings(name="a", password="b"),))
        changes = read_configured(ServerSettings(auth=auth)).apply(broker)
        assert changes.changed == ()
        assert len([key for key in changes.added if key[0] == "user"]) == expected

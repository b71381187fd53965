"""Access: who somebody is, and what they may do. Every front end asks here.

Whatever is unknown, and whatever fails while it is looked up, is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren.errors import AccessRefused, NotFound, PreconditionFailed
from warren_broker.core.access.account import (
    Account,
    AccountStore,
    Grants,
    Operation,
    Permissions,
    User,
)
from warren_broker.core.access.password import NO_PASSWORD, PasswordHash
from warren_broker.core.access.throttle import LoginThrottle

if TYPE_CHECKING:
    from collections.abc import Iterable

USER_NAME_MAX_BYTES: Final = 255
PASSWORD_MAX_BYTES: Final = 1024
TAGS_MAX: Final = 32

GUEST: Final = "guest"
DEFAULT_EXCHANGE_NAME: Final = "amq.default"
"""What the default exchange is called where permissions are concerned."""
_EVERYTHING: Final = Permissions(configure=".*", write=".*", read=".*")


@final
class Access:
    """Users and permissions of one broker.

    Without a store there is one user, ``guest``, an administrator with all
    permissions on ``/``, who can log in from this machine only.

    ``generation`` moves whenever a decision might now be another: what a front end
    remembers of earlier ones it must then forget. ``loopback_users`` can log in from
    this machine only.
    """

    __slots__ = ("_store", "_throttle", "generation", "loopback_users")

    def __init__(
        self,
        store: AccountStore | None = None,
        *,
        loopback_users: Iterable[str] = (GUEST,),
        throttle: LoginThrottle | None = None,
    ) -> None:
        self._store: AccountStore = guest_only() if store is None else store
        self.loopback_users: frozenset[str] = frozenset(loopback_users)
        self._throttle: LoginThrottle = throttle or LoginThrottle()
        self.generation: int = 0

    # Who somebody is

    def log_in(
        self,
        name: str,
        password: bytes,
        *,
        address: str,
        from_loopback: bool,
        now: float,
    ) -> User:
        """Do `authenticate`, refusing those who have failed too often lately.

        ``address`` is where the peer is, without its port. Raises AccessRefused.
        """
        if not self._throttle.allows(address, name, now):
            raise AccessRefused(f"user '{name}' has failed to log in too often")
        try:
            user = self.authenticate(name, password, from_loopback=from_loopback)
        except AccessRefused:
            self._throttle.on_failure(address, name, now)
            raise
        self._throttle.on_success(address, name)
        return user

    def authenticate(self, name: str, password: bytes, *, from_loopback: bool) -> User:
        """Return the user whose password this is.

        Raises AccessRefused; its text is for the log, not for the peer, who must
        not learn what was wrong. A wrong name takes as long as a wrong password.
        """
        if not password:
            raise AccessRefused(f"user '{name}' attempted to log in without a password")
        account = self._account_to_check(name, password)
        kept = account.password if account is not None else None
        matches = (kept or NO_PASSWORD).matches(password)
        if account is None or kept is None or not matches:
            raise AccessRefused(f"user '{name}' - invalid credentials")
        return self._admit(account, from_loopback=from_loopback)

    def identify(self, name: str, *, from_loopback: bool) -> User:
        """Return the user that somebody else vouches for: a client certificate.

        Raises AccessRefused, as `authenticate`.
        """
        account = self._store.find(name)
        if account is None:
            raise AccessRefused(f"user '{name}' - unknown")
        return self._admit(account, from_loopback=from_loopback)

    def _admit(self, account: Account, *, from_loopback: bool) -> User:
        name = account.user.name
        if name in self.loopback_users and not from_loopback:
            raise AccessRefused(f"user '{name}' can only connect via localhost")
        return account.user

    def _account_to_check(self, name: str, password: bytes) -> Account | None:
        """Return an account; raise AccessRefused for what is not worth hashing."""
        if len(name) > USER_NAME_MAX_BYTES or len(password) > PASSWORD_MAX_BYTES:
            raise AccessRefused("the credentials are too long")
        try:
            return self._store.find(name)
        except Exception:  # noqa: BLE001 - a store that fails lets nobody in
            return None

    # What they may do

    def may_open(self, user: User, vhost: str) -> bool:
        """Return True if ``user`` has any permissions in ``vhost``."""
        return self._grants(user, vhost) is not None

    def is_allowed(
        self, user: User, vhost: str, operation: Operation, name: str
    ) -> bool:
        """Return True if ``user`` may do ``operation`` to what is called ``name``."""
        grants = self._grants(user, vhost)
        return grants is not None and grants.permit(operation, name)

    def authorize(
        self, user: User, vhost: str, operation: Operation, kind: str, name: str
    ) -> None:
        """Raise AccessRefused unless ``user`` may do ``operation``.

        ``kind`` and ``name`` say to what: ``queue`` or ``exchange``. The default
        exchange goes by the name ``amq.default``.
        """
        if kind == "exchange" and not name:
            name = DEFAULT_EXCHANGE_NAME
        if not self.is_allowed(user, vhost, operation, name):
            raise AccessRefused(
                f"{operation} access to {kind} '{name}' in vhost '{vhost}'"
                f" refused for user '{user.name}'"
            )

    def _grants(self, user: User, vhost: str) -> Grants | None:
        try:
            return self._store.find_grants(user.name, vhost)
        except Exception:  # noqa: BLE001 - a store that fails permits nothing
            return None

    # Changes

    def add_user(
        self, name: str, password: PasswordHash | None, tags: Iterable[str] = ()
    ) -> None:
        """Add a user, or replace who had the name; permissions stay.

        Without a password the user cannot log in with one. Raises ValueError for
        a name that is empty or too long, or too many tags.
        """
        self._store.put(account_of(name, password, tags))
        self.generation += 1

    def delete_user(self, name: str) -> None:
        """Delete a user with all their permissions. Raises NotFound."""
        self.account(name)
        self._store.remove(name)
        self.generation += 1

    def set_permissions(self, name: str, vhost: str, permissions: Permissions) -> None:
        """Let a user open ``vhost`` and do there what ``permissions`` say.

        Raises NotFound, and ValueError for a pattern that cannot be used.
        """
        self.account(name)
        self._store.put_grants(name, vhost, Grants(permissions))
        self.generation += 1

    def clear_permissions(self, name: str, vhost: str) -> None:
        """Keep a user out of ``vhost``. Raises NotFound."""
        self.account(name)
        self._store.remove_grants(name, vhost)
        self.generation += 1

    # What there is

    def account(self, name: str) -> Account:
        """Return a user's account. Raises NotFound."""
        account = self._store.find(name)
        if account is None:
            raise NotFound(f"no user '{name}'")
        return account

    def accounts(self) -> list[Account]:
        """Return all accounts."""
        return list(self._store.accounts())

    @property
    def knows_default_password(self) -> bool:
        """Whether guest is there, with the password that everybody knows."""
        account = self._store.find(GUEST)
        kept = None if account is None else account.password
        return kept is not None and kept.matches(GUEST.encode())

    def permissions(self, name: str) -> dict[str, Permissions]:
        """Return a user's permissions by virtual host. Raises NotFound."""
        self.account(name)
        return {vhost: each.permissions for vhost, each in self._store.grants(name)}


def account_of(
    name: str, password: PasswordHash | None, tags: Iterable[str]
) -> Account:
    """Return an account; ValueError as `Access.add_user`."""
    if not 0 < len(name.encode()) <= USER_NAME_MAX_BYTES:
        raise ValueError(f"a user's name has 1 to {USER_NAME_MAX_BYTES} bytes")
    return Account(user=User(name, _checked_tags(tags)), password=password)


def guest_only() -> AccountStore:
    """Return a store with the one user a fresh RabbitMQ has."""
    store = AccountStore()
    user = User(GUEST, frozenset({"administrator"}))
    store.put(Account(user=user, password=PasswordHash.of(GUEST.encode())))
    store.put_grants(GUEST, "/", Grants(_EVERYTHING))
    return store


def check_user_id(user: User, claimed: str) -> None:
    """Raise PreconditionFailed unless a message's ``user-id`` may be ``claimed``."""
    if claimed != user.name and not user.is_impersonator:
        raise PreconditionFailed(
            f"user_id property set to '{claimed}'"
            f" but authenticated user was '{user.name}'"
        )


def _checked_tags(tags: Iterable[str]) -> frozenset[str]:
    """Return ``tags`` as a set; ValueError if there are too many."""
    checked = frozenset(tags)
    if len(checked) > TAGS_MAX:
        raise ValueError(f"a user has at most {TAGS_MAX} tags")
    return checked

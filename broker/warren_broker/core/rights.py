"""Rights: what one user may do in one virtual host."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from warren_broker.core.access import Operation

if TYPE_CHECKING:
    from warren_broker.core.access import Access, User


@final
class Rights:
    """Asks the broker's access on behalf of one user."""

    __slots__ = ("_access", "_user", "_vhost_name")

    def __init__(self, access: Access, user: User, vhost_name: str) -> None:
        self._access = access
        self._user = user
        self._vhost_name = vhost_name

    def authorize(self, kind: str, operation: Operation, name: str) -> None:
        """Raise AccessRefused unless the user may do that to `name`."""
        self._access.authorize(self._user, self._vhost_name, operation, kind, name)

    def authorize_exchange(self, operation: Operation, name: str) -> None:
        """Raise AccessRefused unless the user may do that to the exchange `name`."""
        self.authorize("exchange", operation, name)

    def authorize_any(self, kind: str, name: str) -> None:
        """Any permission on a name lets a user know whether it exists."""
        asked = (self._user, self._vhost_name)
        others = (Operation.CONFIGURE, Operation.WRITE)
        if not any(self._access.is_allowed(*asked, other, name) for other in others):
            self.authorize(kind, Operation.READ, name)

    def authorize_forwarding(self, kind: str, name: str, target: object) -> None:
        """Raise AccessRefused unless messages may go on from `name` to `target`.

        That is the exchange in an argument; what is no name is refused elsewhere.
        """
        if isinstance(target, str):
            self.authorize(kind, Operation.READ, name)
            self.authorize_exchange(Operation.WRITE, target)

"""Sessions: who is in which virtual host, and how they are made to leave."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from warren_broker.core.session import Session


class SessionHolder(ABC):
    """Somebody whose session may end because an operator wants it."""

    __slots__ = ()

    @abstractmethod
    def on_evicted(self, reason: str) -> None:
        """The session is over, for `reason`: let go of everything."""


@final
class Sessions:
    """All sessions of a broker; its length is how many."""

    __slots__ = ("_holders",)

    def __init__(self) -> None:
        self._holders: dict[Session, SessionHolder] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def add(self, session: Session, holder: SessionHolder) -> None:
        """`holder` has entered a virtual host."""
        self._holders[session] = holder

    def remove(self, session: Session) -> None:
        """The session has ended."""
        del self._holders[session]

    def evict_from(self, vhost: str) -> None:
        """The virtual host is deleted (RabbitMQ's text)."""
        for session, holder in list(self._holders.items()):
            if session.vhost.name == vhost:
                holder.on_evicted(f"vhost '{vhost}' is deleted")

    def evict_user(self, name: str) -> None:
        """The user is deleted (RabbitMQ's text)."""
        for session, holder in list(self._holders.items()):
            if session.user.name == name:
                holder.on_evicted(f"user '{name}' is deleted")

"""Tap: what may stand between sessions and the virtual hosts they publish to.

There is none in a broker that serves, and to ask for it costs a publish nothing: a
session asks where it looks for permissions, once an exchange. Where there is one it
sees all that clients publish, and may answer instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warren_broker.core.message import Message
    from warren_broker.core.vhost import VHost


class Tap(ABC):
    """Takes what sessions publish."""

    __slots__ = ()

    @abstractmethod
    def publish(self, vhost: VHost, message: Message) -> int:
        """Publish `message` to `vhost`, or do not; answer as `VHost.publish`.

        The publisher has the permission. Raises as `VHost.publish`.
        """

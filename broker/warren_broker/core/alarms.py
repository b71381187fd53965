"""Alarms: a resource is short, so those who publish must wait."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, final

_ORDER: Final = ("memory", "disk")
"""All resources, as RabbitMQ lists them."""


class AlarmListener(ABC):
    """Somebody who must know whether publishers are blocked."""

    __slots__ = ()

    @abstractmethod
    def on_alarm(self, reason: str | None) -> None:
        """Publishers are blocked for `reason`; None: they are free again."""


@final
class Alarms:
    """The resources that are short now."""

    __slots__ = ("_active", "_listeners")

    def __init__(self) -> None:
        self._active: dict[str, None] = {}
        self._listeners: dict[AlarmListener, None] = {}

    @property
    def reason(self) -> str | None:
        """Why publishers are blocked, in RabbitMQ's words; None when they are not."""
        if not self._active:
            return None
        return "low on " + " & ".join(sorted(self._active, key=_ORDER.index))

    def set(self, resource: str, *, active: bool) -> None:
        """Say that `resource` ("memory", "disk") is short, or is so no longer."""
        if active == (resource in self._active):
            return
        before = self.reason
        if active:
            self._active[resource] = None
        else:
            del self._active[resource]
        if (before is None) != (self.reason is None):
            for listener in list(self._listeners):
                listener.on_alarm(self.reason)

    def add_listener(self, listener: AlarmListener) -> None:
        """Tell `listener` of every change from now on."""
        self._listeners[listener] = None

    def remove_listener(self, listener: AlarmListener) -> None:
        """Tell `listener` no more."""
        self._listeners.pop(listener, None)

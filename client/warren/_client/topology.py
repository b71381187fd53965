"""Topology: what was declared through a connection, to be declared once more.

A record in the order of declaration, without what was deleted since. Declaring is
idempotent, so that what survived at the server is not harmed by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren.wire.methods import (
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    ExchangeUnbind,
    Method,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueueUnbind,
)
from warren.wire.table import encode_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

Key = tuple[object, ...]


def _queue(name: str) -> Key:
    return ("queue", name)


def _exchange(name: str) -> Key:
    return ("exchange", name)


def _queue_binding(method: QueueBind | QueueUnbind) -> Key:
    ends = (_exchange(method.exchange), _queue(method.queue))
    return (*ends, method.routing_key, encode_table(method.arguments))


def _exchange_binding(method: ExchangeBind | ExchangeUnbind) -> Key:
    ends = (_exchange(method.source), _exchange(method.destination))
    return (*ends, method.routing_key, encode_table(method.arguments))


MADE: Final[dict[type[Method], Callable[[Any], Key]]] = {
    QueueDeclare: lambda method: _queue(method.queue),
    ExchangeDeclare: lambda method: _exchange(method.exchange),
    QueueBind: _queue_binding,
    ExchangeBind: _exchange_binding,
}
"""Method -> the key of what it makes."""

UNMADE: Final[dict[type[Method], Callable[[Any], Key]]] = {
    QueueDelete: lambda method: _queue(method.queue),
    ExchangeDelete: lambda method: _exchange(method.exchange),
    QueueUnbind: _queue_binding,
    ExchangeUnbind: _exchange_binding,
}
"""Method -> the key of what it takes away."""


@final
class Topology:
    """The methods that make what there is now, as far as this connection made it."""

    def __init__(self) -> None:
        self._made: dict[Key, Method] = {}

    def methods(self) -> list[Method]:
        """Return what to send, in order: nothing is used before it is declared."""
        return list(self._made.values())

    def note(self, method: Method) -> None:
        """A request was granted. Whatever is no declaration is passed over."""
        if make := MADE.get(type(method)):
            if not getattr(method, "passive", False):
                self._made.setdefault(make(method), method)
        elif unmake := UNMADE.get(type(method)):
            self._forget(unmake(method))

    def forget_queue(self, name: str, *, only_auto_delete: bool = False) -> None:
        """The queue is gone; if so asked, only one that goes with its last consumer."""
        key = _queue(name)
        declared = self._made.get(key)
        if only_auto_delete and not getattr(declared, "auto_delete", False):
            return
        self._forget(key)

    def _forget(self, key: Key) -> None:
        """What is bound to a thing goes with it."""
        self._made.pop(key, None)
        for other in [other for other in self._made if key in other]:
            del self._made[other]

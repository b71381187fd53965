"""What a binding can lead to: a queue, or another exchange."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar


class Destination(ABC):
    """A named end of a binding. Two destinations are equal only if identical."""

    __slots__ = ("durable", "name", "was_redeclared")

    kind: ClassVar[str]
    """The word for it in errors and in the management API: queue or exchange."""

    def __init__(self, name: str, *, durable: bool = False) -> None:
        self.name: str = name
        self.durable: bool = durable
        self.was_redeclared: bool = False
        """Somebody declared it with other arguments, which was accepted."""

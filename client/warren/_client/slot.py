"""Slot: one value or one error that is told later, to whoever waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, final

import trio

from warren.protocol.failures import again

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren.errors import WarrenError
    from warren.wire.methods import BasicPublish
    from warren.wire.properties import Properties

Value = TypeVar("Value")


class Slot(Generic[Value]):
    """Filled once, by `put` or by `fail`; a second filling changes nothing."""

    __slots__ = ("_event", "_then", "_values", "error")

    def __init__(self) -> None:
        self._event: trio.Event | None = None  # made for whoever waits
        self._then: Callable[[Value], None] | None = None
        self.error: WarrenError | None = None
        self._values: tuple[Value, ...] = ()

    @property
    def is_filled(self) -> bool:
        """Whether `wait` would return or raise at once."""
        return bool(self._values) or self.error is not None

    def put(self, value: Value) -> None:
        """Let `wait` return `value`."""
        if not self.is_filled:
            self._values = (value,)
            if self._then is not None:
                self._then(value)
            self._wake()

    def fail(self, error: WarrenError) -> None:
        """Let `wait` raise `error`."""
        if not self.is_filled:
            self.error = error
            self._wake()

    async def wait(self) -> Value:
        """Return the value, or raise the error, when it is there."""
        await self.wait_filled()
        if self.error is not None:
            raise again(self.error)
        return self._values[0]

    async def wait_filled(self) -> None:
        """Wait until there is a value or an error."""
        if self.is_filled:
            await trio.lowlevel.checkpoint()
        else:
            if self._event is None:
                self._event = trio.Event()
            await self._event.wait()

    def then(self, act: Callable[[Value], None]) -> None:
        """Whoever waited has gone; do this with the value, now or when it comes."""
        if self._values:
            act(self._values[0])
        else:
            self._then = act

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()


@final
class Outgoing(Slot[None]):
    """A message on its way, which can be sent once more; filled when it is settled."""

    __slots__ = ("body", "method", "properties")

    def __init__(
        self, method: BasicPublish, properties: Properties, body: bytes
    ) -> None:
        super().__init__()
        self.method: BasicPublish = method
        self.properties: Properties = properties
        self.body: bytes = body

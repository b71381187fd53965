"""Slot: one value or one error that is told later; at most one task waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, final

import trio

from warren.protocol.failures import again

if TYPE_CHECKING:
    from warren.errors import WarrenError

Value = TypeVar("Value")


@final
class Slot(Generic[Value]):
    """Filled once, by `put` or by `fail`; a second filling changes nothing."""

    __slots__ = ("_event", "_values", "error")

    def __init__(self) -> None:
        self._event: trio.Event | None = None  # made for whoever waits
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
            self._event = trio.Event()
            await self._event.wait()

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()

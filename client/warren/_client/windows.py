"""Windows: several deliveries at a time, and one settlement for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, final

import trio

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from warren._client.consumer import Consumer
    from warren._client.delivery import Delivery

Value = TypeVar("Value")


@final
class Window(list["Delivery[Value]"], Generic[Value]):
    """A list of deliveries. As a context it settles those that are not settled.

    Each is treated as its own block would treat it: acked, or what `on_error` says, or
    given back when cancelled.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for delivery in self:
            delivery.__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


@final
class Windows(Generic[Value]):
    """An asynchronous iterator over windows. Made by `Consumer.windows`.

    Nothing is taken out of the consumer before a window is whole, so to cancel the
    iteration loses nothing.
    """

    def __init__(self, consumer: Consumer[Value], count: int, seconds: float) -> None:
        if count < 1 or seconds < 0:
            raise ValueError("a window has room for 1 or more, and 0 seconds or more")
        self._consumer = consumer
        self._count = count
        self._seconds = seconds

    def __aiter__(self) -> Windows[Value]:
        return self

    async def __anext__(self) -> Window[Value]:
        await trio.lowlevel.checkpoint()
        window: Window[Value] = Window()
        while not window:  # what had come may go back, by a reconnect
            if not await self._consumer.wait_buffered(1, float("inf")):
                raise StopAsyncIteration
            deadline = trio.current_time() + self._seconds
            await self._consumer.wait_buffered(self._count, deadline)
            window.extend(self._consumer.take(self._count))
        return window

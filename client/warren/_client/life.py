"""Life: link after link, until there will be no other.

One task lives it: it dials, has all brought back that was there before, lets everybody
go on, and waits for the end of the link. Whoever needs one waits for it here, and asks
here whether an error was a loss, after which another link will come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio

from warren._client.reconnect import TRY_AGAIN, is_loss
from warren.errors import WarrenError
from warren.protocol.failures import ChannelClosed, again

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from warren._client.link import Link
    from warren._client.reconnect import Reconnect

    Dial = Callable[[], AbstractAsyncContextManager[Link]]
    Resume = Callable[[Link], Awaitable[None]]
    End = Callable[[WarrenError | OSError], None]


@final
class Life:
    """The life of one connection."""

    def __init__(self, dial: Dial, reconnect: Reconnect | None) -> None:
        self.connects = 0
        """How often there was a link."""
        self.link: Link | None = None
        """The youngest one; it may have ended."""
        self._dial = dial
        self._reconnect = reconnect
        self._error: WarrenError | OSError | None = None
        self._changed = trio.Event()  # a link has come, or none will any more
        self._scope = trio.CancelScope(shield=True)  # goodbyes are said when cancelled
        self._finished = trio.Event()

    # --- for whoever needs a link

    async def wait_link(self) -> Link:
        """Wait until there is a link. Raises why there will be none any more."""
        while self.link is None or self.link.has_ended:
            if self._error is not None:
                raise self._again()
            if self.link is not None and self._reconnect is None:
                await self._finished.wait()
            else:
                await self._changed.wait()
        return self.link

    def is_lost(self, link: Link) -> bool:
        """Whether a link has ended and another will come."""
        return link.has_ended and is_loss(link.error) and self.goes_on

    @property
    def goes_on(self) -> bool:
        """Whether another link will come after this one."""
        return (
            self._reconnect is not None
            and self._error is None
            and not self._scope.cancel_called
        )

    @property
    def resends(self) -> bool:
        """Whether what was not confirmed is sent once more after a reconnect."""
        policy = self._reconnect
        return self.goes_on and policy is not None and policy.unconfirmed == "resend"

    # --- living

    @trio.lowlevel.enable_ki_protection
    async def run(self, resume: Resume, end: End) -> None:
        """Live until `close`, or until the last link is over.

        `resume` brings back on a new link what there was. `end` is told why there will
        be no further one.
        """
        error: WarrenError | OSError = ChannelClosed("the connection was closed")
        try:
            with self._scope:
                error = await self._live(resume)
        finally:
            self._error = error
            end(self._again())
            self._tell_changed()
            self._finished.set()

    def close(self) -> None:
        """Say goodbye; `run` is over when that is done."""
        self._scope.cancel()

    async def wait_finished(self) -> None:
        """Wait until `run` is over."""
        await self._finished.wait()

    async def _live(self, resume: Resume) -> WarrenError | OSError:
        """Live link after link. Return why there is no further one."""
        failures = 0
        error: WarrenError | OSError
        while True:
            connects = self.connects
            try:
                async with self._dial() as link:
                    await resume(link)
                    self._go_on_with(link)
                    await link.wait_ended()
                error = link.error or ChannelClosed("the connection was closed")
                retry = True
            except (WarrenError, OSError) as caught:
                error = caught
                retry = isinstance(caught, TRY_AGAIN)
            policy = self._reconnect
            failures = 0 if self.connects > connects else failures + 1
            if policy is None or not retry or policy.gives_up(failures):
                return error
            if not self.connects and not policy.at_start:
                return error
            await trio.sleep(policy.wait_seconds(failures))

    def _go_on_with(self, link: Link) -> None:
        self.link = link
        self.connects += 1
        self._tell_changed()

    def _tell_changed(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _again(self) -> WarrenError | OSError:
        if isinstance(self._error, WarrenError):
            return again(self._error)
        assert self._error is not None
        return self._error

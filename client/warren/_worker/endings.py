"""Endings: what follows a call of a handler, and a message that it cannot get.

All of it is publishes, confirmed before the message behind them is acknowledged. So a
process that dies in between makes something twice, and loses nothing.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, final

from warren._client.publishing import TRANSIENT
from warren._worker.failures import GiveUp
from warren._worker.headers import (
    ATTEMPTS,
    TEXT_MAX,
    clean,
    obituary,
    properties_again,
    text_of,
    type_name,
)
from warren._worker.job import attempt_of
from warren._worker.retry import sole_leaf
from warren.bodies.codecs import BodyError
from warren.errors import ContentTooLarge, PreconditionFailed
from warren.protocol.failures import Unroutable
from warren.wire.properties import Properties

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from warren._worker.delays import Delays
    from warren._worker.headers import Reason
    from warren._worker.job import Received
    from warren._worker.statistics import Counts
    from warren._worker.worker import Style, Worker
    from warren.wire.table import Table

    Declare = Callable[[str], Awaitable[None]]
    Publish = Callable[..., Awaitable[None]]

LOG: Final = logging.getLogger("warren.worker")

UNFIT: Final = (BodyError, PreconditionFailed, ContentTooLarge)
"""What a message is refused for that no broker will ever take: too large a one."""

ERROR_HEADER: Final = "x-error"
"""Of a reply: the type of the error that its body is the text of."""


class Ending(ABC):
    """What becomes of a message. Each returns whether the message may be acked.

    False: it is to be rejected.
    """

    def __init__(self, worker: Worker, publish: Publish, counts: Counts) -> None:
        """`publish` is what `Publishing.publish` is."""
        self._worker = worker
        self._publish = publish
        self._counts = counts

    @abstractmethod
    async def succeed(self, message: Received, result: object) -> bool:
        """Its handler has returned. Raises one of `UNFIT` for a result like no body."""

    @abstractmethod
    async def fail(self, message: Received, error: BaseException) -> bool:
        """Its handler has raised."""

    @abstractmethod
    async def refuse(
        self, message: Received, error: BaseException, reason: Reason
    ) -> bool:
        """No handler is to have it."""


@final
class Retrying(Ending):
    """A worker's: results go on, failures come again, the last one is a dead letter."""

    def __init__(
        self,
        worker: Worker,
        publish: Publish,
        counts: Counts,
        delays: Delays,
        declare: Declare,
    ) -> None:
        """`declare` makes a queue that there is not."""
        super().__init__(worker, publish, counts)
        self._delays = delays
        self._declare = declare

    async def succeed(self, message: Received, result: object) -> bool:
        """Publish the result, if there is where to."""
        if self._worker.to is not None and result is not None:
            await self._put(self._worker.to, result, None)
        return True

    async def fail(self, message: Received, error: BaseException) -> bool:
        """Have it tried again later, or give it up."""
        attempt = attempt_of(message)
        seconds = self._worker.retry.verdict(attempt, error)
        if seconds is None:
            return await self.refuse(message, error, "failed")
        try:
            await self._delays.publish(
                message.body,
                properties_again(message, {ATTEMPTS: attempt}),
                self._worker.queue,
                seconds,
            )
        except ValueError as unfit:  # its headers leave no room for another
            error.add_note(f"it cannot be published once more: {unfit}")
            return await self.refuse(message, error, "failed")
        LOG.warning(
            "%s: attempt %d failed, the next in %.3g s: %s",
            self._worker.queue,
            attempt,
            seconds,
            describe(error),
        )
        return True

    async def refuse(
        self, message: Received, error: BaseException, reason: Reason
    ) -> bool:
        """Make a dead letter of it."""
        self._counts.dead += 1
        attempts = attempt_of(message) - (reason != "failed")
        dead = self._worker.dead_queue
        where = f"dead letter in {dead}" if dead else "rejected"
        leaf = sole_leaf(error)
        is_news = reason == "failed" and not isinstance(leaf, GiveUp)
        LOG.error(
            "%s: given up after %d attempts, %s (%s): %s",
            *(self._worker.queue, attempts, where, reason, describe(error)),
            exc_info=leaf if is_news else None,
        )
        if dead is None:
            return False
        extra = obituary(error, reason=reason, queue=self._worker.queue)
        extra[ATTEMPTS] = attempts
        properties = properties_again(message, extra)
        try:
            await self._put(dead, message.body, properties)
        except ValueError:  # its own headers leave no room for these
            properties.headers = extra
            await self._put(dead, message.body, properties)
        return True

    async def _put(
        self, queue: str, body: object, properties: Properties | None
    ) -> None:
        try:
            await self._publish(body, routing_key=queue, properties=properties)
        except Unroutable:
            await self._declare(queue)
            await self._publish(body, routing_key=queue, properties=properties)


@final
class Replying(Ending):
    """A responder's: whoever asked gets the result, or the error."""

    async def succeed(self, message: Received, result: object) -> bool:
        """Answer."""
        await self._reply(message, result, {})
        return True

    async def fail(self, message: Received, error: BaseException) -> bool:
        """Answer with the error, as text under a header with its type."""
        leaf = sole_leaf(error)
        LOG.warning("%s: answered by an error: %s", self._worker.queue, describe(error))
        text = clean(text_of(leaf))[:TEXT_MAX]
        await self._reply(message, text, {ERROR_HEADER: clean(type_name(leaf))[:255]})
        return True

    async def refuse(
        self, message: Received, error: BaseException, reason: Reason
    ) -> bool:
        """Answer that it is refused."""
        return await self.fail(message, error)

    async def _reply(self, message: Received, body: object, headers: Table) -> None:
        asked = message.properties
        if asked.reply_to is None:
            return
        answer = Properties(
            correlation_id=asked.correlation_id,
            headers=headers or None,
            delivery_mode=TRANSIENT,
        )
        await self._publish(
            body,
            routing_key=asked.reply_to,
            mandatory=False,  # he may wait no more
            properties=answer,
        )


@final
class Logging(Ending):
    """A periodic job's: there will be another time."""

    async def succeed(self, message: Received, result: object) -> bool:
        """Nothing follows."""
        return True

    async def fail(self, message: Received, error: BaseException) -> bool:
        """Say so."""
        self._counts.dead += 1
        LOG.error("%s: failed: %s", self._worker.name, describe(error), exc_info=error)
        return True

    async def refuse(
        self, message: Received, error: BaseException, reason: Reason
    ) -> bool:
        """Say so."""
        return await self.fail(message, error)


def ending_for(
    worker: Worker,
    publish: Publish,
    counts: Counts,
    delays: Delays,
    declare: Declare,
) -> Ending:
    """Return what follows the calls of a worker, by its style."""
    if worker.style == "worker":
        return Retrying(worker, publish, counts, delays, declare)
    return _ENDINGS[worker.style](worker, publish, counts)


_ENDINGS: Final[dict[Style, type[Replying | Logging]]] = {
    "responder": Replying,
    "periodic": Logging,
}


def describe(error: BaseException) -> str:
    """Return an error in a line, and not a long one."""
    leaf = sole_leaf(error)
    text = clean(text_of(leaf))[:TEXT_MAX]
    return f"{type_name(leaf)}: {text}" if text else type_name(leaf)

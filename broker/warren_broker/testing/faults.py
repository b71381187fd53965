"""Faults: what can go wrong with a broker, on demand.

Each is what a client would see of the real thing, made by the code that makes it in
earnest: nothing is replaced.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, final

from warren.errors import AMQPError, ChannelError, ConnectionError_, error_for
from warren_broker.testing.survey import channels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warren_broker.amqp.connection import ServerConnection
    from warren_broker.testing.stage import Stage

T = TypeVar("T")
E = TypeVar("E", bound=AMQPError)

_NO_CHANNEL: Final = -1
_TEXT: Final = "a fault that the test has asked for"


class Ask(Protocol):
    """How something is done in the broker's loop, from where the test runs."""

    def __call__(self, act: Callable[[], T], /) -> T:
        """Do `act` there; return what it returns, raise what it raises."""


@final
class Faults:
    """What a test can do to a broker's clients.

    Those that take a `name` concern connections of that name (`connection_name` among
    the client's properties); without one, all. They return how many there were.
    """

    def __init__(self, stage: Stage, ask: Ask) -> None:
        self._stage = stage
        self._ask = ask

    # Once

    def drop_connections(self, name: str | None = None) -> int:
        """End connections without a word, as a broken network does."""
        return self._each_connection(name, lambda connection: connection.end())

    def close_connections(
        self, code: int = 320, text: str = _TEXT, *, name: str | None = None
    ) -> int:
        """Close connections with an error: connection.close.

        Raises ValueError if `code` is not one that closes connections.
        """
        error = _error(code, text, ConnectionError_)
        return self._each_connection(name, lambda each: each.fail(_NO_CHANNEL, error))

    def close_channels(
        self, code: int = 406, text: str = _TEXT, *, name: str | None = None
    ) -> int:
        """Close all channels with an error: channel.close.

        Raises ValueError if `code` is not one that closes channels.
        """
        error = _error(code, text, ChannelError)
        return self._ask(
            lambda: self._stage.take_turn(lambda: self._close(error, name))
        )

    def nack_publishes(self, count: int = 1, *, exchange: str | None = None) -> None:
        """Refuse the next `count` publishes, as a full queue does.

        Those to `exchange` only, if one is named ("" is the default exchange). Whoever
        wants confirms gets a nack; of whoever does not the message is lost.
        """
        self._ask(lambda: self._stage.publishes.refuse(count, exchange))

    # For a while

    @contextmanager
    def withhold_confirms(self) -> Iterator[None]:
        """Confirm nothing that queues take, until the block ends; then all of it.

        Messages are delivered all the while. What no queue takes is answered at once.
        """
        publishes = self._stage.publishes
        self._ask(publishes.withhold)
        try:
            yield
        finally:
            self._ask(lambda: self._stage.take_turn_if_any(publishes.release))

    @contextmanager
    def block_publishers(self) -> Iterator[None]:
        """Stop reading from who publishes, as when memory is short.

        Clients that can hear it get connection.blocked, at once or with their first
        publish, and connection.unblocked when the block ends.
        """
        self._ask(lambda: self._stage.set_blocking(True))
        try:
            yield
        finally:
            self._ask(lambda: self._stage.set_blocking(False))

    @contextmanager
    def refuse_logins(self) -> Iterator[None]:
        """Let nobody log in; who is in stays."""
        self._ask(lambda: self._stage.set_refusing(True))
        try:
            yield
        finally:
            self._ask(lambda: self._stage.set_refusing(False))

    # In the broker's loop

    def _each_connection(
        self, name: str | None, act: Callable[[ServerConnection], None]
    ) -> int:
        def act_on_all() -> int:
            chosen = self._chosen(name)
            for connection in chosen:
                act(connection)
            return len(chosen)

        return self._ask(lambda: self._stage.take_turn(act_on_all))

    def _close(self, error: ChannelError, name: str | None) -> int:
        count = 0
        for connection in self._chosen(name):
            for channel in channels(connection):
                connection.close_channel(channel, error, 0)
                count += 1
        return count

    def _chosen(self, name: str | None) -> list[ServerConnection]:
        return [
            connection
            for connection in self._stage.connections
            if name in (None, connection.client.properties.get("connection_name"))
        ]


def _error(code: int, text: str, scope: type[E]) -> E:
    error = error_for(code, text)
    if not isinstance(error, scope) or error.code != code:
        what = "channels" if scope is ChannelError else "connections"
        raise ValueError(f"{code} is no reply code that closes {what}")
    return error

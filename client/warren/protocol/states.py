"""The life of a connection and of a channel, as tables, seen by the client.

A connection::

    GREETING --start--> AUTHENTICATING --tune--> OPENING --open-ok--> OPEN
        any of these --close--> CLOSED         (the server refuses, or ends)
        OPEN --our close--> CLOSING --close-ok or close--> CLOSED

A channel::

    OPENING --open-ok--> OPEN --close--> CLOSED
    OPENING or OPEN --our close--> CLOSING --close-ok--> CLOSED

When both sides close a channel at once, each answers the other's close. The number is
free only after the answer to ours: until then frames for the old channel may come.

A method that a table does not name changes no state. What else may arrive in a state is
the business of the handlers. Nothing but `following` decides a next state.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeVar

from warren.wire.methods import (
    ChannelClose,
    ChannelCloseOk,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionTune,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren.wire.methods import Method


class ConnectionState(Enum):
    """Where a connection is between its first byte and its last."""

    GREETING = auto()
    AUTHENTICATING = auto()
    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


class ChannelState(Enum):
    """Where a channel is between its open and its close."""

    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


_Connection = ConnectionState
_Channel = ChannelState

CONNECTION_RECEIVED: Final[dict[tuple[ConnectionState, type[Method]], _Connection]] = {
    (_Connection.GREETING, ConnectionStart): _Connection.AUTHENTICATING,
    (_Connection.AUTHENTICATING, ConnectionTune): _Connection.OPENING,
    (_Connection.OPENING, ConnectionOpenOk): _Connection.OPEN,
    (_Connection.GREETING, ConnectionClose): _Connection.CLOSED,
    (_Connection.AUTHENTICATING, ConnectionClose): _Connection.CLOSED,
    (_Connection.OPENING, ConnectionClose): _Connection.CLOSED,
    (_Connection.OPEN, ConnectionClose): _Connection.CLOSED,
    (_Connection.CLOSING, ConnectionClose): _Connection.CLOSED,
    (_Connection.CLOSING, ConnectionCloseOk): _Connection.CLOSED,
}
"""State and method received -> the state it leads to."""

CHANNEL_RECEIVED: Final[dict[tuple[ChannelState, type[Method]], ChannelState]] = {
    (_Channel.OPENING, ChannelOpenOk): _Channel.OPEN,
    (_Channel.OPENING, ChannelClose): _Channel.CLOSED,
    (_Channel.OPEN, ChannelClose): _Channel.CLOSED,
    (_Channel.CLOSING, ChannelClose): _Channel.CLOSING,
    (_Channel.CLOSING, ChannelCloseOk): _Channel.CLOSED,
}
"""State and method received -> the state it leads to."""

CONNECTION_WHEN_CLOSING: Final = {
    _Connection.GREETING: _Connection.CLOSED,
    _Connection.AUTHENTICATING: _Connection.CLOSED,
    _Connection.OPENING: _Connection.CLOSED,
    _Connection.OPEN: _Connection.CLOSING,
    _Connection.CLOSING: _Connection.CLOSING,
    _Connection.CLOSED: _Connection.CLOSED,
}
"""State -> the state after our own close. Before OPEN there is nobody to tell."""

State = TypeVar("State", ConnectionState, ChannelState)


def following(
    table: Mapping[tuple[State, type[Method]], State], state: State, method: Method
) -> State:
    """Return the state after `method` was received in `state`."""
    return table.get((state, type(method)), state)

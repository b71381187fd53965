"""Channel 0: the methods of the connection itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from warren.errors import ChannelNotOpen, NotAllowed
from warren.wire.constants import FRAME_METHOD
from warren.wire.faults import method_expected, unknown_frame
from warren.wire.frames import METHOD_INDEX_SIZE
from warren.wire.methods import (
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
    decode_method,
)
from warren_broker.amqp.channel import FrameTaker
from warren_broker.amqp.handshake import (
    TRANSITIONS,
    State,
    open_vhost,
    start_ok,
    tune_ok,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.amqp.connection import ServerConnection


def close(connection: ServerConnection, method: ConnectionClose) -> None:
    """connection.close: everything is let go of before close-ok tells so."""
    connection.release()
    connection.send(0, ConnectionCloseOk())
    connection.end()


def close_ok(connection: ServerConnection, method: ConnectionCloseOk) -> None:
    """connection.close-ok: the client knows that it is over."""
    connection.end()


def update_secret(connection: ServerConnection, method: ConnectionUpdateSecret) -> None:
    """connection.update-secret: passwords here do not expire, but rights may go.

    Raises:
        NotAllowed: the user may not be in the virtual host any more.
    """
    broker, vhost, user = connection.broker, connection.session.vhost, connection.user
    if not broker.access.may_open(user, vhost.name):
        raise NotAllowed(
            f"access to vhost '{vhost.name}' refused for user '{user.name}'"
        )
    connection.send(0, ConnectionUpdateSecretOk())


ACTIONS: Final[dict[int, Callable[[ServerConnection, Any], None]]] = {
    ConnectionStartOk.index: start_ok,
    ConnectionTuneOk.index: tune_ok,
    ConnectionOpen.index: open_vhost,
    ConnectionClose.index: close,
    ConnectionCloseOk.index: close_ok,
}


@final
class Control(FrameTaker):
    """Takes the frames of channel 0."""

    __slots__ = ("_connection",)

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    def on_method(self, payload: bytes) -> None:
        """Act on a method of class connection.

        Raises:
            ChannelNotOpen: the method has no place in the connection's state.
        """
        connection = self._connection
        state = connection.state
        if len(payload) < METHOD_INDEX_SIZE:
            connection.method_index = 0
            raise unknown_frame(FRAME_METHOD, payload)
        index = int.from_bytes(payload[:METHOD_INDEX_SIZE], "big")
        connection.method_index = index
        after = TRANSITIONS.get((state, index))
        if after is not None:
            ACTIONS[index](connection, decode_method(payload))
            connection.state = after
        elif state is State.OPEN and index == ConnectionUpdateSecret.index:
            update_secret(connection, ConnectionUpdateSecret.decode(payload))
        elif state is not State.CLOSING:
            word = "running" if state is State.OPEN else state.name.lower()
            raise ChannelNotOpen(f"unexpected method in connection state {word}")

    def on_header(self, payload: bytes) -> None:
        """Refuse it: channel 0 carries no content."""
        self._connection.method_index = 0
        raise method_expected()

    def on_body(self, payload: bytes) -> None:
        """Refuse it: channel 0 carries no content."""
        self._connection.method_index = 0
        raise method_expected()

"""The handshake: from the protocol header to connection.open-ok.

The table is the whole life of a connection as its client drives it; what ends it
otherwise (an error, a silence, the server) is in `connection`.

Before somebody has logged in, an error gets no answer but the end of the connection,
and that only after a pause (RabbitMQ's reaction: it tells a stranger nothing, and a
flood of attempts is slow). Two errors are told: a refused login, if the client has
announced that it can hear it, and what is not allowed.
"""

from __future__ import annotations

import platform
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from warren.errors import (
    AccessRefused,
    CommandInvalid,
    NotAllowed,
    SyntaxError_,
)
from warren.wire.methods import (
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
)
from warren.wire.table import decode_table
from warren_broker.amqp.client_info import ClientInfo

if TYPE_CHECKING:
    from warren.wire.table import Table
    from warren_broker.amqp.connection import ServerConnection
    from warren_broker.core.access import User


class State(Enum):
    """Where a connection is in its life."""

    WAITING_HEADER = auto()
    STARTING = auto()
    TUNING = auto()
    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()  # the server has sent connection.close
    CLOSED = auto()


PROTOCOL_HEADER_SEEN: Final = 0  # stands for the method index of the first event

TRANSITIONS: Final[dict[tuple[State, int], State]] = {
    (State.WAITING_HEADER, PROTOCOL_HEADER_SEEN): State.STARTING,
    (State.STARTING, ConnectionStartOk.index): State.TUNING,
    (State.TUNING, ConnectionTuneOk.index): State.OPENING,
    (State.OPENING, ConnectionOpen.index): State.OPEN,
    (State.OPENING, ConnectionClose.index): State.CLOSED,
    (State.OPEN, ConnectionClose.index): State.CLOSED,
    (State.CLOSING, ConnectionCloseOk.index): State.CLOSED,
    (State.CLOSING, ConnectionClose.index): State.CLOSED,  # both closed at once
}

CAPABILITIES: Final = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
    "lease_extension",
)
"""What clients look for before they use an extension: RabbitMQ's, and our own last."""

_FRAME_SIZE_MIN: Final = 4096
_LOGIN_REFUSED: Final = (
    "Login was refused using authentication mechanism {}."
    " For details see the broker logfile."
)


class Credentials(NamedTuple):
    """Who somebody says they are."""

    user: str
    password: bytes


def start(connection: ServerConnection) -> None:
    """Answer the protocol header with connection.start."""
    identity = connection.broker.identity
    properties: Table = {
        "capabilities": dict.fromkeys(CAPABILITIES, True),
        "cluster_name": identity.cluster_name,
        "copyright": "Apache License 2.0",
        "information": "An AMQP 0-9-1 broker for Python people",
        "platform": f"Python {platform.python_version()}",
        "product": identity.product,
        "version": identity.version,
    }
    mechanisms = ["PLAIN", "AMQPLAIN"]
    if connection.peer.certificate_name is not None:
        mechanisms.append("EXTERNAL")
    connection.send(
        0,
        ConnectionStart(
            server_properties=properties,
            mechanisms=" ".join(mechanisms).encode(),
        ),
    )


def start_ok(connection: ServerConnection, method: ConnectionStartOk) -> None:
    """Log in and propose limits.

    Raises:
        CommandInvalid: an unknown mechanism.  SyntaxError_: a malformed response.
        AccessRefused: not with these credentials; the notice says why, not the peer.
    """
    connection.client = ClientInfo.read(method.client_properties)
    mechanism = method.mechanism
    try:
        if mechanism == "EXTERNAL" and connection.peer.certificate_name is not None:
            connection.user = connection.broker.access.identify(
                connection.peer.certificate_name,
                from_loopback=connection.peer.is_loopback,
            )
        elif mechanism in RESPONSES:
            connection.user = log_in(connection, RESPONSES[mechanism](method.response))
        else:
            raise CommandInvalid(f"unknown authentication mechanism '{mechanism}'")
    except AccessRefused as error:
        connection.broker.notice(
            "login refused", peer=connection.peer.address, reason=error.text
        )
        raise AccessRefused(_LOGIN_REFUSED.format(mechanism)) from None
    limits = connection.broker.limits
    connection.send(
        0,
        ConnectionTune(
            limits.channel_max, limits.frame_size_max, limits.heartbeat_seconds
        ),
    )


def log_in(connection: ServerConnection, credentials: Credentials) -> User:
    """Return the user of `credentials`; AccessRefused if they are not right."""
    peer, broker = connection.peer, connection.broker
    return broker.access.log_in(
        credentials.user,
        credentials.password,
        address=peer.address.rpartition(":")[0],
        from_loopback=peer.is_loopback,
        now=broker.now,
    )


def plain(response: bytes) -> Credentials:
    r"""Read a response of PLAIN, `authzid \0 user \0 password` (RFC 4616)."""
    parts = response.split(b"\0")
    if len(parts) != 3 or parts[0]:
        raise SyntaxError_("malformed PLAIN response")
    return Credentials(_text(parts[1]), parts[2])


def amqplain(response: bytes) -> Credentials:
    """Read a response of AMQPLAIN: a field table without its length."""
    size = len(response).to_bytes(4, "big")
    table, _ = decode_table(size + response)
    user, password = table.get("LOGIN"), table.get("PASSWORD")
    if not isinstance(user, str) or not isinstance(password, str | bytes):
        raise SyntaxError_("AMQPLAIN auth info has no LOGIN or PASSWORD")
    return Credentials(
        user, password.encode() if isinstance(password, str) else password
    )


RESPONSES: Final = {"PLAIN": plain, "AMQPLAIN": amqplain}


def tune_ok(connection: ServerConnection, method: ConnectionTuneOk) -> None:
    """Take the limits that the client wants.

    Raises:
        NotAllowed: they are above those proposed, or too low to work with.
    """
    limits = connection.broker.limits
    _check_limit("frame_max", method.frame_max, limits.frame_size_max)
    _check_limit("channel_max", method.channel_max, limits.channel_max)
    if method.frame_max < _FRAME_SIZE_MIN:
        raise NotAllowed(
            f"negotiated frame_max = {method.frame_max} is lower than the minimum"
            f" allowed value ({_FRAME_SIZE_MIN})"
        )
    connection.tune(method.channel_max, method.frame_max, method.heartbeat)


def _check_limit(name: str, value: int, maximum: int) -> None:
    if value == 0 or value > maximum:
        no_limit = " (no limit)" if value == 0 and name == "channel_max" else ""
        raise NotAllowed(
            f"negotiated {name} = {value}{no_limit} is higher than the maximum"
            f" allowed value ({maximum})"
        )


def open_vhost(connection: ServerConnection, method: ConnectionOpen) -> None:
    """Enter a virtual host.

    Raises:
        NotAllowed: it is not there, the user has no permission in it, or the broker
            has as many connections as it may.
    """
    broker, user = connection.broker, connection.user
    vhost = broker.vhosts.get(method.virtual_host)
    if vhost is None:
        raise NotAllowed(f"vhost {method.virtual_host} not found")
    if not broker.access.may_open(user, vhost.name):
        raise NotAllowed(
            f"access to vhost '{vhost.name}' refused for user '{user.name}'"
        )
    limit = broker.limits.connections_max
    if len(broker.sessions) >= limit:
        raise NotAllowed(
            f"access to vhost '{vhost.name}' refused for user '{user.name}':"
            f" connection limit ({limit}) is reached"
        )
    connection.enter(vhost)
    connection.send(0, ConnectionOpenOk())


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise SyntaxError_("credentials are not UTF-8") from None

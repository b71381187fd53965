"""What the client says in the handshake: who it is, what it can, which limits it takes.

Pure functions of the server's offer and of the `Address`, whose query may set
``heartbeat`` (seconds), ``channel_max``, ``frame_max`` (bytes), ``auth_mechanism`` and
``name``, as in RabbitMQ's "URI Query Parameters".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from warren.errors import NotAllowed
from warren.wire.constants import FRAME_SIZE_MIN
from warren.wire.methods import (
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
)
from warren.wire.table import encode_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren.wire.table import Table
    from warren.wire.uri import Address

FRAME_SIZE_DEFAULT: Final = 131_072
"""Bytes: what RabbitMQ offers, and what we take where the server sets no limit."""

CHANNEL_MAX_DEFAULT: Final = 2047
"""RabbitMQ's offer."""

U16_MAX: Final = 65_535
"""A channel number is 16 bits, and so are seconds between heartbeats."""

U32_MAX: Final = 2**32 - 1

NAME_MAX: Final = 2048
"""Bytes: it is in the first frame, for which no size is agreed on."""

_TABLE_SIZE_BYTES: Final = 4

CLIENT_PROPERTIES: Final[Table] = {
    "product": "Warren",
    "platform": "Python",
    "capabilities": {
        "authentication_failure_close": True,
        "basic.nack": True,
        "connection.blocked": True,
        "consumer_cancel_notify": True,
        "exchange_exchange_bindings": True,
        "publisher_confirms": True,
    },
}


@attrs.frozen
class Limits:
    """What both sides keep to. A heartbeat of 0 seconds means none."""

    channel_max: int
    frame_size_max: int
    heartbeat_seconds: int


@attrs.frozen
class Wishes:
    """What this side would like. With a heartbeat of None the server chooses."""

    channel_max: int = CHANNEL_MAX_DEFAULT
    frame_size_max: int = FRAME_SIZE_DEFAULT
    heartbeat_seconds: int | None = None
    mechanism: str = "PLAIN"
    name: str = ""
    """How operators see this connection: the client property `connection_name`."""

    @classmethod
    def of(cls, address: Address) -> Wishes:
        """Read them from an address. Raises `ValueError` for what cannot be said."""
        query = address.query
        name = query.get("name", "")
        if len(name.encode()) > NAME_MAX:
            raise ValueError(f"a name has {NAME_MAX} bytes at most")
        channel_max = _number(query, "channel_max", U16_MAX)
        frame_size_max = _number(query, "frame_max", U32_MAX)
        return cls(
            channel_max=CHANNEL_MAX_DEFAULT if channel_max is None else channel_max,
            frame_size_max=(
                FRAME_SIZE_DEFAULT if frame_size_max is None else frame_size_max
            ),
            heartbeat_seconds=_number(query, "heartbeat", U16_MAX),
            mechanism=query.get("auth_mechanism", "PLAIN").upper(),
            name=name,
        )


def _number(query: dict[str, str], key: str, most: int) -> int | None:
    """Return a number that goes into a field of that many bits, None if not given."""
    if key not in query:
        return None
    text = query[key]
    if not text.isdecimal() or int(text) > most:
        raise ValueError(f"{key} is a number from 0 to {most}, and not {text!r}")
    return int(text)


def _plain(address: Address) -> bytes:
    """RFC 4616: no authorisation identity, then user and password."""
    return b"\0".join((b"", address.user.encode(), address.password.encode()))


def _amqplain(address: Address) -> bytes:
    """A field table, without its size (RabbitMQ, "Access Control")."""
    table: Table = {"LOGIN": address.user, "PASSWORD": address.password}
    return encode_table(table)[_TABLE_SIZE_BYTES:]


def _external(address: Address) -> bytes:
    """RFC 4422, appendix A: the certificate of the TLS connection says who we are."""
    return b""


MECHANISMS: Final[dict[str, Callable[[Address], bytes]]] = {
    "PLAIN": _plain,
    "AMQPLAIN": _amqplain,
    "EXTERNAL": _external,
}
"""Name -> the response. None of them has a challenge."""


def answer_start(
    start: ConnectionStart, address: Address, wishes: Wishes
) -> ConnectionStartOk:
    """Return start-ok. Raises `NotAllowed` where no common mechanism can be had."""
    mechanism = wishes.mechanism
    offered = start.mechanisms.decode(errors="replace").split()
    if mechanism not in MECHANISMS or mechanism not in offered:
        raise NotAllowed(f"no login with {mechanism}: server has {' '.join(offered)}")
    properties = dict(CLIENT_PROPERTIES)
    if wishes.name:
        properties["connection_name"] = wishes.name
    return ConnectionStartOk(
        client_properties=properties,
        mechanism=mechanism,
        response=MECHANISMS[mechanism](address),
        locale="en_US",
    )


def agree(tune: ConnectionTune, wishes: Wishes) -> Limits:
    """Return the limits of both sides. 0 means "no limit" in either.

    The server's numbers are upper bounds, but for the heartbeat: that is the client's
    to choose. Raises `NotAllowed` for a frame size below the specification's minimum.
    """
    limits = Limits(
        channel_max=_smaller(tune.channel_max, wishes.channel_max, U16_MAX),
        frame_size_max=_smaller(
            tune.frame_max, wishes.frame_size_max, FRAME_SIZE_DEFAULT
        ),
        heartbeat_seconds=(
            tune.heartbeat
            if wishes.heartbeat_seconds is None
            else wishes.heartbeat_seconds
        ),
    )
    if limits.frame_size_max < FRAME_SIZE_MIN:
        raise NotAllowed(f"frames of at most {limits.frame_size_max} bytes")
    return limits


def answer_tune(limits: Limits) -> ConnectionTuneOk:
    """Return tune-ok."""
    return ConnectionTuneOk(
        channel_max=limits.channel_max,
        frame_max=limits.frame_size_max,
        heartbeat=limits.heartbeat_seconds,
    )


def _smaller(offered: int, wished: int, unlimited: int) -> int:
    return min(number or unlimited for number in (offered, wished))

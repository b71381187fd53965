"""Transport: from an address to a stream, over TCP, TLS or a unix socket.

What the query says of TLS has RabbitMQ's names ("URI Query Parameters"): `cacertfile`,
`certfile`, `keyfile`, `verify` (verify_peer, verify_none), `server_name_indication`.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

import trio

from warren.protocol.failures import ConnectionLost

if TYPE_CHECKING:
    from warren.wire.uri import Address

CONNECT_TIMEOUT_SECONDS: Final = 10.0
"""For the stream, and once more for the handshake; as RabbitMQ's."""

_MS: Final = 1000
_VERIFY: Final = {
    "verify_peer": ssl.CERT_REQUIRED,
    "verify_none": ssl.CERT_NONE,
}


def timeout_seconds(address: Address) -> float:
    """Return how long connecting may take: `connection_timeout`, in milliseconds.

    Raises `ValueError` if that is no number.
    """
    text = address.query.get("connection_timeout")
    if not text:
        return CONNECT_TIMEOUT_SECONDS
    if not text.isdecimal():
        raise ValueError(f"connection_timeout is milliseconds, and not {text!r}")
    return int(text) / _MS


async def open_stream(
    address: Address, ssl_context: ssl.SSLContext | None
) -> trio.abc.Stream:
    """Return a stream that is connected.

    Raises `OSError`, also `ssl.SSLError`; `ConnectionLost` if nobody answers in time;
    and what `make_context` raises.
    """
    with trio.move_on_after(timeout_seconds(address)):
        if address.is_unix:
            return await trio.open_unix_socket(address.host)
        if not address.tls:
            return await _open_tcp(address)
        context = ssl_context or make_context(address)
        return await _start_tls(await _open_tcp(address), address, context)
    raise ConnectionLost(f"{address} does not answer")


async def _open_tcp(address: Address) -> trio.SocketStream:
    try:
        return await trio.open_tcp_stream(address.host, address.port)
    except UnicodeError as error:  # a label of more than 63 letters, for example
        raise socket.gaierror(
            socket.EAI_NONAME, f"{address.host!r} is no name of a host: {error}"
        ) from None


async def _start_tls(
    transport: trio.SocketStream, address: Address, context: ssl.SSLContext
) -> trio.abc.Stream:
    stream = trio.SSLStream(
        transport,
        context,
        server_hostname=address.query.get("server_name_indication", address.host),
        https_compatible=True,  # AMQP has a goodbye of its own
    )
    try:
        await stream.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error.__cause__, ssl.SSLError):
            raise error.__cause__ from None
        raise
    return stream


def make_context(address: Address) -> ssl.SSLContext:
    """Return the TLS context that an address asks for.

    Raises `ValueError` for an unknown `verify`, `OSError` for files that are not there.
    """
    query = address.query
    verify = query.get("verify", "verify_peer")
    if verify not in _VERIFY:
        raise ValueError(f"verify is {' or '.join(_VERIFY)}, and not {verify!r}")
    context = ssl.create_default_context(cafile=query.get("cacertfile"))
    if _VERIFY[verify] is ssl.CERT_NONE:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "certfile" in query:
        context.load_cert_chain(query["certfile"], query.get("keyfile"))
    return context

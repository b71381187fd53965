"""`connect`: from a URL to an open connection."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from warren._client.connection import HANDSHAKE_TIMEOUT_SECONDS, connect_over
from warren.protocol.failures import ConnectionLost
from warren.wire.uri import parse_uri

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from warren._client.connection import Connection
    from warren.wire.uri import Address


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Connection]:
    """Connect to ``amqp://user:password@host:port/vhost``; close with the block.

    The query may hold ``heartbeat``, ``channel_max``, ``frame_max``, ``auth_mechanism``
    and, for ``amqps``, ``cacertfile``, ``certfile`` and ``keyfile`` (RabbitMQ's names).

    Raises `OSError` when nobody is there, also `ssl.SSLError`; `ValueError` for a URL
    that is none; `AMQPError` when the server refuses; and `ConnectionLost`.
    """
    address = parse_uri(url)
    if not address.vhost:
        # RabbitMQ's URI specification: a lone slash names the host "". No broker has
        # it, and every client library takes it for the default one.
        address = replace(address, vhost="/")
    stream = await _open_stream(address)
    async with connect_over(stream, address) as connection:
        yield connection


async def _open_stream(address: Address) -> trio.abc.Stream:
    with trio.move_on_after(HANDSHAKE_TIMEOUT_SECONDS):
        return await (_open_tls(address) if address.tls else _open_tcp(address))
    raise ConnectionLost(f"{address.host}:{address.port} does not answer")


async def _open_tcp(address: Address) -> trio.abc.Stream:
    return await trio.open_tcp_stream(address.host, address.port)


async def _open_tls(address: Address) -> trio.abc.Stream:
    stream = await trio.open_ssl_over_tcp_stream(
        address.host,
        address.port,
        ssl_context=_ssl_context(address),
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


def _ssl_context(address: Address) -> ssl.SSLContext:
    query = address.query
    context = ssl.create_default_context(cafile=query.get("cacertfile"))
    if "certfile" in query:
        context.load_cert_chain(query["certfile"], query.get("keyfile"))
    return context

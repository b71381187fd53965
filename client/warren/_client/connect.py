"""`connect`: from a URL to an open connection."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import trio

from warren._client.closing import closing_scope
from warren._client.common import Common
from warren._client.connection import Connection
from warren._client.life import Life
from warren._client.link import connect_over
from warren._client.transport import make_context, open_stream, timeout_seconds
from warren.bodies.codecs import Codecs
from warren.errors import ConnectionError_
from warren.protocol.failures import ConnectionLost
from warren.protocol.handshake import Wishes
from warren.wire.uri import parse_uris

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from warren._client.link import Link
    from warren._client.reconnect import Reconnect
    from warren.wire.uri import Address

    OpenStream: TypeAlias = Callable[[Address], Awaitable[trio.abc.Stream]]

NEXT_HOST: tuple[type[Exception], ...] = (OSError, ConnectionLost, ConnectionError_)
"""What does not keep us from trying the next host."""


@asynccontextmanager
async def connect(
    url: str | Sequence[str],
    *,
    reconnect: Reconnect | None = None,
    codecs: Codecs | None = None,
    ssl_context: ssl.SSLContext | None = None,
    name: str = "",
) -> AsyncIterator[Connection]:
    """Connect to ``amqp://user:password@host:port/vhost``; close with the block.

    ``amqps`` is TLS. Several hosts, with commas between, or several URLs are tried in
    their order, at each connect. A host that is an encoded path is a unix socket:
    ``amqp://%2Frun%2Fwarren.sock/``. The query may hold ``heartbeat`` (seconds),
    ``connection_timeout`` (milliseconds), ``channel_max``, ``frame_max`` (bytes),
    ``auth_mechanism``, ``name``, and for TLS ``cacertfile``, ``certfile``, ``keyfile``,
    ``verify`` and ``server_name_indication``: RabbitMQ's names and units.

    `reconnect` says what happens when the connection is lost; None: whoever uses it
    gets `ConnectionLost`. `name` is what operators see. `ssl_context` replaces what the
    query says of TLS.

    Raises `OSError` when nobody is there, also `ssl.SSLError`; `ValueError` for a URL
    that is none; `AMQPError` when the server refuses; and `ConnectionLost`.

    ::

        async with warren.connect("amqp://guest:guest@localhost/") as connection:
            await connection.declare_queue("hello")
            await connection.publish("hello, world", routing_key="hello")
    """
    urls = [url] if isinstance(url, str) else url
    addresses = [address for each in urls for address in parse_uris(each)]
    for address in addresses:
        if address.tls and ssl_context is None:
            make_context(address)  # made anew at each dial, but errors are told now
    stream_to: OpenStream = partial(_open_stream, ssl_context)
    async with connect_through(
        stream_to, addresses, reconnect=reconnect, codecs=codecs, name=name
    ) as connection:
        yield connection


async def _open_stream(
    ssl_context: ssl.SSLContext | None, address: Address
) -> trio.abc.Stream:
    return await open_stream(address, ssl_context)


@asynccontextmanager
async def connect_through(
    stream_to: OpenStream,
    addresses: Sequence[Address],
    *,
    reconnect: Reconnect | None = None,
    codecs: Codecs | None = None,
    name: str = "",
) -> AsyncIterator[Connection]:
    """Connect as `connect` does, over streams from wherever."""
    if not addresses:
        raise ValueError("no URL was given")
    common = Common(codecs or Codecs())
    wishes = [_wishes(address, name) for address in addresses]
    hosts = list(zip(addresses, wishes, strict=True))
    dial = partial(_dial, stream_to, hosts, common)
    connection = Connection(Life(dial, reconnect), common)
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        try:
            await connection.wait_connected()
            yield connection
        except BaseException as error:  # noqa: BLE001 - raised below
            failure = error  # there, it is not wrapped into the nursery's group
        connection.close()
        with closing_scope():
            await connection.wait_finished()
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _wishes(address: Address, name: str) -> Wishes:
    """Return what an address asks for. What is wrong with it is told before a dial."""
    timeout_seconds(address)
    if name:
        address = replace(address, query=address.query | {"name": name})
    return Wishes.of(address)


@asynccontextmanager
async def _dial(
    stream_to: OpenStream, hosts: Sequence[tuple[Address, Wishes]], common: Common
) -> AsyncIterator[Link]:
    """A link to the first host that takes us. Raises the last one's error."""
    async with AsyncExitStack() as stack:
        yield await _enter_first(stack, stream_to, hosts, common)


async def _enter_first(
    stack: AsyncExitStack,
    stream_to: OpenStream,
    hosts: Sequence[tuple[Address, Wishes]],
    common: Common,
) -> Link:
    for number, (address, wishes) in enumerate(hosts, 1):
        try:
            opening = connect_over(
                await stream_to(address),
                address,
                wishes=wishes,
                common=common,
                timeout_seconds=timeout_seconds(address),
            )
            return await stack.enter_async_context(opening)
        except NEXT_HOST:
            if number == len(hosts):
                raise
    raise ValueError("no URL was given")

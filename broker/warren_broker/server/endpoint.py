"""Endpoint: one listening socket, and how its clients are spoken to."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, final

import attrs
import trio

from warren_broker.amqp.peer_info import PeerInfo
from warren_broker.server.listening import bound_address, open_tcp, open_unix
from warren_broker.server.settings import Address
from warren_broker.server.socket_transport import SocketTransport
from warren_broker.server.sockets import tune_tcp
from warren_broker.server.tls import common_name, server_context
from warren_broker.server.transport import StreamTransport, Transport

if TYPE_CHECKING:
    import ssl
    from contextlib import ExitStack

    from warren_broker.server.settings import ServerSettings


@final
@attrs.frozen
class Endpoint:
    """`url` is what a client on this machine would use."""

    listening: socket.socket
    url: str
    context: ssl.SSLContext | None = None

    def host_of(self, client: socket.socket) -> str:
        """Return who a client is to the doorway: its IP address, or this socket.

        Raises OSError if it is gone already.
        """
        if client.family == socket.AF_UNIX:
            return self.url
        return str(client.getpeername()[0])

    async def welcome(self, client: socket.socket) -> tuple[Transport, PeerInfo]:
        """Make a transport of an accepted socket; for TLS, shake hands.

        Raises OSError or trio.BrokenResourceError if the client is gone or the
        handshake fails.
        """
        if client.family == socket.AF_UNIX:
            return SocketTransport(client), PeerInfo(address=self.url, is_loopback=True)
        host, port = client.getpeername()[:2]
        info = PeerInfo(address=str(Address(host, port)), is_loopback=is_loopback(host))
        tune_tcp(client)
        if self.context is None:
            return SocketTransport(client), info
        return await _welcome_tls(client, self.context, info)


async def _welcome_tls(
    client: socket.socket, context: ssl.SSLContext, info: PeerInfo
) -> tuple[Transport, PeerInfo]:
    trio_socket = trio.socket.from_stdlib_socket(client)
    carrier = trio.SocketStream(trio_socket)
    tune_tcp(trio_socket)  # again: the stream has options of its own
    # AMQP says goodbye itself (connection.close), so an end without TLS's own
    # goodbye is an end, not an attack: that is what `https_compatible` accepts.
    stream = trio.SSLStream(carrier, context, server_side=True, https_compatible=True)
    await stream.do_handshake()
    name = common_name(stream.getpeercert())
    info = attrs.evolve(info, tls=True, certificate_name=name)
    return StreamTransport(stream, trio_socket), info


def is_loopback(address: str) -> bool:
    """Tell whether an IP address is this machine's own, IPv4 in IPv6 included."""
    return address == "::1" or address.removeprefix("::ffff:").startswith("127.")


def open_endpoints(settings: ServerSettings, stack: ExitStack) -> list[Endpoint]:
    """Open everything that `settings` asks for; `stack` closes it.

    Plain TCP first, in the order written. Raises SettingsError or ListenError.
    """
    endpoints: list[Endpoint] = []
    for address in settings.listeners.tcp:
        for listening in stack.enter_context(open_tcp(address)):
            url = f"amqp://{bound_address(listening)}/"
            endpoints.append(Endpoint(listening, url))
    if settings.listeners.tls:
        context = server_context(settings.tls)
        for address in settings.listeners.tls:
            for listening in stack.enter_context(open_tcp(address)):
                url = f"amqps://{bound_address(listening)}/"
                endpoints.append(Endpoint(listening, url, context))
    path = settings.listeners.unix_socket
    if path is not None:
        listening = stack.enter_context(open_unix(path))
        endpoints.append(Endpoint(listening, f"unix:{path}"))
    return endpoints

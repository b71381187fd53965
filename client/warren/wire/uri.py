"""AMQP URIs: ``amqp://user:password@host:port/vhost?key=value``.

As RabbitMQ's URI specification has it: every part may be percent-encoded and every part
may be left out. ``amqps`` is TLS. The path after its first slash is the virtual host,
so that ``/%2F`` is the host "/". A lone ``/`` is that one too, as pika, aio-pika and
kombu read it; the specification would make it the host with the empty name.

Two things are ours. A host that begins with a slash, percent-encoded as ``%2F``, is the
path of a unix socket. And there may be several hosts with commas between, to be tried
in their order: ``amqp://user:password@one,two:5673/vhost``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

PORT: Final = 5672
PORT_TLS: Final = 5671

VHOST_MAX: Final = 255
"""Bytes: it is a short string."""

_PORTS: Final = {"amqp": PORT, "amqps": PORT_TLS}


@final
@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is and how to log in; the password does not show in its `repr`."""

    host: str = "localhost"
    port: int = PORT
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    tls: bool = False
    query: dict[str, str] = field(default_factory=dict)

    @property
    def is_unix(self) -> bool:
        """Whether `host` is the path of a unix socket; then there is no port."""
        return self.host.startswith("/")

    def __str__(self) -> str:
        """Where, and not who."""
        return self.host if self.is_unix else f"{self.host}:{self.port}"


def parse_uris(text: str) -> list[Address]:
    """Return the addresses of a URI, one for each of its hosts.

    Raises as `parse_uri` does.
    """
    scheme, separator, rest = text.partition("://")
    end = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    user, at, hosts = rest[:end].rpartition("@")
    return [
        parse_uri(f"{scheme}{separator}{user}{at}{host}{rest[end:]}")
        for host in hosts.split(",")
    ]


def parse_uri(text: str) -> Address:
    """Return the address that a URI with one host stands for.

    Raises ValueError if it is not an AMQP URI. The text may hold a password, and so it
    is not part of the error.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("an AMQP URI is text that has an encoding") from None
    parts = urlsplit(text)
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not text[len(scheme) :].startswith("://"):
        raise ValueError("an AMQP URI begins with amqp:// or amqps://")
    if parts.fragment:
        raise ValueError("an AMQP URI has no fragment; '#' is written %23")
    vhost = _decoded(parts.path[1:] or None, "/")
    if len(vhost.encode()) > VHOST_MAX:
        raise ValueError(f"the name of a virtual host has {VHOST_MAX} bytes at most")
    return Address(
        host=_host(parts) or "localhost",
        port=_PORTS[scheme] if parts.port is None else parts.port,
        user=_decoded(parts.username, "guest"),
        password=_decoded(parts.password, "guest"),
        vhost=vhost,
        tls=scheme == "amqps",
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
    )


def _host(parts: SplitResult) -> str:
    """The host; the letters of a path stay as they are, those of a name do not."""
    written = parts.netloc.rpartition("@")[2]
    if written[:3].upper() == "%2F":
        return unquote(written)
    return unquote(parts.hostname or "")


def _decoded(part: str | None, default: str) -> str:
    return default if part is None else unquote(part)

"""Listening sockets: opened all or none, closed without leaving a trace."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from warren_broker.server.settings import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKLOG: Final = 1024

PROBE_SECONDS: Final = 1.0
"""What another server gets to show that it is there."""


class ListenError(Exception):
    """The system does not let us listen there."""

    @classmethod
    def at(cls, where: object, error: OSError) -> ListenError:
        """Return the error for `where`: not every OSError has a `strerror`."""
        return cls(f"cannot listen on {where}: {error.strerror or error}")


@contextmanager
def open_tcp(address: Address) -> Iterator[list[socket.socket]]:
    """Listen on every IP address that `address.host` stands for.

    Raises ListenError. With port 0 all get the port that the first one was given.
    """
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        for family, host in _resolve(address):
            port = sockets[0].getsockname()[1] if sockets else address.port
            opened = _listen(family, (host, port), str(address))
            if opened is not None:
                sockets.append(stack.enter_context(opened))
        if not sockets:
            raise ListenError(f"cannot listen on {address}: no such address family")
        yield sockets


def bound_address(listening: socket.socket) -> Address:
    """Return where a TCP socket listens, its port as the system chose it."""
    host, port = listening.getsockname()[:2]
    return Address(host, port)


def _resolve(address: Address) -> list[tuple[int, str]]:
    """Return (family, IP address) pairs without duplicates."""
    try:
        found = socket.getaddrinfo(
            address.host,
            address.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except OSError as error:
        raise ListenError.at(address, error) from error
    return list(dict.fromkeys((int(item[0]), str(item[4][0])) for item in found))


def _listen(family: int, where: tuple[str, int], name: str) -> socket.socket | None:
    """Return a listening socket, None where the system lacks the family."""
    try:
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return None
        raise ListenError.at(name, error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(where)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ListenError.at(name, error) from error
    listening.setblocking(False)
    return listening


@contextmanager
def open_unix(path: str) -> Iterator[socket.socket]:
    """Listen on a socket file that only this user may open; remove it at the end.

    A socket nobody answers on is left over from a crash, and replaced. Raises
    ListenError when it is in use or when the path is something else.
    """
    _remove_stale(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        before = os.umask(0o177)
        try:
            listening.bind(path)
            listening.listen(BACKLOG)
        except OSError as error:
            raise ListenError.at(path, error) from error
        finally:
            os.umask(before)
        listening.setblocking(False)
        identity = _identity(path)
        try:
            yield listening
        finally:
            # Another server may have taken the path since; that file is not ours.
            if identity is not None and _identity(path) == identity:
                os.unlink(path)


def _remove_stale(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # bind will say what is wrong, if anything is
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"cannot listen on {path}: it exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except (BlockingIOError, TimeoutError):
            pass  # somebody listens, and is too busy to accept
        except OSError as error:
            raise ListenError.at(path, error) from error
    raise ListenError(f"cannot listen on {path}: another server is there")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino

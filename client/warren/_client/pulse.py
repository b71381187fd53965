"""Pulse: heartbeats that leave although our own loop stands still.

Heartbeats are sent by a task, and no task runs while a program's code does not await:
a long calculation, a blocking call. So beside each connection that has agreed on
heartbeats a thread looks whether anything was sent lately; if not, it writes one to the
socket itself. That is between two frames or not at all: it never writes while a send is
under way, and a heartbeat that the system takes only in part the next send completes.

Plain sockets only: what goes through TLS must go through the loop.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final, final

import trio

from warren.wire.constants import HEARTBEAT

if TYPE_CHECKING:
    from typing import Self

LATE_SHARE: Final = 0.75
"""Of the interval: the loop sends at half of it, so by now it is late."""

LOOKS: Final = 4
"""In an interval."""


@final
class Pulse:
    """The thread of one connection, in a `with` block."""

    def __init__(self, stream: socket.socket, interval_seconds: float) -> None:
        """`stream` is a duplicate for the thread, which closes it."""
        self._socket = stream
        self._interval = interval_seconds
        self._lock = Lock()  # held for no longer than a system call takes
        self._is_sending = False
        self._sent_at = time.monotonic()
        self._rest = b""
        self._stop = Event()
        self._thread = Thread(target=self._run, name="warren-pulse", daemon=True)

    @classmethod
    def beside(cls, stream: trio.abc.Stream, interval_seconds: float) -> Self | None:
        """Return one for a stream; None where it cannot be, or need not."""
        if not interval_seconds or not isinstance(stream, trio.SocketStream):
            return None
        return cls(socket.socket(fileno=_duplicate(stream)), interval_seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def begin(self) -> bytes:
        """A send begins. Return what must go first: the rest of a heartbeat."""
        with self._lock:
            self._is_sending = True
            rest, self._rest = self._rest, b""
            return rest

    def end(self) -> None:
        """The send is over."""
        with self._lock:
            self._is_sending = False
            self._sent_at = time.monotonic()

    def _run(self) -> None:
        while not self._stop.wait(self._interval / LOOKS):
            with self._lock:
                silence = time.monotonic() - self._sent_at
                if not self._is_sending and silence > self._interval * LATE_SHARE:
                    self._beat()

    def _beat(self) -> None:
        data = self._rest or HEARTBEAT
        with suppress(OSError):  # full, or gone: that is for the loop to find out
            self._rest = data[self._socket.send(data) :]
            self._sent_at = time.monotonic()


def _duplicate(stream: trio.SocketStream) -> int:
    with socket.fromfd(
        stream.socket.fileno(), stream.socket.family, stream.socket.type
    ) as made:
        made.setblocking(False)
        return made.detach()

"""Listening sockets: what is left behind by others, and by us."""

from __future__ import annotations

import errno
import socket
import stat
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from warren_broker.server.listening import (
    ListenError,
    bound_address,
    open_tcp,
    open_unix,
)
from warren_broker.server.settings import Address

if TYPE_CHECKING:
    from pathlib import Path


def test_port_0_is_one_port_on_every_address_of_the_name() -> None:
    with open_tcp(Address("localhost", 0)) as sockets:
        ports = {bound_address(listening).port for listening in sockets}
        assert len(ports) == 1
        assert ports != {0}
        for listening in sockets:
            with socket.socket(listening.family) as client:
                client.connect(listening.getsockname())


def test_a_port_in_use_says_so_and_leaves_nothing_open() -> None:
    with open_tcp(Address("127.0.0.1", 0)) as (listening,):
        address = bound_address(listening)
        with pytest.raises(ListenError, match=f"{address}: Address already in use"):
            open_tcp(address).__enter__()
    with open_tcp(address):
        pass


def test_an_unknown_name_says_so() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on no\.such\.invalid:1"):
        open_tcp(Address("no.such.invalid", 1)).__enter__()


def test_a_unix_socket_is_private_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "warren.sock"
    with open_unix(str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "warren.sock"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    assert path.exists()
    with open_unix(str(path)), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_unix_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "warren.sock"
    with open_unix(str(path)):
        with pytest.raises(ListenError, match="another server is there"):
            open_unix(str(path)).__enter__()
        assert path.exists()


def test_a_unix_socket_in_use_is_left_alone_when_its_backlog_is_full(
    tmp_path: Path,
) -> None:
    """A server that is too busy to accept is still a server."""
    path = tmp_path / "warren.sock"
    refusals: list[ListenError] = []

    def try_to_listen() -> None:
        with pytest.raises(ListenError) as refusal:
            open_unix(str(path)).__enter__()
        refusals.append(refusal.value)

    with ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(str(path))
        busy.listen(0)
        refusal = 0
        while not refusal:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            refusal = client.connect_ex(str(path))
        assert refusal == errno.EAGAIN
        attempt = threading.Thread(target=try_to_listen, daemon=True)
        attempt.start()
        attempt.join(10)
        assert [str(error) for error in refusals] == [
            f"cannot listen on {path}: another server is there"
        ]
        assert path.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("no/warren.sock", "No such file or directory"), ("x" * 200, "AF_UNIX path")],
)
def test_a_unix_path_that_cannot_be_bound_says_why(name: str, reason: str) -> None:
    path = f"/tmp/{name}"
    with pytest.raises(ListenError, match=f"cannot listen on {path}: {reason}"):
        open_unix(path).__enter__()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ListenError, match="not a socket"):
        open_unix(str(path)).__enter__()
    assert path.read_text() == "data"


def test_a_path_taken_over_by_another_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "warren.sock"
    with open_unix(str(path)):
        path.unlink()
        path.write_text("somebody else's")
    assert path.exists()

"""`warren serve` as an operator sees it: lines, signals, exit codes."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import COMMAND, EX_CONFIG, EX_USAGE, connect, run, serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_line_then_served_then_a_clean_end(number: signal.Signals) -> None:
    with serving("--memory-only") as (process, url):
        with connect(url) as client:
            client.sendall(b"AMQP\0\0\x09\x01")
            assert client.recv(1) == b"\x01"
            process.send_signal(number)
            output, _ = process.communicate(timeout=20)
        assert output == "", "the ready line is the only one"
        assert process.returncode == 0


def test_a_second_signal_does_not_wait_for_clients() -> None:
    with serving("--memory-only") as (process, url), connect(url) as client:
        handshake(client)
        process.terminate()
        client.recv(1)  # connection.close, which is not answered
        process.terminate()
        # The drain time alone is longer than this.
        assert process.wait(4) == 0


def handshake(client: socket.socket) -> None:
    """Open a connection with fixed bytes and without reading what is answered."""
    from warren.wire.frames import encode_method
    from warren.wire.methods import (
        ConnectionOpen,
        ConnectionStartOk,
        ConnectionTuneOk,
    )

    login = ConnectionStartOk(mechanism="PLAIN", response=b"\0guest\0guest")
    client.sendall(
        b"AMQP\0\0\x09\x01"
        + encode_method(0, login)
        + encode_method(0, ConnectionTuneOk(2047, 131_072, 0))
        + encode_method(0, ConnectionOpen("/"))
    )
    received = b""
    open_ok = bytes([0, 10, 0, 41])
    while open_ok not in received:
        received += client.recv(4096)


def banner(process: subprocess.Popen[str]) -> str:
    process.terminate()
    _, errors = process.communicate(timeout=20)
    return errors


def test_the_banner_says_what_an_operator_should_know() -> None:
    with serving() as (process, url):
        text = banner(process)
    assert url in text
    assert f"Python {sys.version.split()[0]}" in text
    assert "guest" in text
    assert "nothing survives a restart" in text


def test_the_banner_is_silent_on_what_was_asked_for() -> None:
    with serving("--memory-only") as (process, _):
        assert "survives" not in banner(process)


def test_the_banner_says_where_things_are_kept_and_how(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with serving("--data-dir", str(path), "--sync", "os") as (process, _):
        text = banner(process)
    assert f"durable things in {path}, sync os" in text
    assert "storage opened" in text
    assert "nothing survives" not in text


def test_a_directory_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    """Files that are no journal's must not be moved away: it may be anybody's home."""
    (tmp_path / "thesis.tex").write_text("years of work")
    failed = run("serve", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path))
    assert failed.returncode == EX_CONFIG
    assert "thesis.tex" in failed.stderr
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("options", "named"),
    [(("--sync", "never"), "storage.sync"), ((), "storage.data_dir")],
)
def test_a_data_directory_that_cannot_be_used(
    tmp_path: Path, options: tuple[str, ...], named: str
) -> None:
    path = tmp_path / "data"
    if not options:
        path.write_text("a file")
    failed = run("serve", "--listen", "127.0.0.1:0", "--data-dir", str(path), *options)
    assert failed.returncode == EX_CONFIG
    assert named in failed.stderr


def test_the_file_is_read_and_the_command_line_wins(tmp_path: Path) -> None:
    path = tmp_path / "warren.toml"
    path.write_text(
        '[listeners]\ntcp = ["256.0.0.1:1"]\n[storage]\nmemory_only = true\n'
    )
    with serving("--config", str(path)) as (process, _):
        assert "survives" not in banner(process)


def test_an_unknown_option_in_the_file_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "warren.toml"
    path.write_text("[limits]\nchannels = 3\n")
    done = run("serve", "--config", str(path))
    assert done.returncode == EX_CONFIG
    assert done.stderr == "warren: limits.channels: unknown option\n"
    assert done.stdout == ""


def test_a_certificate_that_is_missing_is_a_matter_of_configuration(
    tmp_path: Path,
) -> None:
    path = tmp_path / "warren.toml"
    path.write_text('[listeners]\ntls = ["127.0.0.1:0"]\n')
    done = run("serve", "--listen", "127.0.0.1:0", "--config", str(path))
    assert done.returncode == EX_CONFIG
    assert done.stderr.startswith("warren: tls.certificate: ")


def test_nowhere_to_listen_is_a_matter_of_configuration(tmp_path: Path) -> None:
    path = tmp_path / "warren.toml"
    path.write_text("[listeners]\ntcp = []\n")
    done = run("serve", "--config", str(path))
    assert done.returncode == EX_CONFIG
    assert done.stderr == "warren: listeners: nowhere to listen\n"


def test_a_port_in_use_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("serve", "--listen", address)
    assert done.returncode == 1
    assert (
        done.stderr == f"warren: cannot listen on {address}: Address already in use\n"
    )


def test_memory_only_and_a_directory_exclude_each_other() -> None:
    done = run("serve", "--memory-only", "--data-dir", "x")
    assert done.returncode == EX_USAGE


def test_standard_error_may_be_closed() -> None:
    command = shlex.join([*COMMAND, "serve", "--listen", "127.0.0.1:0"])
    shell = subprocess.Popen(
        ["sh", "-c", f"exec {command} 2>&-"], stdout=subprocess.PIPE, text=True
    )
    with shell:
        assert shell.stdout is not None
        url = shell.stdout.readline().split()[1]
        with connect(url) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")  # is worth a line in the log
            assert client.recv(8) == b"AMQP\0\0\x09\x01"
        shell.terminate()
        assert shell.wait(20) == 0


def test_nothing_heavy_is_imported_before_it_is_ready() -> None:
    code = "import sys, warren_broker.cli.serve; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"structlog", "rich", "starlette", "hypercorn", "asyncio", "cbor2"}
    assert not heavy & set(done.stdout.split())


def test_version_and_commands() -> None:
    assert run("--version").stdout.startswith("warren ")
    assert "serve" in run("--help").stdout
    assert run("no-such-command").returncode == EX_USAGE

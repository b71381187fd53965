"""A disk that breaks and a disk that is full, in a process of their own."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pika
import pytest
from pika.exceptions import AMQPConnectionError, AMQPError, NackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pika.adapters.blocking_connection import BlockingChannel

# What the system says of a disk that breaks when the file in argv[1] appears.
BREAKABLE = """
import errno, os, sys
flag = sys.argv.pop(1)
def breakable(sync):
    def synced(descriptor):
        if os.path.exists(flag):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)
    return synced
os.fsync, os.fdatasync = map(breakable, (os.fsync, os.fdatasync))
from warren_broker.cli import main
main()
"""
# The system lets no file grow over argv[1] bytes: writes fail with EFBIG.
NARROW = """
import resource, sys
resource.setrlimit(
    resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY)
)
from warren_broker.cli import main
main()
"""
PLAIN = "from warren_broker.cli import main; main()"
NARROW_BYTES = 200_000
BODY_SIZE = 10_000
ROOMY = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
PERSISTENT = pika.BasicProperties(delivery_mode=2)


@contextmanager
def broker(
    script: str, data_dir: Path, *first: object
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`script` as a broker that keeps what is durable in `data_dir`."""
    config = data_dir.with_suffix(".toml")
    config.write_text("[limits]\npublish_block_deadline_ms = 200\n")
    command = [sys.executable, "-c", script, *map(str, first), "serve"]
    options = ["--listen", "127.0.0.1:0", "--config", str(config)]
    process = subprocess.Popen(
        [*command, *options, "--data-dir", str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            _, _, url = process.stdout.readline().strip().partition(" ")
            assert url, process.stderr and process.stderr.read()
            yield process, url
        finally:
            process.kill()


@contextmanager
def confirming(url: str) -> Iterator[BlockingChannel]:
    """A channel with confirms, and the durable queue `q`."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.confirm_delivery()
        yield channel
    finally:
        with suppress(AMQPError):  # the broker may be gone
            connection.close()


def bodies(channel: BlockingChannel) -> list[bytes]:
    found = []
    while (got := channel.basic_get("q", auto_ack=True))[0] is not None:
        found.append(got[2])
    return found


def test_a_disk_that_breaks_ends_the_broker_and_confirms_nothing(
    tmp_path: Path,
) -> None:
    data_dir, flag = tmp_path / "data", tmp_path / "flag"
    with (
        broker(BREAKABLE, data_dir, flag) as (process, url),
        confirming(url) as channel,
    ):
        channel.basic_publish("", "q", b"safe", PERSISTENT)
        flag.touch()
        broken_at = time.monotonic()
        with pytest.raises(AMQPConnectionError):
            channel.basic_publish("", "q", b"nobody knows", PERSISTENT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 1
        assert time.monotonic() - broken_at < 5.0  # a second, on a machine of its own
    assert "warren: journal: [Errno 5] Input/output error\n" in errors
    assert "journal failed" in errors
    assert "Traceback" not in errors
    with broker(PLAIN, data_dir) as (_, url), confirming(url) as channel:
        assert bodies(channel)[:1] == [b"safe"]


def fill(channel: BlockingChannel) -> list[bytes]:
    """Publish until a message is refused; return what was confirmed."""
    confirmed: list[bytes] = []
    while True:
        body = b"%d" % len(confirmed) + b"." * BODY_SIZE
        try:
            channel.basic_publish("", "q", body, PERSISTENT)
        except NackError:
            return confirmed
        confirmed.append(body)
        assert len(confirmed) * BODY_SIZE < 2 * NARROW_BYTES, "there is no limit"


def test_a_full_disk_refuses_publishers_and_loses_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with broker(NARROW, data_dir, NARROW_BYTES) as (process, url):
        with confirming(url) as channel:
            confirmed = fill(channel)
            assert confirmed
            with pytest.raises(NackError):
                channel.basic_publish("", "q", b"refused", PERSISTENT)
            got, _, first = channel.basic_get("q")
            assert first == confirmed[0], "who consumes is served"
            channel.basic_nack(got.delivery_tag)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, ROOMY)
            publish_when_possible(channel, b"room")
            channel.basic_publish("", "q", b"more room", PERSISTENT)
        process.kill()
        assert process.stderr is not None
        errors = process.stderr.read()
        assert "disk alarm on" in errors
        assert "disk alarm off" in errors
    with broker(PLAIN, data_dir) as (_, url), confirming(url) as channel:
        found = bodies(channel)
    assert found[: len(confirmed)] == confirmed
    assert found[-2:] == [b"room", b"more room"]
    assert b"refused" not in found


def publish_when_possible(channel: BlockingChannel, body: bytes) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            channel.basic_publish("", "q", body, PERSISTENT)
        except NackError:
            channel.connection.process_data_events(time_limit=0.05)
        else:
            return
    raise AssertionError("the broker did not go on")


def test_a_stop_on_a_full_disk_says_that_it_was_not_clean(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with broker(NARROW, data_dir, NARROW_BYTES) as (process, url):
        with confirming(url) as channel:
            confirmed = fill(channel)
            process.terminate()
            _, errors = process.communicate(timeout=20)
        assert process.returncode == 1
    assert "warren: journal: not ended cleanly: " in errors
    assert "Traceback" not in errors
    with broker(PLAIN, data_dir) as (_, url), confirming(url) as channel:
        assert bodies(channel)[: len(confirmed)] == confirmed

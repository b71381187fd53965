"""`warren repair`, `export` and `import`, as an operator in need runs them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pika
import pytest

from tests.cli.commands import EX_USAGE, run, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pika.adapters.blocking_connection import BlockingChannel

PERSISTENT = pika.BasicProperties(delivery_mode=2, headers={"n": 1})
COUNT = 20


@contextmanager
def channel_to(data_dir: Path, *, cleanly: bool = True) -> Iterator[BlockingChannel]:
    """A broker with `data_dir`, and a channel; it is stopped, or killed, at the end."""
    with serving("--data-dir", str(data_dir)) as (process, url):
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
        if cleanly:
            process.terminate()
            process.communicate(timeout=20)
            assert process.returncode == 0


def fill(data_dir: Path, *, cleanly: bool = True) -> None:
    with channel_to(data_dir, cleanly=cleanly) as channel:
        channel.exchange_declare("x", "topic", durable=True)
        channel.queue_declare("q", durable=True, arguments={"x-max-priority": 3})
        channel.queue_bind("q", "x", "#")
        for number in range(COUNT):
            channel.basic_publish("x", "k", b"message %d" % number, PERSISTENT)
        got, _, _ = channel.basic_get("q")
        channel.basic_ack(got.delivery_tag)
        channel.basic_publish("x", "k", b"last", PERSISTENT)


EXPECTED = [b"message %d" % number for number in range(1, COUNT)] + [b"last"]


def contents(channel: BlockingChannel) -> tuple[list[bytes], set[bool]]:
    """Take everything: bodies, and the values of the redelivered flag."""
    bodies, flags = [], set()
    while (got := channel.basic_get("q", auto_ack=True))[0] is not None:
        bodies.append(got[2])
        flags.add(got[0].redelivered)
    return bodies, flags


@pytest.mark.parametrize("cleanly", [True, False])
def test_a_data_directory_moves_in_one_file(tmp_path: Path, cleanly: bool) -> None:
    old, file, new = (str(tmp_path / name) for name in ("old", "file", "new"))
    fill(tmp_path / "old", cleanly=cleanly)
    done = run("export", old, file)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{COUNT} messages" in done.stdout
    done = run("import", file, new)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{COUNT} messages" in done.stdout
    with channel_to(tmp_path / "new") as channel:
        assert contents(channel) == (EXPECTED, {not cleanly})
        channel.basic_publish("x", "k", b"bound", PERSISTENT)
        assert contents(channel) == ([b"bound"], {False})
    with channel_to(tmp_path / "old") as channel:
        assert contents(channel) == (EXPECTED, {not cleanly})


def test_not_while_a_broker_runs(tmp_path: Path) -> None:
    data_dir = str(tmp_path / "data")
    with channel_to(tmp_path / "data") as channel:
        channel.queue_declare("q", durable=True)
        for command in (("repair", data_dir), ("export", data_dir, "file")):
            done = run(*command)
            assert done.returncode == 1
            assert done.stderr.startswith("warren: ")
            assert "in use" in done.stderr
            assert done.stderr.count("\n") == 1


def test_nothing_to_repair(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    done = run("repair", str(tmp_path / "data"))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{COUNT + 1} messages of any age; 0 records are lost" in done.stdout


def test_what_is_damaged_is_set_aside_and_the_rest_is_kept(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    fill(data_dir)
    with channel_to(data_dir) as channel:  # a second segment: the first is not the last
        channel.basic_publish("x", "k", b"later", PERSISTENT)
    segment = data_dir / "journal" / "00000001.log"
    data = segment.read_bytes()
    damaged = data.replace(b"message 10", b"message ??")
    segment.write_bytes(damaged)
    done = run("repair", str(data_dir))
    assert (done.returncode, done.stderr) == (0, "")
    assert "repaired: journal/00000001.log at byte " in done.stdout
    assert "1 records are lost" in done.stdout
    (aside,) = (data_dir / "quarantine").iterdir()
    assert f"set aside: quarantine/{aside.name}\n" in done.stdout
    assert aside.read_bytes() == damaged
    again = run("repair", str(data_dir))
    assert (again.returncode, again.stdout.count("\n")) == (0, 1)
    with channel_to(data_dir) as channel:
        bodies, _ = contents(channel)
    assert bodies == [each for each in [*EXPECTED, b"later"] if each != b"message 10"]


def test_damage_is_said_until_it_is_repaired(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    fill(data_dir)
    assert run("check", str(data_dir)).stdout.endswith("\nwhole\n")
    with channel_to(data_dir):  # a second segment: the first is not the last
        pass
    segment = data_dir / "journal" / "00000001.log"
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b"message 10", b"message ??"))
    done = run("check", str(data_dir))
    assert (done.returncode, done.stderr) == (1, "")
    assert "damaged: journal/00000001.log at byte " in done.stdout
    for _ in range(2):
        with serving("--data-dir", str(data_dir)) as (process, url):
            with pika.BlockingConnection(pika.URLParameters(url)) as connection:
                got, _, _ = connection.channel().basic_get("q")
                assert got.redelivered
            done = run("check", str(data_dir))
            assert done.returncode == 1
            assert "noted since the last repair: journal/00000001.log" in done.stdout
            process.terminate()
            _, log = process.communicate(timeout=20)
        assert "  DAMAGED in 1 places, confirmed data may be lost" in log
        assert "data damaged" in log
    assert run("repair", str(data_dir)).returncode == 0
    assert run("check", str(data_dir)).returncode == 0
    with serving("--data-dir", str(data_dir)) as (process, _):
        process.terminate()
        assert "damaged" not in process.communicate(timeout=20)[1].lower()


@pytest.mark.parametrize("command", [("repair",), ("export", "FILE")])
def test_a_directory_that_is_none(command: tuple[str, ...], tmp_path: Path) -> None:
    name, *more = command
    path = tmp_path / "missing"
    done = run(name, str(path), *(str(tmp_path / each) for each in more))
    assert done.returncode == 1
    assert done.stderr == f"warren: {path} is no data directory\n"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("hello")
    done = run("import", str(file), str(tmp_path / "new"))
    assert done.returncode == 1
    assert done.stderr == "warren: this is no file of warren export\n"
    assert run("import", str(file)).returncode == EX_USAGE
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_damage_of_a_stream_is_found_and_told_by_its_name(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with channel_to(data_dir, cleanly=False) as channel:
        arguments = {"x-queue-type": "stream"}
        channel.queue_declare("events", durable=True, arguments=arguments)
        for number in range(COUNT):
            channel.basic_publish("", "events", b"record %d" % number)
    assert f" {COUNT} records of streams\n" in run("check", str(data_dir)).stdout
    (segment,) = (data_dir / "streams").glob("*.segment")
    segment.write_bytes(segment.read_bytes().replace(b"record 7", b"record ?"))
    done = run("check", str(data_dir))
    assert done.returncode == 1
    assert f"damaged: streams/{segment.name} at byte " in done.stdout
    assert "offsets 7 to 7 are lost" in done.stdout
    with serving("--data-dir", str(data_dir)) as (process, _):
        process.terminate()
        log = process.communicate(timeout=20)[1]
    assert "offsets 7 to 7 are lost" in log
    assert "queue 'events' in vhost '/'" in log

"""`warren definitions`, and a broker that begins with a definitions file."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError

from tests.cli.commands import EX_CONFIG, run, serving

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel

EXPORTED: Final = Path(__file__).parents[1] / "management" / "rabbitmq.json"
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def open_channel(url: str, user: str, password: str, vhost: str) -> BlockingChannel:
    host = pika.URLParameters(url)
    parameters = pika.ConnectionParameters(
        host.host, host.port, vhost, pika.PlainCredentials(user, password)
    )
    return pika.BlockingConnection(parameters).channel()


def moved_in(url: str) -> None:
    """It is as the document says."""
    channel = open_channel(url, "orders", "test12", "shop")
    channel.confirm_delivery()
    channel.queue_declare("orders", passive=True)
    with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
        channel.queue_declare("new")
    channel.connection.close()
    with pytest.raises(ProbableAuthenticationError):
        open_channel(url, "guest", "guest", "/")


def test_a_team_moves_in_from_rabbitmq(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    done = run("definitions", "import", str(EXPORTED), str(data_dir))
    assert (done.returncode, done.stderr) == (0, "")
    assert "ignored: vhosts: the key 'metadata' means nothing here" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("imported 2 vhosts, 2 users, ")
    for _ in range(2):
        with serving("--data-dir", str(data_dir)) as (process, url):
            moved_in(url)
            process.terminate()
            assert process.wait(20) == 0


def test_what_is_exported_can_be_imported(tmp_path: Path) -> None:
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    file = tmp_path / "file.json"
    assert run("definitions", "import", str(EXPORTED), first).returncode == 0
    done = run("definitions", "export", first, str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run("definitions", "import", str(file), second).returncode == 0
    again = run("definitions", "export", second)
    assert json.loads(again.stdout) == json.loads(file.read_text())
    assert run("definitions", "export", first, str(file)).returncode == 1, "not new"


def test_messages_stay_and_moves_of_a_directory_carry_everything(
    tmp_path: Path,
) -> None:
    old, new, file = (str(tmp_path / name) for name in ("old", "new", "file"))
    with serving("--data-dir", old) as (process, url):
        channel = open_channel(url, "guest", "guest", "/")
        channel.confirm_delivery()
        channel.queue_declare("mine", durable=True)
        channel.basic_publish("", "mine", b"precious", PERSISTENT)
        channel.connection.close()
        process.terminate()
        assert process.wait(20) == 0
    assert run("definitions", "import", str(EXPORTED), old).returncode == 0
    document = json.loads(run("definitions", "export", old).stdout)
    assert {each["name"] for each in document["queues"]} >= {"mine", "orders"}
    document["users"] = [
        {"name": "a", "password": "b", "tags": ["administrator"]},
    ]
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    document["permissions"] = [{"user": "a", "vhost": "/", **everything}]
    more = tmp_path / "more.json"
    more.write_text(json.dumps(document))
    assert run("definitions", "import", str(more), old).returncode == 0
    assert run("export", old, file).returncode == 0
    assert run("import", file, new).returncode == 0
    with serving("--data-dir", new) as (_, url):
        moved_in(url)
        channel = open_channel(url, "a", "b", "/")
        method, _, body = channel.basic_get("mine", auto_ack=True)
        assert (body, method.redelivered) == (b"precious", False)
        channel.connection.close()


def test_a_file_with_a_problem_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    data_dir = tmp_path / "data"
    broken = {"vhosts": [{"name": "v"}], "queues": [{"name": "q", "vhost": "no"}]}
    file.write_text(json.dumps(broken))
    done = run("definitions", "import", str(file), str(data_dir))
    assert done.returncode == 1
    assert done.stderr == "warren: queues[0]: there is no vhost 'no'\n"
    assert not data_dir.exists()
    assert run("definitions", "import", str(EXPORTED), str(data_dir)).returncode == 0
    before = run("definitions", "export", str(data_dir)).stdout
    assert run("definitions", "import", str(file), str(data_dir)).returncode == 1
    assert run("definitions", "export", str(data_dir)).stdout == before


# Serve


@pytest.mark.parametrize("where", ["option", "configuration"])
def test_a_new_broker_begins_with_a_file(tmp_path: Path, where: str) -> None:
    options = ["--data-dir", str(tmp_path / "data")]
    if where == "option":
        options += ["--definitions", str(EXPORTED)]
    else:
        path = tmp_path / "warren.toml"
        path.write_text(f"[definitions]\nfile = '{EXPORTED}'\n")
        options += ["--config", str(path)]
    for is_new in (True, False):
        with serving(*options) as (process, url):
            moved_in(url)
            if is_new:
                channel = open_channel(url, "orders", "test12", "shop")
                channel.connection.close()
            process.terminate()
            _, log = process.communicate(timeout=20)
            assert process.returncode == 0
        assert ("definitions loaded" in log) == is_new


def test_a_broker_in_memory_begins_with_a_file_each_time() -> None:
    with serving("--memory-only", "--definitions", str(EXPORTED)) as (_, url):
        moved_in(url)


def test_the_configuration_file_wins_over_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "warren.toml"
    path.write_text(
        "[[auth.users]]\nname = 'orders'\npassword = 'other'\n"
        "[[auth.users.permissions]]\nvhost = 'shop'\n"
    )
    options = ("--data-dir", str(tmp_path / "data"), "--config", str(path))
    with serving(*options, "--definitions", str(EXPORTED)) as (process, url):
        channel = open_channel(url, "orders", "other", "shop")
        channel.queue_declare("new")
        channel.connection.close()
        with pytest.raises(ProbableAuthenticationError):
            open_channel(url, "orders", "test12", "shop")
        process.terminate()
        _, log = process.communicate(timeout=20)
        assert "the configuration file wins" in log
    with serving("--data-dir", str(tmp_path / "data")) as (_, url):
        moved_in(url)


@pytest.mark.parametrize("content", [None, "[]", '{"queues": [{"name": 3}]}'])
def test_a_file_that_cannot_be_loaded(tmp_path: Path, content: str | None) -> None:
    file, data_dir = tmp_path / "file.json", tmp_path / "data"
    if content is not None:
        file.write_text(content)
    options = ("--listen", "127.0.0.1:0", "--data-dir", str(data_dir))
    done = run("serve", *options, "--definitions", str(file))
    assert done.returncode == EX_CONFIG
    assert done.stderr.splitlines()[-1].startswith(f"warren: definitions.file {file}: ")
    with serving(*options[2:], "--definitions", str(EXPORTED)) as (_, url):
        moved_in(url)

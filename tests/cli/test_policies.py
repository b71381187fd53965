"""Policies of the configuration file: at the start, and while traffic flows."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import trio

from tests.cli.commands import EX_CONFIG, run, serving
from warren._client.connect import connect
from warren_broker.config import Config, ConfigError, load_config
from warren_broker.core.broker import Broker
from warren_broker.core.limits import Limits
from warren_broker.core.policy import Policy
from warren_broker.server.configured import read_configured
from warren_broker.server.settings import SettingsError

if TYPE_CHECKING:
    import subprocess

    from warren_broker.core.administration import Changes
    from warren_broker.core.store import Key

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "policies.md"
LIMITED: Final = """
[[policies]]
name = "limit"
pattern = "^orders"
definition = { max-length = %d }
"""


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "warren.toml"
    path.write_text(text)
    return load_config(str(path), {})


def complaint(tmp_path: Path, text: str, broker: Broker | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        read_configured(load(tmp_path, text)).apply(broker or Broker())
    return str(caught.value)


# What is read


def test_the_example_of_the_documentation_is_understood(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    config = load(tmp_path, example)
    broker = Broker()
    changes = read_configured(config).apply(broker)
    assert len(changes.added) == 3 + len(config.auth.vhosts)
    vhost = broker.vhosts["/"]
    queue = vhost.add_queue(
        "orders.eu", durable=False, auto_delete=False, owner=None, arguments={}
    )
    rules = queue.rules
    assert (rules.max_length, rules.max_length_bytes) == (10_000, 2**30)
    assert config.compat.redeclare_mode == "strict"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "name = 'p'\npattern = '.*'\ndefinition = { foo = 1 }",
            "policy 'p' in vhost '/': [{<<\"foo\">>,1}] are not recognised policy"
            " settings",
        ),
        (
            "name = 'p'\npattern = '('\ndefinition = { expires = 1 }",
            "policy 'p' in vhost '/': the pattern is no regular expression: missing ),"
            " unterminated subpattern at position 0",
        ),
        (
            "name = 'p'\nvhost = 'v'\npattern = ''\ndefinition = { expires = 1 }",
            "policy 'p' in vhost 'v': there is no such vhost",
        ),
        (LIMITED % 1 + LIMITED % 2, "policy 'limit' in vhost '/': it is there twice"),
        ("name = 'p'", "policies[0]: "),
        (
            "name = 'p'\npattern = ''\ndefinition = 3",
            "policies[0].definition: must be a table",
        ),
        (
            "name = 'p'\npattern = ''\ndefinition = {}\npriority = 'high'",
            "policies[0].priority: must be a whole number, not 'high'",
        ),
    ],
)
def test_what_cannot_be_names_its_place(
    tmp_path: Path, text: str, expected: str
) -> None:
    found = complaint(tmp_path, text if "[[" in text else f"[[policies]]\n{text}")
    assert found.startswith(expected)


def test_an_operator_policy_is_called_so(tmp_path: Path) -> None:
    text = LIMITED.replace("policies", "operator_policies") % -1
    assert complaint(tmp_path, text) == (
        "operator policy 'limit' in vhost '/': -1 is not a valid maximum length"
    )


def test_a_file_of_brackets_is_refused_like_any_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"warren\.toml: "):
        load(tmp_path, "a = " + "[" * 100_000)


@pytest.mark.parametrize("text", ["never", ""])
def test_a_redeclare_mode_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"compat: .*redeclare_mode"):
        load_config(None, {"WARREN_COMPAT_REDECLARE_MODE": text})


# What is applied


def keys(*names: str) -> tuple[Key, ...]:
    return tuple(("policy", "/", name) for name in names)


def policy(name: str, limit: int = 1) -> str:
    return (LIMITED % limit).replace("limit", name)


def test_another_file_sets_changes_and_deletes(tmp_path: Path) -> None:
    broker = Broker()

    def apply(text: str) -> Changes:
        return read_configured(load(tmp_path, text)).apply(broker)

    apply(policy("a") + policy("b"))
    changes = apply(policy("b", 2) + policy("c"))
    assert (changes.added, changes.changed, changes.removed) == (
        keys("c"),
        keys("b"),
        keys("a"),
    )
    changes = apply(policy("b", 2) + policy("c"))
    assert (changes.added, changes.changed, changes.removed) == ((), (), ())
    names = [each.name for each in broker.vhosts["/"].policies.table()]
    assert names == ["b", "c"]


def test_policies_of_others_stay_and_count(tmp_path: Path) -> None:
    broker = Broker(Limits(policies_max=2))
    policies = broker.vhosts["/"].policies
    read_configured(load(tmp_path, policy("mine"))).apply(broker)
    other = Policy.parse("other", "", {"max-length": 1})
    broker.administration.set_policy("/", other)
    two = read_configured(load(tmp_path, policy("a") + policy("b")))
    with pytest.raises(SettingsError, match=r"limit \(2\) in vhost '/' is reached: 3"):
        two.apply(broker)
    assert [each.name for each in policies.table()] == ["mine", "other"]
    read_configured(load(tmp_path, "")).apply(broker)
    assert [each.name for each in policies.table()] == ["other"]


# A process


def test_a_server_does_not_start_with_a_policy_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "warren.toml"
    path.write_text(LIMITED % -1)
    done = run("serve", "--listen", "127.0.0.1:0", "--config", str(path))
    assert done.returncode == EX_CONFIG
    assert done.stdout == ""
    assert done.stderr == (
        "warren: policy 'limit' in vhost '/': -1 is not a valid maximum length\n"
    )


async def next_event(process: subprocess.Popen[str], *names: str) -> dict[str, object]:
    """Read the log until one of the events `names` comes."""
    assert process.stderr is not None
    while True:
        line = await trio.to_thread.run_sync(process.stderr.readline)
        assert line, "the server has ended"
        if line.startswith("{"):
            event: dict[str, object] = json.loads(line)
            if event["event"] in names:
                return event


async def change_while_messages_flow(
    process: subprocess.Popen[str], url: str, path: Path
) -> None:
    async def publish_for_ever() -> None:
        while True:
            await channel.publish(b"x", routing_key="orders")

    async def reload(text: str, *events: str) -> dict[str, object]:
        await trio.to_thread.run_sync(path.write_text, text)
        process.send_signal(signal.SIGHUP)
        return await next_event(process, *events)

    async with connect(url) as connection, connection.channel() as channel:
        await channel.declare_queue("orders")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish_for_ever)
            event = await reload(LIMITED % 2, "configuration reloaded")
            assert event["changed"] == ["policy 'limit' in vhost '/'"]
            assert event["needs_restart"] == ["limits", "log"]
            await next_event(process, "policies applied")
            nursery.cancel_scope.cancel()
        await channel.publish(b"x", routing_key="orders")
        assert (await channel.declare_queue("orders")).message_count == 2

        event = await reload("[[policies]]", "configuration refused")
        assert event["level"] == "error"
        assert str(event["reason"]).startswith("policies[0]: ")
        await channel.publish(b"x", routing_key="orders")
        assert (await channel.declare_queue("orders")).message_count == 2

        event = await reload("", "configuration reloaded")
        assert event["removed"] == ["policy 'limit' in vhost '/'"]
        await next_event(process, "policies applied")
        await channel.publish(b"x", routing_key="orders")
        assert (await channel.declare_queue("orders")).message_count == 3


def test_sighup_applies_the_policies_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "warren.toml"
    path.write_text(LIMITED % 5 + "[limits]\nchannel_max = 7\n[log]\nlevel = 'debug'\n")
    with serving("--config", str(path), "--log-format", "json") as (process, url):
        trio.run(change_while_messages_flow, process, url, path)
        process.terminate()
        assert process.wait(20) == 0


def test_without_a_file_a_hangup_ends_it() -> None:
    with serving() as (process, _):
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == -signal.SIGHUP

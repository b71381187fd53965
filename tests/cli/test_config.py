"""Config: three layers, one meaning, and errors that name the place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from warren_broker.config import Config, ConfigError, load_config
from warren_broker.server.settings import Address

if TYPE_CHECKING:
    from pathlib import Path

NOTHING: dict[str, str] = {}

EVERYTHING = """
[listeners]
tcp = ["127.0.0.1:5672", "[::1]:5672"]
tls = ["127.0.0.1:5671"]
unix_socket = "/run/warren.sock"

[tls]
certificate = "server.pem"
client_ca = "ca.pem"
minimum_version = "1.3"

[limits]
channel_max = 100
handshake_seconds = 3

[memory]
limit_ratio = 0.5

[auth]
vhosts = ["/", "orders"]

[[auth.users]]
name = "alice"
password = "secret"
tags = ["administrator"]
permissions = [{ vhost = "orders", write = "^orders" }]

[compat]
product = "RabbitMQ"
version = "3.13.0"

[log]
level = "debug"
format = "json"
"""


def load(tmp_path: Path, text: str, **environment: str) -> Config:
    path = tmp_path / "warren.toml"
    path.write_text(text)
    return load_config(str(path), environment)


def test_without_anything_it_is_the_defaults() -> None:
    assert load_config(None, NOTHING) == Config()


def test_every_section_is_understood(tmp_path: Path) -> None:
    config = load(tmp_path, EVERYTHING)
    assert config.listeners.tcp == (Address("127.0.0.1", 5672), Address("::1", 5672))
    assert config.listeners.unix_socket == "/run/warren.sock"
    assert config.tls.minimum_version == "1.3"
    assert config.limits.channel_max == 100
    assert config.limits.handshake_seconds == 3.0
    assert config.memory.limit_ratio == 0.5
    (alice,) = config.auth.users
    assert alice.permissions[0].write == "^orders"
    assert alice.permissions[0].read == ".*"
    assert config.compat.product == "RabbitMQ"
    assert config.log.level == "debug"


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(load(tmp_path, EVERYTHING))


def test_command_line_beats_environment_beats_file(tmp_path: Path) -> None:
    path = tmp_path / "warren.toml"
    path.write_text(
        '[log]\nlevel = "error"\nformat = "json"\n[limits]\nqueues_max = 7\n'
    )
    environment = {"WARREN_LOG_LEVEL": "debug", "WARREN_LOG_FORMAT": "console"}
    config = load_config(str(path), environment, {"log": {"level": "warning"}})
    assert config.log.level == "warning"
    assert config.log.format == "console"
    assert config.limits.queues_max == 7


def test_the_environment_is_read_by_the_type_of_the_option() -> None:
    config = load_config(
        None,
        {
            "WARREN_LISTENERS_TCP": "127.0.0.1:1, [::1]:2",
            "WARREN_LIMITS_CHANNEL_MAX": "9",
            "WARREN_MEMORY_LIMIT_RATIO": "0.25",
            "WARREN_STORAGE_MEMORY_ONLY": "yes",
            "WARREN_AUTH_VHOSTS": "/,orders",
            "UNRELATED": "x",
        },
    )
    assert config.listeners.tcp == (Address("127.0.0.1", 1), Address("::1", 2))
    assert config.limits.channel_max == 9
    assert config.memory.limit_ratio == 0.25
    assert config.storage.memory_only is True
    assert config.auth.vhosts == ("/", "orders")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[nonsense]", "nonsense: unknown option"),
        ("[limits]\nchannels = 1", "limits.channels: unknown option"),
        ("limits = 3", "limits: must be a table"),
        ('[limits]\nchannel_max = "9"', "limits.channel_max: must be a whole number"),
        ("[limits]\nchannel_max = true", "limits.channel_max: must be a whole number"),
        ("[limits]\nchannel_max = 70000", "limits: .*channel_max"),
        ("[memory]\nlimit_ratio = 2", "memory: .*limit_ratio"),
        ('[listeners]\ntcp = "a:1"', "listeners.tcp: must be a list"),
        ('[listeners]\ntcp = ["localhost"]', r"listeners.tcp\[0\]: .*not HOST:PORT"),
        ('[listeners]\ntcp = ["a:1", "::1:5"]', r"listeners.tcp\[1\]: .*IPv6"),
        ('[listeners]\ntcp = ["a:70000"]', r"listeners.tcp\[0\]: .*port"),
        ('[log]\nlevel = "loud"', "log: .*level"),
        ("[[auth.users]]\nnam = 'x'", r"auth.users\[0\].nam: unknown option"),
        ("[[auth.users]]\ntags = []", r"auth.users\[0\]: .*name"),
        ("[log", "warren.toml: "),
    ],
)
def test_what_cannot_be_names_its_place(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("WARREN_LIMITS_CHANNEL_MAX", "many", "limits.channel_max: 'many' is not a"),
        ("WARREN_STORAGE_MEMORY_ONLY", "maybe", "storage.memory_only: 'maybe' is not"),
        ("WARREN_STORAGE_FREE_BYTES_MIN", "-1", "storage: 'free_bytes_min' must be"),
        ("WARREN_LISTENERS_TCP", "x", r"listeners.tcp\[0\]: 'x' is not HOST:PORT"),
    ],
)
def test_what_cannot_be_in_the_environment(
    variable: str, value: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_config(None, {variable: value})


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    path = tmp_path / "missing.toml"
    with pytest.raises(ConfigError, match=r"missing\.toml: No such file"):
        load_config(str(path), NOTHING)

"""Limits: RabbitMQ's numbers by default, and nothing impossible."""

from __future__ import annotations

import attrs
import pytest

from warren_broker.core.limits import Limits


def test_defaults() -> None:
    limits = Limits()
    assert (limits.frame_size_max, limits.channel_max) == (131_072, 2047)
    assert limits.heartbeat_seconds == 60
    assert limits.message_size_max_bytes == 128 * 1024 * 1024
    assert limits.ack_timeout_ms == 30 * 60 * 1000


@pytest.mark.parametrize("name", [each.name for each in attrs.fields(Limits)])
def test_no_limit_is_negative(name: str) -> None:
    with pytest.raises(ValueError, match="-1"):
        attrs.evolve(Limits(), **{name: -1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frame_size_max", 4095),
        ("channel_max", 65_536),
        ("heartbeat_seconds", 65_536),
        ("message_size_max_bytes", 512 * 1024 * 1024 + 1),
        ("queues_max", 0),
    ],
)
def test_what_the_protocol_cannot_carry_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=str(value)):
        attrs.evolve(Limits(), **{name: value})


def test_a_limit_is_a_number() -> None:
    with pytest.raises(TypeError):
        Limits(queues_max="many")  # type: ignore[arg-type]

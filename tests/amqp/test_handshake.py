"""From the protocol header to connection.open-ok, as bytes."""

from __future__ import annotations

from typing import Final

import pytest

from tests.pairs import GUEST, World, byte_by_byte, random_cuts, whole
from warren.wire.constants import PROTOCOL_HEADER, PROTOCOL_HEADER_ALTERNATE
from warren.wire.frames import encode_method
from warren.wire.methods import (
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    QueueDeclare,
)
from warren.wire.table import encode_table
from warren_broker.amqp.handshake import CAPABILITIES, State
from warren_broker.core.access import Access, PasswordHash, Permissions
from warren_broker.core.limits import Limits

HANDSHAKE_SECONDS: Final = 10.0
MOMENT: Final = 0.001
NOTHING: Final = Permissions(configure="^$", write="^$", read="^$")
EVERYTHING: Final = Permissions(configure=".*", write=".*", read=".*")


@pytest.mark.parametrize("header", [PROTOCOL_HEADER, PROTOCOL_HEADER_ALTERNATE])
@pytest.mark.parametrize("cut", [whole, byte_by_byte, random_cuts(3)])
def test_the_server_starts(header: bytes, cut: object) -> None:
    client = World().connect(cut)  # type: ignore[arg-type]
    client.send_raw(header)
    (start,) = client.methods()
    assert isinstance(start, ConnectionStart)
    assert (start.version_major, start.version_minor) == (0, 9)
    assert start.mechanisms == b"PLAIN AMQPLAIN"
    assert start.locales == b"en_US"
    assert start.server_properties["product"] == "Warren"
    assert start.server_properties["capabilities"] == dict.fromkeys(CAPABILITIES, True)


@pytest.mark.parametrize("position", range(8))
@pytest.mark.parametrize("byte", [0x00, 0x41, 0xFF])
def test_any_other_header_is_answered_with_the_right_one(
    position: int, byte: int
) -> None:
    header = bytearray(PROTOCOL_HEADER)
    if header[position] == byte:
        byte += 1
    header[position] = byte
    client = World().connect()
    client.send_raw(bytes(header))
    client.arrivals()
    assert client.raw == PROTOCOL_HEADER
    assert client.closed


def test_the_server_proposes_its_limits() -> None:
    limits = Limits(channel_max=7, frame_size_max=9000, heartbeat_seconds=12)
    client = World(limits).connect()
    client.send_raw(PROTOCOL_HEADER)
    client.arrivals()
    tune = client.ask(ConnectionStartOk(response=GUEST), channel=0)
    assert tune == ConnectionTune(7, 9000, 12)


def test_all_of_it_in_one_go() -> None:
    """Nothing forbids a client to be sure of itself."""
    methods = (
        ConnectionStartOk(response=GUEST),
        ConnectionTuneOk(2047, 131_072, 60),
        ConnectionOpen("/", "ignored", True),
    )
    client = World().connect()
    data = b"".join(encode_method(0, method) for method in methods)
    client.send_raw(PROTOCOL_HEADER + data)
    kinds = [type(method) for method in client.methods()]
    assert kinds == [ConnectionStart, ConnectionTune, ConnectionOpenOk]


def test_amqplain() -> None:
    client = World().connect()
    client.send_raw(PROTOCOL_HEADER)
    client.arrivals()
    response = encode_table({"LOGIN": "guest", "PASSWORD": "guest"})[4:]
    start_ok = ConnectionStartOk(mechanism="AMQPLAIN", response=response)
    assert isinstance(client.ask(start_ok, channel=0), ConnectionTune)


def test_a_certificate_is_a_name() -> None:
    access = Access()
    access.add_user("alice", None)
    access.set_permissions("alice", "/", NOTHING)
    client = World(access=access).connect(certificate="alice")
    client.send_raw(PROTOCOL_HEADER)
    (start,) = client.methods()
    assert isinstance(start, ConnectionStart)
    assert b"EXTERNAL" in start.mechanisms.split()
    client.call(ConnectionStartOk(mechanism="EXTERNAL"), channel=0)
    tune_ok = ConnectionTuneOk(2047, 131_072, 0)
    assert client.call(tune_ok, ConnectionOpen(), channel=0) == [ConnectionOpenOk()]
    assert client.connection.user.name == "alice"


def test_a_certificate_of_nobody_is_refused() -> None:
    client = World().connect(certificate="mallory")
    client.send_raw(PROTOCOL_HEADER)
    client.arrivals()
    assert client.call(ConnectionStartOk(mechanism="EXTERNAL"), channel=0) == []
    assert client.connection.state is State.CLOSING


def test_time_runs_from_the_first_byte_to_the_last() -> None:
    """A byte now and then does not keep a stranger connected."""
    world = World()
    client = world.connect()
    for byte in byte_by_byte(PROTOCOL_HEADER):
        world.advance(1.2)
        client.send_raw(byte)
    assert client.connection.state is State.STARTING
    world.advance(HANDSHAKE_SECONDS - 8 * 1.2 - MOMENT)
    assert not client.closed
    world.advance(2 * MOMENT)
    assert client.closed


def test_time_stops_when_the_connection_is_open() -> None:
    world = World()
    client = world.open()
    world.advance(10 * HANDSHAKE_SECONDS)
    assert client.ask(QueueDeclare(queue="q"))


def test_after_a_refusal_nothing_is_heard_and_the_end_comes_late() -> None:
    world = World()
    client = world.connect()
    client.send_raw(PROTOCOL_HEADER)
    client.arrivals()
    assert client.call(ConnectionStartOk(response=b"\0guest\0no"), channel=0) == []
    assert client.call(ConnectionStartOk(response=GUEST), channel=0) == []
    world.advance(world.broker.limits.login_failure_delay_seconds - MOMENT)
    assert not client.closed
    world.advance(2 * MOMENT)
    assert client.closed
    assert len(world.broker.deadlines) == 0


def test_too_many_failures_lock_the_door() -> None:
    world = World(access=Access())
    world.broker.access.add_user("bob", PasswordHash.of(b"right"))
    world.broker.access.set_permissions("bob", "/", EVERYTHING)

    def attempt(password: bytes) -> bool:
        client = world.connect()
        client.send_raw(PROTOCOL_HEADER)
        client.arrivals()
        response = b"\0bob\0" + password
        answers = client.call(ConnectionStartOk(response=response), channel=0)
        client.hang_up()
        return bool(answers)

    assert not any(attempt(b"guess %d" % number) for number in range(20))
    assert not attempt(b"right")
    world.advance(60.0)
    assert attempt(b"right")


@pytest.mark.parametrize("count", [1, 3])
def test_close_before_open(count: int) -> None:
    """A client may think better of it, once the limits are settled."""
    client = World().connect()
    client.send_raw(PROTOCOL_HEADER)
    client.arrivals()
    client.call(ConnectionStartOk(response=GUEST), channel=0)
    client.call(ConnectionTuneOk(2047, 131_072, 0), channel=0)
    closes = [ConnectionClose(200, "no")] * count
    assert client.call(*closes, channel=0) == [ConnectionCloseOk()]
    assert client.closed


def test_the_limits_are_the_clients_if_they_are_smaller() -> None:
    client = World().open(frame_max=4096, channel_max=2, channels=(1, 2))
    client.call(QueueDeclare(queue="q"))
    client.send_raw(b"\x03\0\x01\0\0\x10\x01")  # a payload of 4097 bytes
    (close,) = client.methods()
    assert isinstance(close, ConnectionClose)
    assert "{frame_too_large,4097,4088}" in close.reply_text

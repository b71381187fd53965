"""warren.wire.uri: the examples of RabbitMQ's URI specification, and more."""

from __future__ import annotations

import pytest

from warren.wire.uri import Address, parse_uri, parse_uris


@pytest.mark.parametrize(
    ("text", "address"),
    [
        # Appendix A of the specification; what is left out takes its default.
        (
            "amqp://user:pass@host:10000/vhost",
            Address("host", 10000, "user", "pass", "vhost"),
        ),
        (
            "amqp://user%61:%61pass@ho%61st:10000/v%2fhost",
            Address("hoast", 10000, "usera", "apass", "v/host"),
        ),
        ("amqp://", Address()),
        ("amqp://:@/", Address(user="", password="", vhost="/")),
        ("amqp://user@", Address(user="user")),
        ("amqp://user:pass@", Address(user="user", password="pass")),
        ("amqp://host", Address("host")),
        ("amqp://:10000", Address(port=10000)),
        ("amqp:///vhost", Address(vhost="vhost")),
        ("amqp://host/", Address("host", vhost="/")),
        ("amqp://host/%2f", Address("host", vhost="/")),
        ("amqp://[::1]", Address("::1")),
        # More.
        ("amqps://host", Address("host", 5671, tls=True)),
        ("amqps://host:5672", Address("host", 5672, tls=True)),
        ("AMQP://host", Address("host")),
        ("amqp://localhost//", Address(vhost="/")),
        ("amqp://localhost//a/b", Address(vhost="/a/b")),
        ("amqp://[fe80::1%25eth0]:1/v", Address("fe80::1%eth0", 1, vhost="v")),
        ("amqp://u:p%40%3A%2F@h", Address("h", user="u", password="p@:/")),
        ("amqp://u+v:a+b@h/c+d", Address("h", 5672, "u+v", "a+b", "c+d")),
        ("amqp://h/%C3%A9", Address("h", vhost="é")),
        (
            "amqp://h?heartbeat=10&name=a%20b&empty=",
            Address("h", query={"heartbeat": "10", "name": "a b", "empty": ""}),
        ),
        (
            "amqp://u:p@%2Frun%2FWarren.sock/v",
            Address("/run/Warren.sock", user="u", password="p", vhost="v"),
        ),
        ("amqp://h/v?x=1&x=2", Address("h", vhost="v", query={"x": "2"})),
    ],
)
def test_uris(text: str, address: Address) -> None:
    assert parse_uri(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:5672",
        "http://host",
        "amqp:host",
        "amqp:/host",
        "amqp://host:port",
        "amqp://host:65536",
        "amqp://host:-1",
        "amqp://[::1",
        "amqp://host/v#part",
    ],
)
def test_what_is_no_amqp_uri(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_uri(text)


@pytest.mark.parametrize("text", ["http://u:secret@host", "amqp://u:secret@host/#x"])
def test_errors_do_not_tell_the_password(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_uri(text)
    assert "secret" not in str(caught.value)


def test_the_repr_does_not_tell_the_password() -> None:
    assert "secret" not in repr(parse_uri("amqp://u:secret@host"))


def test_several_hosts() -> None:
    found = parse_uris("amqps://u:p@one,two:1,[::1]:2/v?heartbeat=5")
    assert [str(each) for each in found] == ["one:5671", "two:1", "::1:2"]
    assert {(each.user, each.password, each.vhost) for each in found} == {
        ("u", "p", "v")
    }
    assert all(each.tls and each.query == {"heartbeat": "5"} for each in found)
    assert parse_uris("amqp://") == [Address()]
    assert parse_uris("amqp://h?name=a,b") == [Address("h", query={"name": "a,b"})]
    with pytest.raises(ValueError, match=r"."):
        parse_uris("one,two")


def test_a_host_that_is_a_path() -> None:
    address = parse_uri("amqp://%2Frun%2Fwarren.sock/")
    assert address.is_unix
    assert str(address) == "/run/warren.sock"

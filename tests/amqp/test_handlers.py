"""Every method that a client may send is handled, or refused on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.pairs import World
from warren.errors import AMQPError, ChannelNotOpen, CommandInvalid
from warren.wire.methods import (
    METHODS,
    BasicPublish,
    ChannelClose,
    ChannelCloseOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionSecureOk,
    ConnectionUpdateSecret,
    Method,
)
from warren_broker.amqp.channel import ServerChannel
from warren_broker.amqp.control import ACTIONS
from warren_broker.amqp.handlers import HANDLERS
from warren_broker.amqp.handshake import TRANSITIONS

if TYPE_CHECKING:
    from tests.pairs import RawClient

ELSEWHERE: Final = {
    BasicPublish.index: "Content, because what it announces comes after it",
    ConnectionUpdateSecret.index: "Control, in one state only",
}
REFUSED: Final[dict[type[Method], type[AMQPError]]] = {
    # No mechanism on offer has a challenge.
    ConnectionSecureOk: ChannelNotOpen,
    # It answers a close, and only ClosingChannel has sent one.
    ChannelCloseOk: CommandInvalid,
}
FROM_CLIENTS: Final = [method for method in METHODS.values() if method.by_client]
FROM_SERVERS: Final = [method for method in METHODS.values() if not method.by_client]


def number_for(method: type[Method]) -> int:
    return 0 if method.class_id == ConnectionClose.class_id else 1


def refusal(client: RawClient, method: type[Method]) -> int:
    """Send `method` and return the code that the connection is closed with."""
    close = client.ask(method(), channel=number_for(method))
    assert isinstance(close, ConnectionClose)
    ids = (close.failing_class_id, close.failing_method_id)
    assert ids == (method.class_id, method.method_id)
    return close.reply_code


@pytest.mark.parametrize("method", FROM_CLIENTS, ids=lambda each: each.name)
def test_a_method_of_clients_has_a_place(method: type[Method]) -> None:
    places = {*HANDLERS, *ACTIONS, *ELSEWHERE, *(each.index for each in REFUSED)}
    assert method.index in places


@pytest.mark.parametrize("method", REFUSED, ids=lambda each: each.name)
def test_what_is_refused_on_purpose(method: type[Method]) -> None:
    assert refusal(World().open(), method) == REFUSED[method].code


@pytest.mark.parametrize("method", FROM_SERVERS, ids=lambda each: each.name)
def test_a_method_of_servers_is_refused(method: type[Method]) -> None:
    error = CommandInvalid if number_for(method) else ChannelNotOpen
    assert refusal(World().open(), method) == error.code


def test_only_methods_of_clients_have_handlers() -> None:
    indexes = {method.index for method in FROM_CLIENTS}
    assert indexes >= HANDLERS.keys() | ACTIONS.keys()


def test_every_transition_has_an_action() -> None:
    assert {index for _, index in TRANSITIONS if index} == ACTIONS.keys()


@pytest.mark.parametrize("method", HANDLERS.values(), ids=lambda each: each.__name__)
def test_handlers_say_what_they_are(method: object) -> None:
    assert method.__doc__


def test_close_is_answered_by_whoever_is_there() -> None:
    """The two frame takers of a number: open, and closed by the server."""
    client = World().open()
    assert isinstance(client.connection.channels[1], ServerChannel)
    assert client.ask(ChannelClose()) == ChannelCloseOk()
    assert client.connection.channels.keys() == {0}
    assert client.ask(ConnectionClose(), channel=0) == ConnectionCloseOk()

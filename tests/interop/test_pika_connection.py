"""pika: logging in, secrets, heartbeats, and the end of a connection."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pika
import pytest
from pika.exceptions import (
    AMQPConnectionError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from tests.interop.blocking import pump

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.serving import Serving

    Connect = Callable[..., pika.BlockingConnection]

pytestmark = pytest.mark.interop

CAPABILITIES = {
    "authentication_failure_close",
    "basic.nack",
    "connection.blocked",
    "consumer_cancel_notify",
    "consumer_priorities",
    "direct_reply_to",
    "exchange_exchange_bindings",
    "per_consumer_qos",
    "publisher_confirms",
}


def test_the_broker_says_who_it_is_and_what_it_can_do(
    connection: pika.BlockingConnection,
) -> None:
    properties = connection._impl.server_properties
    assert {"product", "version", "platform", "capabilities"} <= set(properties)
    offered = {what for what, can in properties["capabilities"].items() if can is True}
    assert offered >= CAPABILITIES
    assert connection.basic_nack_supported
    assert connection.publisher_confirms_supported
    assert connection.exchange_exchange_bindings_supported


def test_a_wrong_password_is_refused_while_authenticating(connect: Connect) -> None:
    with pytest.raises(ProbableAuthenticationError) as refused:
        connect(credentials=pika.PlainCredentials("guest", "wrong"))
    assert (
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN"
        in (repr(refused.value))
    )


def test_an_unknown_vhost_is_refused_when_opened(connect: Connect, name: str) -> None:
    with pytest.raises(ProbableAccessDeniedError) as refused:
        connect(virtual_host=name)
    assert f"NOT_ALLOWED - vhost {name} not found" in repr(refused.value)


@pytest.mark.parametrize("asked", [{"frame_max": 8192, "channel_max": 10}, {}])
def test_frames_and_channels_are_agreed(
    connect: Connect, name: str, asked: dict[str, int]
) -> None:
    connection = connect(**asked)
    channels = [connection.channel() for _ in range(10)]
    channels[0].confirm_delivery()
    channels[0].queue_declare(name, exclusive=True)
    channels[0].basic_publish("", name, b"x" * 50_000)
    assert channels[9].basic_get(name, auto_ack=True)[2] == b"x" * 50_000


def test_a_secret_can_be_renewed(connection: pika.BlockingConnection) -> None:
    connection.update_secret("guest", "renewed by a test")
    assert connection.channel().is_open


def test_an_exclusive_queue_is_gone_when_close_returns(
    connect: Connect, name: str
) -> None:
    owner, other = connect(), connect()
    owner.channel().queue_declare(name, exclusive=True)
    owner.close()
    with pytest.raises(ChannelClosedByBroker) as gone:
        other.channel().queue_declare(name, passive=True)
    assert gone.value.reply_code == 404


def test_closing_a_connection_requeues_what_it_held(
    connect: Connect, name: str
) -> None:
    holder, other = connect(), connect().channel()
    other.queue_declare(name, arguments={"x-expires": 60_000})
    channel = holder.channel()
    channel.basic_publish("", name, b"held")
    channel.basic_get(name)
    holder.close()
    method, _, body = other.basic_get(name, auto_ack=True)
    assert (method.redelivered, body) == (True, b"held")
    other.queue_delete(name)


def test_a_silent_client_loses_its_connection_and_its_messages(
    connect: Connect, name: str
) -> None:
    """One that is busy and sends no heartbeat; another, pumped, lives on."""
    busy, idle = connect(heartbeat=1), connect(heartbeat=1)
    channel = busy.channel()
    channel.confirm_delivery()
    channel.queue_declare(name, arguments={"x-expires": 60_000})
    channel.basic_publish("", name, b"stuck")
    channel.basic_get(name)
    observer = idle.channel()
    redelivered: list[bool] = []
    observer.basic_consume(
        name, lambda _, method, *__: redelivered.append(method.redelivered)
    )
    pump(idle, lambda: redelivered == [True])
    with pytest.raises(AMQPConnectionError):
        pump(busy, lambda: False)
    observer.queue_delete(name)
    assert idle.is_open


def test_a_broker_that_stops_says_so(serving: Serving) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(serving.url))
    connection.channel().queue_declare("", exclusive=True)
    stopping = threading.Thread(target=serving.stop)
    stopping.start()
    with pytest.raises(ConnectionClosedByBroker) as closed:
        pump(connection, lambda: False)
    stopping.join()
    assert closed.value.reply_code == 320
    assert closed.value.reply_text.startswith("CONNECTION_FORCED - ")

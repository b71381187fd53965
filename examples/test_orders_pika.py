"""A program that uses pika, and its tests: no broker has to be started for them.

    pip install warren pika pytest
    pytest examples/test_orders_pika.py

`warren` is the broker: pytest knows it where Warren is installed. Each test has it as
new.
"""

from __future__ import annotations

import json
from threading import Thread
from typing import TYPE_CHECKING

import pika
import pytest
from pika.exceptions import NackError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingChannel

    from warren_broker.testing import Broker

# --- the program


def declare(channel: BlockingChannel) -> None:
    """Orders that are not paid within an hour are cancelled."""
    arguments = {
        "x-message-ttl": 3_600_000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "cancelled",
    }
    channel.queue_declare("orders", durable=True, arguments=arguments)
    channel.queue_declare("cancelled", durable=True)


def order(channel: BlockingChannel, item: str, attempts: int = 3) -> None:
    """Send an order; try again if the broker does not take it."""
    body = json.dumps({"item": item}).encode()
    properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
    for attempt in range(1, attempts + 1):
        try:
            channel.basic_publish("", "orders", body, properties, mandatory=True)
        except NackError:
            if attempt == attempts:
                raise
        else:
            return


def ship(url: str, count: int) -> None:
    """Take so many orders and ship them."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for number, (method, _, _) in enumerate(channel.consume("orders"), 1):
            channel.basic_ack(method.delivery_tag)
            if number == count:
                return


# --- its tests


@pytest.fixture
def channel(amqp_url: str) -> Iterator[BlockingChannel]:
    """A channel with confirms on."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        declare(channel)
        yield channel


def test_an_order_is_kept_as_json(warren: Broker, channel: BlockingChannel) -> None:
    order(channel, "teapot")
    (message,) = warren.queue("orders").ready
    assert message.json() == {"item": "teapot"}
    assert message.properties.delivery_mode == 2


def test_all_that_is_ordered_is_shipped(
    warren: Broker, channel: BlockingChannel
) -> None:
    for item in ("teapot", "kettle"):
        order(channel, item)
    shipping = Thread(target=ship, args=(warren.url, 2))
    shipping.start()
    shipping.join()
    warren.wait_idle()
    assert len(warren.queue("orders")) == 0


def test_a_refused_order_is_sent_again(
    warren: Broker, channel: BlockingChannel
) -> None:
    warren.faults.nack_publishes(2)
    order(channel, "teapot")
    outcomes = [message.outcome for message in warren.published("")]
    assert outcomes == ["refused", "refused", "accepted"]


def test_an_order_nobody_pays_for_is_cancelled(
    warren: Broker, channel: BlockingChannel
) -> None:
    order(channel, "teapot")
    warren.clock.advance(3600)
    assert len(warren.queue("orders")) == 0
    (cancelled,) = warren.queue("cancelled").ready
    assert cancelled.headers["x-death"][0]["reason"] == "expired"

"""What the tests of streams share: a client that publishes records and reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicQos,
    QueueDeclare,
    QueueDeclareOk,
)

if TYPE_CHECKING:
    from tests.pairs import Arrival, RawClient
    from warren.wire.table import FieldValue, Table


class Got(NamedTuple):
    """A delivery of a record."""

    tag: int
    offset: int
    body: bytes
    redelivered: bool
    headers: Table


def declare(client: RawClient, name: str = "s", **arguments: FieldValue) -> int:
    """Declare a stream; `x_max_age` stands for `x-max-age`. Return how many it has."""
    table: Table = {"x-queue-type": "stream"}
    table.update({key.replace("_", "-"): value for key, value in arguments.items()})
    answer = client.ask(QueueDeclare(queue=name, durable=True, arguments=table))
    assert isinstance(answer, QueueDeclareOk)
    return answer.message_count


def consume(
    client: RawClient,
    name: str = "s",
    tag: str = "c",
    *,
    prefetch: int = 100,
    no_ack: bool = False,
    channel: int = 1,
    **arguments: FieldValue,
) -> list[Got]:
    """Consume; `offset` stands for `x-stream-offset`, `group` for `x-group`."""
    names = {"group": "x-group"}
    table: Table = {
        names.get(key, f"x-stream-{key.replace('_', '-')}"): value
        for key, value in arguments.items()
    }
    client.send(BasicQos(0, prefetch), channel=channel)
    consume = BasicConsume(queue=name, consumer_tag=tag, no_ack=no_ack, arguments=table)
    client.send(consume, channel=channel)
    return got(client)


def got(client: RawClient) -> list[Got]:
    """Let what is due happen, and return the records that came."""
    client.world.advance(0)
    return [record_of(each) for each in client.arrivals() if is_record(each)]


def is_record(arrival: Arrival) -> bool:
    return isinstance(arrival.method, BasicDeliver)


def record_of(arrival: Arrival) -> Got:
    method, properties = arrival.method, arrival.properties
    assert isinstance(method, BasicDeliver)
    assert properties is not None
    headers = dict(properties.headers or {})
    offset = headers.pop("x-stream-offset")
    assert isinstance(offset, int)
    return Got(method.delivery_tag, offset, arrival.body, method.redelivered, headers)


def offsets(records: list[Got]) -> list[int]:
    return [each.offset for each in records]


def ack(client: RawClient, *records: Got, multiple: bool = False) -> list[Got]:
    """Ack them, and return what comes for that."""
    for each in records:
        client.send(BasicAck(each.tag, multiple))
    return got(client)


def publish(
    client: RawClient, *bodies: bytes, name: str = "s", **headers: FieldValue
) -> None:
    """Publish to a stream; `x_producer_id` stands for the header `x-producer-id`."""
    table: Table = {key.replace("_", "-"): value for key, value in headers.items()}
    client.publish(name, *bodies, headers=table or None)
    client.world.advance(0)

"""Rows 119, 127, 130 and 131, and what else cannot be done with a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.amqp.bad_arguments import WARRENS_OWN
from tests.amqp.bad_input import Case, refused
from warren.errors import AccessRefused, NotImplemented_, PreconditionFailed
from warren.wire.methods import (
    BasicConsume,
    BasicGet,
    BasicQos,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueuePurge,
)

if TYPE_CHECKING:
    from warren.wire.table import FieldValue, Table

STREAM: Final = "queue 'stream' in vhost '/'"
MINE: Final = "queue 'mine' in vhost '/'"
TEN: Final = BasicQos(0, 10)


def declare(name: str = "mine", **more: FieldValue) -> QueueDeclare:
    """A declare of a stream; `x_max_age` stands for the argument `x-max-age`."""
    table: Table = {"x-queue-type": "stream"}
    table.update({key.replace("_", "-"): value for key, value in more.items()})
    return QueueDeclare(queue=name, durable=True, arguments=table)


def bad_stream(row: int, key: str, value: FieldValue, reason: str) -> Case:
    """An argument of a stream that cannot be."""
    method = declare(**{key: value})
    text = f"invalid arg '{key}' for {MINE}{reason}"
    return refused(row, f"stream {key} {value!r:.30}", PreconditionFailed, text, method)


def bad_point(value: FieldValue, reason: str) -> Case:
    """A value of `x-stream-offset` that cannot be."""
    return bad_consumer("x-stream-offset", value, reason)


def bad_consumer(key: str, value: FieldValue, reason: str) -> Case:
    """An argument of a consumer that cannot be."""
    method = BasicConsume(queue="stream", arguments={key: value})
    text = f"invalid arg '{key}' for {STREAM}: {reason}"
    name = f"{key} {value!r:.30}"
    return refused(131, name, PreconditionFailed, text, method, before=(TEN,))


def super_stream(name: str = "mine", **more: FieldValue) -> ExchangeDeclare:
    """A declare of a super stream."""
    table = {key.replace("_", "-"): value for key, value in more.items()}
    return ExchangeDeclare(
        exchange=name, type="x-super-stream", durable=True, arguments=table
    )


_QUEUES_ONLY: Final = (
    "x-expires",
    "x-message-ttl",
    "x-max-priority",
    "x-consumer-timeout",
    "x-delivery-limit",
    "x-max-in-memory-bytes",
)
_TYPE: Final = "{unacceptable_type,signedint}"

CASES: Final = (
    refused(
        119,
        "basic.get on a stream",
        NotImplemented_,
        f"basic.get not supported by stream queues {STREAM}",
        BasicGet(queue="stream"),
    ),
    refused(
        127,
        "purge of a stream",
        NotImplemented_,
        f"queue.purge not supported by stream queues {STREAM}",
        QueuePurge(queue="stream"),
    ),
    refused(
        130,
        "no prefetch",
        PreconditionFailed,
        f"consumer prefetch count is not set for stream {STREAM}",
        BasicConsume(queue="stream"),
    ),
    bad_point("foo", "{invalid_offset_arg,foo}"),
    bad_point("", "{invalid_offset_arg,}"),
    bad_point("5", "{invalid_offset_arg,5}"),
    bad_point("1w", "{invalid_offset_arg,1w}"),
    bad_point("-1h", "{invalid_offset_arg,-1h}"),
    bad_point(1.5, "{unacceptable_type,double}"),
    bad_point(True, "{unacceptable_type,bool}"),
    bad_point(None, "{unacceptable_type,void}"),
    bad_point(["first"], "{unacceptable_type,array}"),
    bad_consumer("x-stream-filter", 1, _TYPE),
    bad_consumer("x-stream-filter", ["a", 1], _TYPE),
    bad_consumer("x-stream-filter", ["a"] * 101, "{max_value_exceeded,101}"),
    bad_consumer("x-stream-match-unfiltered", "yes", "{unacceptable_type,longstr}"),
    bad_consumer("x-stream-reference", "", "{empty_name}"),
    bad_consumer("x-stream-automatic-offset-tracking", 1, _TYPE),
    bad_consumer("x-group", 1, _TYPE),
    bad_consumer("x-group", "", "{empty_name}"),
    refused(
        WARRENS_OWN,
        "an exclusive consumer of a stream in use",
        AccessRefused,
        f"{STREAM} in exclusive use",
        BasicConsume(queue="stream", consumer_tag="b", exclusive=True),
        before=(TEN, BasicConsume(queue="stream", consumer_tag="a")),
    ),
    refused(
        WARRENS_OWN,
        "a transient stream",
        PreconditionFailed,
        f"invalid property 'non-durable' for {MINE}",
        QueueDeclare(queue="mine", arguments={"x-queue-type": "stream"}),
    ),
    refused(
        WARRENS_OWN,
        "an exclusive stream",
        PreconditionFailed,
        f"invalid property 'exclusive-owner' for {MINE}",
        QueueDeclare(
            queue="mine",
            durable=True,
            exclusive=True,
            arguments={"x-queue-type": "stream"},
        ),
    ),
    refused(
        WARRENS_OWN,
        "an auto-delete stream",
        PreconditionFailed,
        f"invalid property 'auto-delete' for {MINE}",
        QueueDeclare(
            queue="mine",
            durable=True,
            auto_delete=True,
            arguments={"x-queue-type": "stream"},
        ),
    ),
    refused(
        49,
        "a server-named stream",
        PreconditionFailed,
        "Cannot declare a server-named queue for type rabbit_stream_queue",
        declare(""),
    ),
    *(
        bad_stream(WARRENS_OWN, key, 1, " of queue type rabbit_stream_queue")
        for key in _QUEUES_ONLY
    ),
    bad_stream(
        WARRENS_OWN, "x-dead-letter-exchange", "x", " of queue type rabbit_stream_queue"
    ),
    bad_stream(WARRENS_OWN, "x-max-age", "7", ": invalid_max_age"),
    bad_stream(WARRENS_OWN, "x-max-age", "D", ": invalid_max_age"),
    bad_stream(WARRENS_OWN, "x-max-age", "7d", ": invalid_max_age"),
    bad_stream(WARRENS_OWN, "x-max-age", "-7D", ": invalid_max_age"),
    bad_stream(WARRENS_OWN, "x-max-age", 7, f": {_TYPE}"),
    bad_stream(WARRENS_OWN, "x-max-length-bytes", -1, ": {value_negative,-1}"),
    bad_stream(WARRENS_OWN, "x-stream-max-segment-size-bytes", 0, ": {value_zero,0}"),
    bad_stream(
        WARRENS_OWN,
        "x-stream-max-segment-size-bytes",
        3_000_000_001,
        ": {max_value_exceeded,3000000001}",
    ),
    bad_stream(WARRENS_OWN, "x-compact", 1, f": {_TYPE}"),
    bad_stream(
        WARRENS_OWN, "x-compact-tombstone-age", "1D", ': "x-compact must be true"'
    ),
    refused(
        WARRENS_OWN,
        "a stream redeclared with another age",
        PreconditionFailed,
        f"inequivalent arg 'x-max-age' for {STREAM}: received",
        declare("stream", x_max_age="1D"),
    ),
    refused(
        WARRENS_OWN,
        "a super stream without partitions",
        PreconditionFailed,
        "Invalid argument, 'partitions' must be a positive integer",
        super_stream(),
    ),
    refused(
        WARRENS_OWN,
        "a super stream of none",
        PreconditionFailed,
        "Invalid argument, 'partitions' must be a positive integer",
        super_stream(partitions=0),
    ),
    refused(
        WARRENS_OWN,
        "a super stream of too many",
        PreconditionFailed,
        "invalid arg 'partitions' for exchange 'mine' in vhost '/':"
        " {max_value_exceeded,1001}",
        super_stream(partitions=1001),
    ),
    refused(
        WARRENS_OWN,
        "a super stream whose partitions cannot be",
        PreconditionFailed,
        "invalid arg 'x-max-age' for queue 'mine-0' in vhost '/': invalid_max_age",
        super_stream(partitions=2, x_max_age="x"),
    ),
    refused(
        WARRENS_OWN,
        "a transient super stream",
        PreconditionFailed,
        "invalid property 'non-durable' for exchange 'mine' in vhost '/'",
        ExchangeDeclare(
            exchange="mine", type="x-super-stream", arguments={"partitions": 2}
        ),
    ),
    refused(
        WARRENS_OWN,
        "fewer partitions",
        PreconditionFailed,
        "inequivalent arg 'partitions' for exchange 'super' in vhost '/':"
        " received '1' but current is '2'",
        super_stream("super", partitions=1),
    ),
    refused(
        WARRENS_OWN,
        "another key",
        PreconditionFailed,
        "inequivalent arg 'x-partition-key' for exchange 'super' in vhost '/'",
        super_stream("super", partitions=3, x_partition_key="k"),
    ),
    refused(
        WARRENS_OWN,
        "a binding to a super stream",
        PreconditionFailed,
        "nothing can be bound to super stream 'super' but its partitions",
        QueueBind(queue="kept", exchange="super", routing_key="0"),
    ),
)

"""Rows 78 to 85, and those of later rows: arguments that cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.amqp.bad_input import Case, accepted, frame, refused, sized
from warren.errors import PreconditionFailed
from warren.wire.methods import (
    BasicConsume,
    QueueDeclare,
    QueueDeclareOk,
)

if TYPE_CHECKING:
    from warren.wire.table import FieldValue


def declare(name: str = "mine", **arguments: FieldValue) -> QueueDeclare:
    """A declare with arguments; `x_max_length` stands for `x-max-length`."""
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    return QueueDeclare(queue=name, arguments=table)


def bad_argument(row: int, reason: str, **arguments: FieldValue) -> Case:
    """A queue argument that cannot be; the last one is at fault."""
    (*_, (key, value)) = declare(**arguments).arguments.items()
    text = f"invalid arg '{key}' for queue 'mine' in vhost '/': {reason}"
    name = f"{key} {value!r:.30}"
    return refused(row, name, PreconditionFailed, text, declare(**arguments))


WARRENS_OWN: Final = 0
"""The row of arguments that RabbitMQ 3.10 does not have."""

_TYPE: Final = "{unacceptable_type,signedint}"
_NO_INTEGER: Final = '"expected integer, got longstr"'
_DURATIONS: Final = (
    "x_publish_deadline",
    "x_lease_max",
    "x_delayed_retry_min",
    "x_delayed_retry_max",
)
_WORDS: Final = {
    "x_consumer_timeout_action": "requeue, dead-letter, cancel, close-channel",
    "x_lease_renew": "connection",
    "x_delayed_retry_type": "disabled, all, failed, returned",
    "x_group_mode": "ordered, sticky, fair",
    "x_unique_mode": "drop, reject, replace, until-ack",
    "x_redeclare_mode": "strict, accept, migrate",
}
_KEYS: Final = (
    '"expected header:NAME, routing-key, property:correlation_id, property:message_id"'
)

OWN_CASES: Final = (
    *(bad_argument(WARRENS_OWN, "{value_zero,0}", **{key: 0}) for key in _DURATIONS),
    *(bad_argument(WARRENS_OWN, _NO_INTEGER, **{key: "1"}) for key in _DURATIONS),
    *(
        bad_argument(WARRENS_OWN, f"\"'foo' is none of {words}\"", **{key: "foo"})
        for key, words in _WORDS.items()
    ),
    *(bad_argument(WARRENS_OWN, _TYPE, **{key: 1}) for key in _WORDS),
    *(
        bad_argument(WARRENS_OWN, _KEYS, x_group_by=value)
        for value in ("", "header", "header:", "routing-key:x", "property:app_id", "x")
    ),
    bad_argument(WARRENS_OWN, _TYPE, x_group_by=1),
    bad_argument(WARRENS_OWN, _TYPE, x_deliver_at_header=1),
    bad_argument(WARRENS_OWN, "{too_long,256}", x_deliver_at_header="h" * 256),
    bad_argument(WARRENS_OWN, "{value_negative,-1}", x_consumer_timeout=-1),
    bad_argument(WARRENS_OWN, _NO_INTEGER, x_delivery_limit="3"),
    bad_argument(WARRENS_OWN, _TYPE, x_message_deduplication=1),
    bad_argument(WARRENS_OWN, '"x-group-by must be given"', x_group_mode="fair"),
    bad_argument(
        WARRENS_OWN, '"x-delayed-retry-min must be given"', x_delayed_retry_type="all"
    ),
    bad_argument(
        WARRENS_OWN,
        '"must not be less than x-delayed-retry-min"',
        x_delayed_retry_min=10,
        x_delayed_retry_max=9,
    ),
    bad_argument(
        WARRENS_OWN,
        '"x-message-deduplication is false"',
        x_message_deduplication=False,
        x_unique_mode="drop",
    ),
)

CASES: Final = (
    *OWN_CASES,
    bad_argument(78, "{value_negative,-1}", x_message_ttl=-1),
    bad_argument(78, '"expected integer, got longstr"', x_message_ttl="5"),
    bad_argument(78, f"{{value_too_large,{2**63 - 1}}}", x_message_ttl=2**63 - 1),
    bad_argument(79, "{value_zero,0}", x_expires=0),
    bad_argument(79, "{value_negative,-1}", x_expires=-1),
    bad_argument(80, "{value_negative,-1}", x_max_length=-1),
    bad_argument(80, '"expected integer, got double"', x_max_length=1.0),
    bad_argument(80, '"expected integer, got bool"', x_max_length=True),
    bad_argument(80, "{value_negative,-1}", x_max_length_bytes=-1),
    bad_argument(81, "{max_value_exceeded,256}", x_max_priority=256),
    bad_argument(81, "{value_negative,-1}", x_max_priority=-1),
    bad_argument(82, "invalid_overflow", x_overflow="foo"),
    bad_argument(82, "{unacceptable_type,signedint}", x_overflow=1),
    bad_argument(82, "\"unsupported queue type 'foo'\"", x_queue_type="foo"),
    *(
        refused(
            131,
            f"x-stream-offset {offset!r} without a stream",
            PreconditionFailed,
            "invalid arg 'x-stream-offset' for queue 'kept' in vhost '/'"
            " of queue type rabbit_classic_queue",
            BasicConsume(queue="kept", arguments={"x-stream-offset": offset}),
        )
        for offset in ("foo", "first", 0, 1.5)
    ),
    accepted(
        82,
        "x-queue-mode means nothing",
        (QueueDeclareOk("mine"),),
        declare(x_queue_mode="lazy"),
    ),
    bad_argument(83, "routing_key_but_no_dlx_defined", x_dead_letter_routing_key="k"),
    refused(
        84,
        "x-dead-letter-exchange 5",
        PreconditionFailed,
        "invalid type 'signedint' for arg 'x-dead-letter-exchange'"
        " in queue 'mine' in vhost '/'",
        declare(x_dead_letter_exchange=5),
    ),
    accepted(
        85,
        "x-foo",
        (QueueDeclareOk("mine"), QueueDeclareOk("mine")),
        *(declare(x_foo="bar"), declare(x_foo="bar")),
    ),
    # Only in a table of another type of number can 2**64 be written at all.
    refused(
        78,
        "x-message-ttl 1e20",
        PreconditionFailed,
        '"expected integer, got double"',
        declare(x_message_ttl=1e20),
    ),
    accepted(
        56,
        "L and l are the same number",
        (QueueDeclareOk("mine"), QueueDeclareOk("mine")),
        frame(
            1,
            b"\0\x32\0\x0a\0\0\x04mine\0"
            + sized(b"\x0cx-max-lengthL" + bytes(6) + b"\x27\x10"),
        ),
        declare(x_max_length=10_000),
    ),
)

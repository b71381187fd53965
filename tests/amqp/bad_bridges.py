"""What cannot be a bridge between a stream and a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.amqp.bad_arguments import WARRENS_OWN
from tests.amqp.bad_input import Case, refused
from warren.errors import AccessRefused, NotFound, PreconditionFailed
from warren.wire.methods import BasicConsume, BasicQos, QueueDeclare

if TYPE_CHECKING:
    from warren.wire.table import FieldValue, Table

SOURCE: Final = "x-source-stream"
MINE: Final = "queue 'mine' in vhost '/'"


def declare(arguments: Table) -> QueueDeclare:
    return QueueDeclare(queue="mine", durable=True, arguments=arguments)


def bad_bridge(key: str, value: FieldValue, reason: str, **more: FieldValue) -> Case:
    """An argument that cannot be; `x_tap` stands for the argument `x-tap`."""
    table: Table = {name.replace("_", "-"): each for name, each in more.items()}
    method = declare({key: value, **table})
    text = f"invalid arg '{key}' for {MINE}: {reason}"
    name = f"bridge {key} {value!r:.30} {len(more)}"
    return refused(WARRENS_OWN, name, PreconditionFailed, text, method)


_COMPANIONS: Final[Table] = {
    "x-tap": "stream",
    "x-max-length": 1,
    "x-max-length-bytes": 1,
    "x-max-in-memory-bytes": 1,
    "x-overflow": "drop-head",
    "x-publish-deadline": 1,
    "x-group-by": "routing-key",
    "x-message-deduplication": True,
    "x-cache-size": 1,
    "x-cache-ttl": 1,
}

CASES: Final = (
    *(
        case
        for key in (SOURCE, "x-tap")
        for case in (
            bad_bridge(key, 1, "{unacceptable_type,signedint}"),
            bad_bridge(key, None, "{unacceptable_type,void}"),
            bad_bridge(key, "", "{empty_name}"),
            bad_bridge(key, "s" * 256, "{too_long,256}"),
            bad_bridge(key, "by priority", "\"'by priority' is no stream\""),
            refused(
                WARRENS_OWN,
                f"bridge {key} to nowhere",
                NotFound,
                "no queue 'nowhere' in vhost '/'",
                declare({key: "nowhere"}),
            ),
            refused(
                WARRENS_OWN,
                f"bridge {key} of a stream",
                PreconditionFailed,
                f"invalid arg '{key}' for {MINE} of queue type rabbit_stream_queue",
                declare({"x-queue-type": "stream", key: "stream"}),
            ),
        )
    ),
    *(
        bad_bridge(key, value, f'"not with {SOURCE}"', x_source_stream="stream")
        for key, value in _COMPANIONS.items()
    ),
    *(
        bad_bridge("x-stream-offset", value, reason, x_source_stream="stream")
        for value, reason in (
            ("snapshot", "{invalid_offset_arg,snapshot}"),
            ("foo", "{invalid_offset_arg,foo}"),
            (True, "{unacceptable_type,bool}"),
            (1.5, "{unacceptable_type,double}"),
        )
    ),
    bad_bridge("x-stream-offset", "first", f'"{SOURCE} must be given"'),
    refused(
        WARRENS_OWN,
        "a source that a consumer has for itself",
        AccessRefused,
        "queue 'stream' in vhost '/' in exclusive use",
        declare({SOURCE: "stream"}),
        before=(BasicQos(0, 10), BasicConsume(queue="stream", exclusive=True)),
    ),
)

"""Whether a bridge may be declared: is there such a stream, and whose is it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren.errors import PreconditionFailed
from warren_broker.core.access import Operation
from warren_broker.core.arguments import parse_queue_arguments
from warren_broker.core.arguments.queue import SOURCE_STREAM, TAP
from warren_broker.core.stream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.session import Session


def check_bridge(session: Session, name: str, arguments: Mapping[str, object]) -> None:
    """Let the queue `name` be a bridge, if `arguments` ask for one.

    Raises:
        PreconditionFailed: an argument is wrong, or names what is no stream.
        NotFound: there is no such stream.
        AccessRefused: records may not go that way, as in `Rights.authorize_forwarding`;
            or a consumer has the source for itself.
    """
    if SOURCE_STREAM not in arguments and TAP not in arguments:
        return
    rules = parse_queue_arguments(arguments, name, session.vhost.name)
    rights = session.rights
    if rules.source_stream is not None:
        rights.authorize("queue", Operation.READ, rules.source_stream)
        rights.authorize("queue", Operation.WRITE, name)
        stream = _stream(session, name, SOURCE_STREAM, rules.source_stream)
        stream.check_free(exclusive=False)
    if rules.tap is not None:
        rights.authorize("queue", Operation.READ, name)
        rights.authorize("queue", Operation.WRITE, rules.tap)
        _stream(session, name, TAP, rules.tap)


def _stream(session: Session, name: str, key: str, stream_name: str) -> Stream:
    found = session.vhost.queue(stream_name)
    if not isinstance(found, Stream):
        raise PreconditionFailed(
            f"invalid arg '{key}' for queue '{name}' in vhost"
            f" '{session.vhost.name}': \"'{stream_name}' is no stream\""
        )
    return found

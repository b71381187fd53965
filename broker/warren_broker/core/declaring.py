"""Declaring queues and exchanges: new ones, and those that are there already.

What is declared again must be asked for as it is, unless its redeclare mode says
otherwise: `accept` changes nothing and notes it once, `migrate` changes in place what
a policy could change as well. Whose a queue is, is never negotiable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warren.errors import PreconditionFailed, ResourceLocked
from warren_broker.core.access import Operation
from warren_broker.core.arguments import (
    RedeclareMode,
    exchange_differences,
    parse_exchange_arguments,
    parse_queue_arguments,
    queue_differences,
)
from warren_broker.core.arguments.exchange import ALTERNATE_EXCHANGE
from warren_broker.core.arguments.queue import (
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_ROUTING_KEY,
)
from warren_broker.core.bridge import check_bridge
from warren_broker.core.exchange import SuperStreamExchange
from warren_broker.core.exchange.predeclared import SYSTEM_EXCHANGES
from warren_broker.core.names import check_not_reserved, new_queue_name
from warren_broker.core.super_streams import (
    add_partitions,
    check_super_stream,
    redeclare,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.arguments import Difference
    from warren_broker.core.destination import Destination
    from warren_broker.core.exchange import Exchange
    from warren_broker.core.named_queue import NamedQueue
    from warren_broker.core.session import Session
    from warren_broker.core.vhost import VHost

_DEAD_LETTERING: Final = frozenset({DEAD_LETTER_EXCHANGE, DEAD_LETTER_ROUTING_KEY})
"""Where given-up messages go: with another key the same exchange is another place."""


def declare_exchange(
    session: Session,
    name: str,
    type_name: str,
    *,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Mapping[str, object],
) -> None:
    """Make an exchange or redeclare it; errors as `Session.declare_exchange`."""
    vhost = session.vhost
    session.rights.authorize_exchange(Operation.CONFIGURE, name)
    existing = vhost.exchanges.get(name)
    if existing is not None:
        differences = exchange_differences(
            existing,
            type_name=type_name,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=arguments,
            vhost=vhost.name,
        )
        _redeclare_exchange(session, existing, list(differences), arguments)
        if isinstance(existing, SuperStreamExchange):
            redeclare(session, existing, arguments)
        return
    check_not_reserved("exchange", name)
    alternate = arguments.get(ALTERNATE_EXCHANGE)
    session.rights.authorize_forwarding("exchange", name, alternate)
    is_super_stream = type_name == SuperStreamExchange.type
    if is_super_stream:
        check_super_stream(
            session, name, durable=durable, auto_delete=auto_delete, arguments=arguments
        )
    vhost.add_exchange(
        name,
        type_name,
        durable=durable,
        auto_delete=auto_delete,
        internal=internal,
        arguments=arguments,
    )
    if is_super_stream:
        add_partitions(vhost, name)


def declare_queue(
    session: Session,
    given: str,
    *,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    arguments: Mapping[str, object],
) -> NamedQueue:
    """Make a queue or redeclare it; errors as `Session.declare_queue`.

    Without a `given` name it gets one.
    """
    vhost = session.vhost
    name = given or new_queue_name()
    session.rights.authorize("queue", Operation.CONFIGURE, name)
    durable = durable and not exclusive  # as RabbitMQ: it cannot outlive us
    existing = vhost.queues.get(name)
    if existing is not None:
        if existing.owner is not (session if exclusive else None):
            raise locked(existing)
        differences = queue_differences(
            existing,
            durable=durable,
            auto_delete=auto_delete,
            arguments=arguments,
            vhost=vhost.name,
        )
        _redeclare_queue(session, existing, list(differences), arguments)
        existing.touch()
        return existing
    check_not_reserved("queue", given)
    dead_letter_exchange = arguments.get(DEAD_LETTER_EXCHANGE)
    session.rights.authorize_forwarding("queue", name, dead_letter_exchange)
    check_bridge(session, name, arguments)
    queue = vhost.add_queue(
        name,
        durable=durable,
        auto_delete=auto_delete,
        owner=session if exclusive else None,
        arguments=arguments,
        is_server_named=not given,
    )
    queue.begin()
    return queue


def locked(queue: NamedQueue) -> ResourceLocked:
    """Return what others than its owner hear of an exclusive queue."""
    return ResourceLocked(
        f"cannot obtain exclusive access to locked {queue}. It could be originally"
        " declared on another connection or the exclusive property value does not"
        " match that of the original declaration."
    )


def _redeclare_exchange(
    session: Session,
    exchange: Exchange,
    differences: list[Difference],
    arguments: Mapping[str, object],
) -> None:
    vhost = session.vhost
    mode = vhost.policies.redeclare_mode_of(exchange) if differences else None
    if exchange.name in SYSTEM_EXCHANGES:
        mode = RedeclareMode.STRICT  # they are nobody's
    if not _is_migrated(vhost, exchange, differences, mode):
        return
    alternate = arguments.get(ALTERNATE_EXCHANGE)
    session.rights.authorize_forwarding("exchange", exchange.name, alternate)
    parse_exchange_arguments(arguments, exchange.name, vhost.name)
    exchange.arguments = dict(arguments)
    vhost.definitions.put_exchange(exchange)
    vhost.policies.apply_to_exchange(exchange)


def _redeclare_queue(
    session: Session,
    queue: NamedQueue,
    differences: list[Difference],
    arguments: Mapping[str, object],
) -> None:
    vhost = session.vhost
    if not _is_migrated(vhost, queue, differences, queue.rules.redeclare_mode):
        return
    if any(difference.key in _DEAD_LETTERING for difference in differences):
        dead_letter_exchange = arguments.get(DEAD_LETTER_EXCHANGE)
        session.rights.authorize_forwarding("queue", queue.name, dead_letter_exchange)
    queue.declared = parse_queue_arguments(arguments, queue.name, vhost.name)
    queue.arguments = arguments
    vhost.definitions.put_queue(queue)
    vhost.policies.apply_to_queue(queue)


def _is_migrated(
    vhost: VHost,
    existing: Destination,
    differences: list[Difference],
    mode: RedeclareMode | None,
) -> bool:
    """Return whether `existing` is to become what was asked for.

    Raises PreconditionFailed for the first difference that its redeclare mode (None:
    the broker's) does not allow.
    """
    if not differences:
        return False
    mode = mode or vhost.broker.redeclare_mode
    if mode is RedeclareMode.ACCEPT:
        _note(vhost, existing, differences[0])
        return False
    for difference in differences:
        if mode is RedeclareMode.STRICT or not difference.is_mutable:
            raise PreconditionFailed(difference.text)
    return True


def _note(vhost: VHost, existing: Destination, difference: Difference) -> None:
    """Tell the operator, once, of what is accepted though it differs."""
    if not existing.was_redeclared:
        existing.was_redeclared = True
        vhost.broker.notice(
            "redeclared with other arguments",
            vhost=vhost.name,
            kind=existing.kind,
            name=existing.name,
            difference=difference.text,
        )

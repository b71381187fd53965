"""Declaring super streams: an exchange and its partitions, all of it or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren.errors import PreconditionFailed
from warren_broker.core.access import Operation
from warren_broker.core.arguments import (
    parse_queue_arguments,
    resource,
)
from warren_broker.core.arguments.reading import NAME_MAX_BYTES
from warren_broker.core.arguments.super_stream import (
    PARTITIONS,
    parse_super_stream,
    stream_arguments,
)
from warren_broker.core.exchange import SuperStreamExchange
from warren_broker.core.exchange.super_stream import partition_name
from warren_broker.core.stream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.session import Session
    from warren_broker.core.vhost import VHost


def check_super_stream(
    session: Session,
    name: str,
    *,
    durable: bool,
    auto_delete: bool,
    arguments: Mapping[str, object],
) -> None:
    """Raise what making the super stream `name`, or its missing partitions, would.

    Raises:
        AccessRefused: the user may not make queues of these names.
        PreconditionFailed: it cannot be durable or is to be deleted by itself, an
            argument is wrong, a partition's name is taken or too long, or there are
            too many.
    """
    vhost = session.vhost
    subject = resource("exchange", name, vhost.name)
    for is_wrong, word in ((auto_delete, "auto-delete"), (not durable, "non-durable")):
        if is_wrong:
            raise PreconditionFailed(f"invalid property '{word}' for {subject}")
    count = parse_super_stream(arguments).partitions
    limits = vhost.broker.limits
    if count > limits.partitions_max:
        raise PreconditionFailed(
            f"invalid arg '{PARTITIONS}' for {subject}: {{max_value_exceeded,{count}}}"
        )
    missing = _missing(vhost, name, count)
    of_stream = stream_arguments(arguments)
    for number in missing:
        _check_partition(session, partition_name(name, number), of_stream)
    if len(vhost.queues) + len(missing) > limits.queues_max:
        raise PreconditionFailed(
            f"cannot declare {subject}: queue limit ({limits.queues_max})"
            f" in vhost '{vhost.name}' is reached"
        )
    if vhost.binding_count + len(missing) > limits.bindings_max:
        raise PreconditionFailed(
            f"binding limit ({limits.bindings_max}) in vhost '{vhost.name}' is reached"
        )


def add_partitions(vhost: VHost, name: str) -> None:
    """Make what is missing of the super stream `name`; it was checked before."""
    exchange = vhost.exchange(name)
    assert isinstance(exchange, SuperStreamExchange)
    arguments = stream_arguments(exchange.arguments)
    for number in _missing(vhost, name, exchange.partition_count):
        before = [each for each in exchange.owned() if isinstance(each, Stream)]
        stream = vhost.add_queue(
            partition_name(name, number),
            durable=True,
            auto_delete=False,
            owner=None,
            arguments=arguments,
        )
        vhost.bind(exchange, stream, str(number), {})
        if isinstance(stream, Stream):
            _tell(exchange, before, stream)


def redeclare(
    session: Session, exchange: SuperStreamExchange, arguments: Mapping[str, object]
) -> None:
    """Make the partitions that are asked for besides those that are there.

    Raises PreconditionFailed for fewer; further errors as `check_super_stream`.
    """
    asked = parse_super_stream(arguments).partitions
    current = exchange.partition_count
    if asked < current:
        subject = resource("exchange", exchange.name, session.vhost.name)
        raise PreconditionFailed(
            f"inequivalent arg '{PARTITIONS}' for {subject}: received '{asked}' but"
            f" current is '{current}'"
        )
    if len(list(exchange.owned())) == asked:
        return
    grown = {**exchange.arguments, PARTITIONS: asked}
    check_super_stream(
        session, exchange.name, durable=True, auto_delete=False, arguments=grown
    )
    exchange.argue(grown)
    session.vhost.definitions.put_exchange(exchange)
    session.vhost.generation += 1
    add_partitions(session.vhost, exchange.name)


def _missing(vhost: VHost, name: str, count: int) -> list[int]:
    """Return the numbers of partitions that are not there."""
    exchange = vhost.exchanges.get(name)
    if not isinstance(exchange, SuperStreamExchange):
        return list(range(count))
    return [number for number in range(count) if not exchange.has_partition(number)]


def _check_partition(
    session: Session, name: str, arguments: Mapping[str, object]
) -> None:
    vhost = session.vhost
    session.rights.authorize("queue", Operation.CONFIGURE, name)
    parse_queue_arguments(arguments, name, vhost.name)
    if name in vhost.queues:
        raise PreconditionFailed(f"{vhost.queues[name]} exists, and is no partition")
    if len(name.encode()) > NAME_MAX_BYTES:
        raise PreconditionFailed(f"queue name '{name[:40]}...' is too long")


def _tell(exchange: SuperStreamExchange, before: list[Stream], stream: Stream) -> None:
    """Let those who read all partitions have the new one as well."""
    for group in exchange.groups.values():
        group.extend(stream)
    subscriptions = {each: None for one in before for each in one.subscriptions}
    for subscription in subscriptions:
        if subscription.is_super and subscription.group is None:
            subscription.extend(stream)

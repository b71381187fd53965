"""VHost: a namespace of exchanges and queues, and the bindings between them.

It trusts its caller: who may do what is decided in `session`. Every method checks
everything first and changes something only then, so that a refused operation leaves
no trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from warren.errors import AccessRefused, NotFound, PreconditionFailed
from warren_broker.core.arguments import (
    check_queue_properties,
    parse_exchange_arguments,
    parse_queue_arguments,
)
from warren_broker.core.dead_letter import DeadLetters
from warren_broker.core.deduplication import deduplication_for
from warren_broker.core.definitions import Definitions
from warren_broker.core.exchange import EXCHANGE_TYPES, Surroundings
from warren_broker.core.exchange.predeclared import predeclared
from warren_broker.core.lease import LEASE_EXCHANGE
from warren_broker.core.named_queue import Declaration
from warren_broker.core.outcome import ACCEPTED, UNROUTED, Untaken
from warren_broker.core.policy import Policies
from warren_broker.core.queue_types import queue_class
from warren_broker.core.routing import (
    Target,
    find_route,
    hand_over,
    publish_by_walk,
)
from warren_broker.core.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.broker import Broker
    from warren_broker.core.destination import Destination
    from warren_broker.core.exchange import Exchange
    from warren_broker.core.message import Message
    from warren_broker.core.named_queue import NamedQueue
    from warren_broker.core.queue import Queue
    from warren_broker.core.queue.overflow import Block
    from warren_broker.core.reply_to import ReplyQueue
    from warren_broker.core.session import Session


@final
class VHost:
    """One virtual host.

    Attributes:
        generation: grows with every change of the topology; routes that exchanges
            remember hold for one generation.
        blocking: the queues that let publishes wait, each with its rule.
        is_committing: a transaction is carried out that has waited; they all take it.
        is_deleted: nothing is in it any more.
        policies: what operators say about queues and exchanges.
        schedule: what is to be published later.
        surroundings: what the exchanges share.
        untaken: what queues have not taken at once, and the receipts for it.
    """

    __slots__ = (
        "_sources",
        "binding_count",
        "blocking",
        "broker",
        "dead_letters",
        "definitions",
        "exchanges",
        "generation",
        "is_committing",
        "is_deleted",
        "name",
        "policies",
        "queues",
        "replies",
        "schedule",
        "surroundings",
        "untaken",
    )

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker = broker
        self.name = name
        self.is_deleted = False
        self.is_committing = False
        self.blocking: dict[Queue, Block] = {}
        self.untaken = Untaken()
        self.queues: dict[str, NamedQueue] = {}
        self.replies: dict[str, ReplyQueue] = {}
        self.dead_letters = DeadLetters(self)
        self.definitions = Definitions(self)
        self.schedule = Schedule(self)
        self.generation = 1
        self.binding_count = 0
        self._sources: dict[Destination, dict[Exchange, None]] = {}
        self.surroundings = Surroundings(
            history_max_bytes=broker.limits.history_max_bytes,
            unique_ids_max=broker.limits.unique_ids_max,
        )
        self.policies = Policies(self)
        self.exchanges: dict[str, Exchange] = predeclared(
            self.surroundings, self.queues, self.replies
        )

    # Publishing

    def publish(self, message: Message) -> int:
        """Route `message` to its queues: UNROUTED, ACCEPTED, REFUSED or PENDING.

        Hot: once a message.

        Raises:
            NotFound, AccessRefused: see `publishable_exchange`.
            PreconditionFailed: see `Schedule.take`.
        """
        route = message.route
        if not route.exchange and message.header.is_plain:
            queue = self.queues.get(route.routing_key)
            if queue is not None:  # the default exchange is one look-up
                self.broker.work += 1
                is_taken = queue.accept(message)
                return ACCEPTED if is_taken else self.untaken.by(queue, message)
        exchange = self.exchanges.get(route.exchange)
        if exchange is None or exchange.internal:
            exchange = self.publishable_exchange(route.exchange)
        queues = None
        if exchange.routes_generation == self.generation:
            queues = exchange.routes.get(route.routing_key)
        if queues is None or not message.header.is_plain:
            return publish_by_walk(self, exchange, message)
        if not queues:
            return UNROUTED
        self.broker.work += len(queues)
        receipt = None
        for target in queues:
            if not target.accept(message):
                receipt = self.untaken.note(receipt, target, message)
        return ACCEPTED if receipt is None else self.untaken.outcome(receipt)

    def route(self, exchange: Exchange, message: Message) -> tuple[Target, ...]:
        """Return where `message`, which goes through `exchange` now, is to go."""
        queues, screening = find_route(self, exchange, message)
        if queues and screening is not None:
            screening.remember()
        return queues

    def close(self) -> None:
        """It is deleted, and with it all that is in it; who is in it must leave.

        The store has heard that already, and of what goes with it only messages.
        """
        self.is_deleted = True
        for queue in list(self.queues.values()):
            self.drop_queue(queue)
        for exchange in list(self.exchanges.values()):
            if exchange.name in self.exchanges and not exchange.is_default:
                self.drop_exchange(exchange)
        self.schedule.close()
        self.policies.close()

    # Looking up

    def exchange(self, name: str) -> Exchange:
        """Return the exchange `name`; NotFound if there is none."""
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise NotFound(f"no exchange '{name}' in vhost '{self.name}'")
        return exchange

    def publishable_exchange(self, name: str) -> Exchange:
        """Return the exchange `name` for a publish.

        Raises:
            NotFound: there is none.  AccessRefused: it is internal.
        """
        exchange = self.exchange(name)
        if exchange.internal:
            raise AccessRefused(
                f"cannot publish to internal exchange '{name}' in vhost '{self.name}'"
            )
        return exchange

    def queue(self, name: str) -> NamedQueue:
        """Return the queue `name`; NotFound if there is none."""
        queue = self.queues.get(name)
        if queue is None:
            raise NotFound(f"no queue '{name}' in vhost '{self.name}'")
        return queue

    # Declaring and deleting

    def add_exchange(
        self,
        name: str,
        type_name: str,
        *,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Mapping[str, object],
    ) -> Exchange:
        """Make an exchange that does not exist yet.

        Raises:
            PreconditionFailed: its type is unknown, an argument is wrong, or the
                virtual host has as many exchanges as it may.
        """
        if type_name not in EXCHANGE_TYPES or not type_name:
            raise PreconditionFailed(f"unknown exchange type '{type_name}'")
        parse_exchange_arguments(arguments, name, self.name)
        limit = self.broker.limits.exchanges_max
        if len(self.exchanges) >= limit:
            raise PreconditionFailed(
                f"cannot declare exchange '{name}': exchange limit ({limit})"
                f" in vhost '{self.name}' is reached"
            )
        exchange = EXCHANGE_TYPES[type_name](
            name,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=arguments,
            surroundings=self.surroundings,
        )
        exchange.deduplication = deduplication_for(exchange, self)
        self.exchanges[name] = exchange
        self.definitions.put_exchange(exchange)
        self.policies.apply_to_exchange(exchange)
        self.generation += 1  # it may be somebody's alternate
        return exchange

    def drop_exchange(self, exchange: Exchange) -> None:
        """Delete `exchange` with its bindings; auto-delete ones that fed it go too."""
        owned = list(exchange.owned())
        self._remove_exchange(exchange)
        self._unbind_everywhere(exchange)
        for queue in owned:
            self.drop_queue(queue)

    def add_queue(
        self,
        name: str,
        *,
        durable: bool,
        auto_delete: bool,
        owner: Session | None,
        arguments: Mapping[str, object],
        is_server_named: bool = False,
    ) -> NamedQueue:
        """Make a queue that does not exist yet.

        Raises:
            PreconditionFailed: an argument is wrong, or the virtual host has as
                many queues as it may.
        """
        rules = parse_queue_arguments(arguments, name, self.name)
        check_queue_properties(
            rules.queue_type,
            name,
            self.name,
            durable=durable,
            exclusive=owner is not None,
            auto_delete=auto_delete,
            server_named=is_server_named,
        )
        limit = self.broker.limits.queues_max
        if len(self.queues) >= limit:
            raise PreconditionFailed(
                f"cannot declare queue '{name}': queue limit ({limit})"
                f" in vhost '{self.name}' is reached"
            )
        declaration = Declaration(
            name,
            durable=durable,
            auto_delete=auto_delete,
            owner=owner,
            arguments=arguments,
            rules=rules,
        )
        queue = queue_class(rules)(self, declaration)
        self.queues[name] = queue
        self.definitions.put_queue(queue)
        self.policies.apply_to_queue(queue)
        if owner is not None:
            owner.exclusive_queues[queue] = None
        return queue

    def drop_queue(self, queue: NamedQueue) -> None:
        """Delete `queue`, its bindings and its entries; tell its consumers."""
        del self.queues[queue.name]
        self.generation += 1
        if queue.owner is not None:
            queue.owner.exclusive_queues.pop(queue, None)
        self._unbind_everywhere(queue)
        self.definitions.remove(queue)
        queue.close()

    # Binding

    def bind(
        self,
        source: Exchange,
        destination: Destination,
        key: str,
        arguments: Mapping[str, object],
    ) -> None:
        """Bind `destination` to `source`; a binding that exists already is no error.

        A new one brings the messages that `source` has kept for newcomers.

        Raises:
            AccessRefused: one end is the exchange of leases.
            PreconditionFailed: the arguments are wrong for the exchange type, or
                the virtual host has as many bindings as it may.
        """
        if LEASE_EXCHANGE in {source.name, destination.name}:
            raise AccessRefused(
                f"operation not permitted on exchange '{LEASE_EXCHANGE}'"
                f" in vhost '{self.name}'"
            )
        limits = self.broker.limits
        is_full = self.binding_count >= limits.bindings_max
        if is_full and not source.has_binding(destination, key, arguments):
            raise PreconditionFailed(
                f"binding limit ({limits.bindings_max}) in vhost '{self.name}'"
                " is reached"
            )
        if len(arguments) > limits.binding_arguments_max:
            raise PreconditionFailed(
                f"a binding has at most {limits.binding_arguments_max} arguments"
            )
        binding = source.bind(destination, key, arguments)
        if binding is not None:
            self.definitions.put_binding(source, binding)
            self.binding_count += 1
            self.generation += 1
            self._sources.setdefault(destination, {})[source] = None
            for message in source.kept_messages():
                hand_over(self, message, destination)

    def unbind(
        self,
        source: Exchange,
        destination: Destination,
        key: str,
        arguments: Mapping[str, object],
    ) -> None:
        """Undo `bind`; a binding that does not exist is no error."""
        binding = source.unbind(destination, key, arguments)
        if binding is not None:
            self.definitions.remove_bindings(source, [binding])
            self.binding_count -= 1
            self.generation += 1
            if not source.is_bound_to(destination):
                self._forget_source(destination, source)
            if _is_unused(source):
                self.drop_exchange(source)

    def _unbind_everywhere(self, gone: Destination) -> None:
        """Remove every binding to `gone`, and to what goes because of that."""
        waiting = [gone]
        while waiting:
            destination = waiting.pop()
            for source in self._sources.pop(destination, {}):
                removed = source.unbind_destination(destination)
                self.binding_count -= len(removed)
                self.definitions.remove_bindings(source, removed)
                if _is_unused(source):
                    self._remove_exchange(source)
                    waiting.append(source)

    def _remove_exchange(self, exchange: Exchange) -> None:
        del self.exchanges[exchange.name]
        exchange.on_deleted()
        if exchange.deduplication is not None:
            self.broker.sweeper.add([exchange.deduplication.seen.close()])
        self.generation += 1
        self.binding_count -= exchange.binding_count
        self.definitions.remove_bindings(exchange, exchange.bindings())
        self.definitions.remove(exchange)
        for destination in {binding.destination for binding in exchange.bindings()}:
            self._forget_source(destination, exchange)
        exchange.unbind_destination(exchange)  # nothing may refer to itself

    def _forget_source(self, destination: Destination, source: Exchange) -> None:
        sources = self._sources[destination]
        del sources[source]
        if not sources:
            del self._sources[destination]


def _is_unused(exchange: Exchange) -> bool:
    """Whether an auto-delete exchange has just lost its last binding."""
    return exchange.auto_delete and not exchange.binding_count

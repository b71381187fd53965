"""Session: what one user may do in one virtual host, for one connection.

Every operation of every front end comes through here, so none can forget a check.
The order of checks is RabbitMQ's: name, permission, existence, exclusive access,
equivalence, arguments; nothing is changed before the last of them has passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

from warren.errors import AccessRefused, PreconditionFailed
from warren_broker.core.access import Operation
from warren_broker.core.declaring import declare_exchange, declare_queue, locked
from warren_broker.core.exchange import SuperStreamExchange
from warren_broker.core.lease import LEASE_EXCHANGE
from warren_broker.core.names import RESERVED_PREFIX, check_not_default, clean_name
from warren_broker.core.reply_to import REPLY_TO, is_reply_name
from warren_broker.core.rights import Rights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.access import User
    from warren_broker.core.message import Message
    from warren_broker.core.named_queue import NamedQueue
    from warren_broker.core.vhost import VHost


class QueueSummary(NamedTuple):
    """What queue.declare-ok tells: ready entries, or records kept, and consumers."""

    name: str
    ready_count: int
    consumer_count: int


@final
class Session:
    """One connection's rights and its exclusive queues.

    Attributes:
        rights: what its user may do here.
        exclusive_queues: those that end with it.
    """

    __slots__ = (
        "_access",
        "_publish_generation",
        "_publishable",
        "exclusive_queues",
        "rights",
        "user",
        "vhost",
    )

    def __init__(self, vhost: VHost, user: User) -> None:
        self.vhost = vhost
        self.user = user
        self.exclusive_queues: dict[NamedQueue, None] = {}
        self._access = vhost.broker.access
        self.rights = Rights(self._access, user, vhost.name)
        self._publishable: set[str] = set()
        self._publish_generation = self._access.generation

    def close(self) -> None:
        """End the session, and its exclusive queues with it."""
        for queue in list(self.exclusive_queues):
            self.vhost.drop_queue(queue)

    # Exchanges

    def declare_exchange(
        self,
        name: str,
        type_name: str,
        *,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Mapping[str, object],
    ) -> None:
        """exchange.declare: make it, or see that it is like this already.

        Raises:
            AccessRefused: not permitted, the default exchange, a reserved name.
            PreconditionFailed: it is there and differs, unknown type, arguments.
        """
        name = clean_name(name)
        check_not_default(name)
        declare_exchange(
            self,
            name,
            type_name,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=arguments,
        )

    def check_exchange(self, name: str) -> None:
        """exchange.declare passive: NotFound unless it is there."""
        name = clean_name(name)
        check_not_default(name)
        self.rights.authorize_any("exchange", name)
        self.vhost.exchange(name)

    def delete_exchange(self, name: str, *, if_unused: bool) -> None:
        """exchange.delete; one that is not there is no error.

        Raises:
            AccessRefused: not permitted, or a predeclared exchange; or the user may not
                delete the queues that go with it.
            PreconditionFailed: it has bindings, and `if_unused` was asked.
        """
        name = clean_name(name)
        check_not_default(name)
        if name.startswith(RESERVED_PREFIX):
            raise AccessRefused(
                f"deletion of system exchange '{name}'"
                f" in vhost '{self.vhost.name}' not allowed"
            )
        self.rights.authorize_exchange(Operation.CONFIGURE, name)
        exchange = self.vhost.exchanges.get(name)
        if exchange is None:
            return
        for queue in exchange.owned():
            self.rights.authorize("queue", Operation.CONFIGURE, queue.name)
        if if_unused and exchange.is_used:
            raise PreconditionFailed(
                f"exchange '{name}' in vhost '{self.vhost.name}' in use"
            )
        self.vhost.drop_exchange(exchange)

    def bind_exchange(
        self, destination: str, source: str, key: str, arguments: Mapping[str, object]
    ) -> None:
        """exchange.bind (RabbitMQ's extension).

        Raises:
            AccessRefused: not permitted, or one end is the default exchange.
            NotFound: an end is not there.  PreconditionFailed: see `VHost.bind`.
        """
        destination, source = self._check_exchange_ends(destination, source)
        vhost = self.vhost
        vhost.bind(vhost.exchange(source), vhost.exchange(destination), key, arguments)

    def unbind_exchange(
        self, destination: str, source: str, key: str, arguments: Mapping[str, object]
    ) -> None:
        """exchange.unbind; what is not there is not bound, and no error.

        Raises:
            AccessRefused: not permitted, or one end is the default exchange.
        """
        destination, source = self._check_exchange_ends(destination, source)
        exchanges = self.vhost.exchanges
        if source in exchanges and destination in exchanges:
            self.vhost.unbind(exchanges[source], exchanges[destination], key, arguments)

    def _check_exchange_ends(self, destination: str, source: str) -> tuple[str, str]:
        destination, source = clean_name(destination), clean_name(source)
        check_not_default(destination)
        check_not_default(source)
        self.rights.authorize_exchange(Operation.WRITE, destination)
        self.rights.authorize_exchange(Operation.READ, source)
        return destination, source

    # Queues

    def declare_queue(
        self,
        name: str,
        *,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Mapping[str, object],
    ) -> QueueSummary:
        """queue.declare: make it, or see that it is like this already.

        Raises:
            AccessRefused: not permitted, or a reserved name.
            ResourceLocked: another connection has it exclusive, or `exclusive`
                differs from how it was declared.
            PreconditionFailed: it is there and differs, or an argument is wrong.
        """
        given = clean_name(name)
        if given == REPLY_TO:
            return self.check_queue(given)
        queue = declare_queue(
            self,
            given,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=arguments,
        )
        return _summary(queue)

    def check_queue(self, name: str) -> QueueSummary:
        """queue.declare passive.

        Raises:
            NotFound: it is not there.  AccessRefused: no permission on it at all.
            ResourceLocked: another connection has it exclusive.
        """
        name = clean_name(name)
        if name == REPLY_TO or name in self.vhost.replies:
            return QueueSummary(name, 0, 1)
        self.rights.authorize_any("queue", name)
        queue = self._queue(name)
        queue.touch()
        return _summary(queue)

    def delete_queue(self, name: str, *, if_unused: bool, if_empty: bool) -> int:
        """queue.delete: return how many entries went, ready and delayed; 0 if none.

        Raises:
            AccessRefused: not permitted.  ResourceLocked: not ours.
            PreconditionFailed: `if_unused` and it has consumers, or `if_empty` and
                it has entries.
        """
        name = clean_name(name)
        self.rights.authorize("queue", Operation.CONFIGURE, name)
        if name not in self.vhost.queues:
            return 0
        queue = self._queue(name)
        if if_unused and queue.consumer_count:
            raise PreconditionFailed(f"{queue} in use")
        count = queue.content_count
        if if_empty and count:
            raise PreconditionFailed(f"{queue} not empty")
        self.vhost.drop_queue(queue)
        return count

    def purge_queue(self, name: str) -> int:
        """queue.purge: return how many ready entries went; errors as `readable`."""
        return self.readable_queue(name).purge()

    def readable_queue(self, name: str) -> NamedQueue:
        """Return the queue for consume, get and purge.

        Raises:
            AccessRefused: not permitted.  NotFound: not there.
            ResourceLocked: another connection has it exclusive.
        """
        name = clean_name(name)
        self.rights.authorize("queue", Operation.READ, name)
        return self._queue(name)

    def consumable(self, name: str) -> NamedQueue | SuperStreamExchange:
        """Return what `name` means to a consumer: a queue, or a super stream.

        Raises as `readable_queue`, for each partition as well.
        """
        name = clean_name(name)
        found = self.vhost.exchanges.get(name)
        if name in self.vhost.queues or not isinstance(found, SuperStreamExchange):
            return self.readable_queue(name)
        self.rights.authorize("queue", Operation.READ, name)
        for partition in found.owned():
            self.rights.authorize("queue", Operation.READ, partition.name)
        return found

    def bind_queue(
        self, queue: str, source: str, key: str, arguments: Mapping[str, object]
    ) -> None:
        """queue.bind.

        Raises:
            AccessRefused: not permitted, the default exchange, or direct reply-to.
            NotFound: an end is not there.  ResourceLocked: not ours.
            PreconditionFailed: see `VHost.bind`.
        """
        queue, source = self._check_queue_ends(queue, source)
        exchange = self.vhost.exchange(source)
        self.vhost.bind(exchange, self._queue(queue), key, arguments)

    def unbind_queue(
        self, queue: str, source: str, key: str, arguments: Mapping[str, object]
    ) -> None:
        """queue.unbind; what is not there is not bound, and no error.

        Raises:
            AccessRefused: not permitted, the default exchange, or direct reply-to.
            ResourceLocked: another connection has the queue exclusive.
        """
        queue, source = self._check_queue_ends(queue, source)
        exchange = self.vhost.exchanges.get(source)
        if exchange is not None and queue in self.vhost.queues:
            self.vhost.unbind(exchange, self._queue(queue), key, arguments)

    def _check_queue_ends(self, name: str, source: str) -> tuple[str, str]:
        name, source = clean_name(name), clean_name(source)
        if is_reply_name(name):
            raise AccessRefused(
                "cannot bind or unbind to a volatile (direct reply-to) queue"
            )
        check_not_default(source)
        self.rights.authorize("queue", Operation.WRITE, name)
        self.rights.authorize_exchange(Operation.READ, source)
        return name, source

    # Publishing

    def publish(self, message: Message) -> int:
        """basic.publish: UNROUTED, ACCEPTED or REFUSED, as `VHost.publish`.

        Hot: the permission is asked once an exchange, until permissions change.

        Raises:
            AccessRefused: not permitted, or an internal exchange.
            NotFound: there is no such exchange.
        """
        exchange = message.route.exchange
        if (
            exchange not in self._publishable
            or self._publish_generation != self._access.generation
        ):
            self.check_publish(exchange)
            tap = self.vhost.broker.tap
            if tap is not None:
                return tap.publish(self.vhost, message)
        return self.vhost.publish(message)

    def check_publish(self, exchange: str) -> None:
        """Raise what publishing to `exchange` would raise."""
        if self._publish_generation != self._access.generation:
            self._publishable.clear()
            self._publish_generation = self._access.generation
        if exchange != LEASE_EXCHANGE:  # anybody may extend what he has
            self.rights.authorize_exchange(Operation.WRITE, exchange)
        self.vhost.publishable_exchange(exchange)  # nothing else is remembered
        if self.vhost.broker.tap is None:  # it is to see every publish
            self._publishable.add(exchange)

    # Checks

    def _queue(self, name: str) -> NamedQueue:
        queue = self.vhost.queue(name)
        if queue.owner is not None and queue.owner is not self:
            raise locked(queue)
        return queue


def _summary(queue: NamedQueue) -> QueueSummary:
    return QueueSummary(queue.name, queue.ready_count, queue.consumer_count)

"""The model of a virtual host: exchanges, queues, bindings, and who gets a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model_parts import (
    Binding,
    Channel,
    Exchange,
    Message,
    Refused,
    matches,
)

if TYPE_CHECKING:
    from tests.model_queue import Queue


class Topology:
    """Names and bindings, as lists."""

    def __init__(self) -> None:
        self.now = 0.0
        self.exchanges = {"": Exchange("", "direct")}
        self.queues: dict[str, Queue] = {}
        self.channels: dict[str, Channel] = {}

    def exchange(self, name: str) -> Exchange:
        if name not in self.exchanges:
            raise Refused(404)
        return self.exchanges[name]

    def queue(self, name: str, connection: str) -> Queue:
        if name not in self.queues:
            raise Refused(404)
        if self.queues[name].owner not in {None, connection}:
            raise Refused(405)
        return self.queues[name]

    def declare_exchange(self, wanted: Exchange) -> None:
        known = self.exchanges.setdefault(wanted.name, wanted)
        if vars(known) | {"bindings": []} != vars(wanted) | {"bindings": []}:
            raise Refused(406)

    def delete_exchange(self, name: str, *, if_unused: bool) -> None:
        if name in self.exchanges:
            if if_unused and self.exchanges[name].bindings:
                raise Refused(406)
            del self.exchanges[name]
            self.forget("exchange", name)

    def forget(self, kind: str, name: str) -> None:
        """Remove the bindings to what is gone."""
        for source in list(self.exchanges.values()):
            for binding in list(source.bindings):
                if (binding.kind, binding.name) == (kind, name):
                    self.remove(source, binding)

    def remove(self, source: Exchange, binding: Binding) -> None:
        source.bindings.remove(binding)
        if source.auto_delete and not source.bindings and source.name in self.exchanges:
            self.delete_exchange(source.name, if_unused=False)

    def bind(self, source: str, binding: Binding, connection: str) -> None:
        bindings = self.ends(source, binding, connection).bindings
        if not any(binding.is_same(known) for known in bindings):
            bindings.append(binding)

    def unbind(self, source: str, binding: Binding, connection: str) -> None:
        """What is not there is not bound, and no error."""
        there = self.queues if binding.kind == "queue" else self.exchanges
        if source in self.exchanges and binding.name in there:
            exchange = self.ends(source, binding, connection)
            for known in list(exchange.bindings):
                if binding.is_same(known):
                    self.remove(exchange, known)

    def ends(self, source: str, binding: Binding, connection: str) -> Exchange:
        """Both ends must exist; the result is the source."""
        exchange = self.exchange(source)
        if binding.kind == "queue":
            self.queue(binding.name, connection)
        else:
            self.exchange(binding.name)
        return exchange

    def declare_queue(self, wanted: Queue) -> tuple[int, int]:
        known = self.queues.get(wanted.name)
        if known is None:
            known = self.queues[wanted.name] = wanted
        elif known.owner != wanted.owner:
            raise Refused(405)
        elif (known.auto_delete, known.arguments) != (
            wanted.auto_delete,
            wanted.arguments,
        ):
            raise Refused(406)
        known.used_at = self.now
        return len(known.ready), len(known.consumers)

    def delete_queue(
        self, name: str, connection: str, *, if_unused: bool, if_empty: bool
    ) -> int:
        if name not in self.queues:
            return 0
        queue = self.queue(name, connection)
        count = len(queue.ready) + len(queue.delayed)
        if (if_unused and queue.consumers) or (if_empty and count):
            raise Refused(406)
        self.drop(queue)
        return count

    def drop(self, queue: Queue) -> None:
        del self.queues[queue.name]
        self.forget("queue", queue.name)
        queue.is_deleted = True
        for consumer in queue.consumers:
            del consumer.channel.consumers[consumer.tag]
        queue.consumers.clear()
        queue.empty()

    def purge(self, name: str, connection: str) -> int:
        queue = self.queue(name, connection)
        count = queue.empty()
        queue.fates["purged"] += count
        return count

    # Routing

    def route(self, message: Message) -> set[str]:
        """The queues that get a copy."""
        names: set[str] = set()
        seen: list[str] = []
        waiting = [message.exchange]
        while waiting:
            exchange = self.exchanges.get(waiting.pop())
            if exchange is None or exchange.name in seen:
                continue
            seen.append(exchange.name)
            hits = [
                hit for key in message.keys for hit in self.hits(exchange, key, message)
            ]
            names |= {name for kind, name in hits if kind == "queue"}
            waiting += [name for kind, name in hits if kind == "exchange"]
            if not hits and exchange.alternate is not None:
                waiting.append(exchange.alternate)
        return names

    def hits(
        self, exchange: Exchange, key: str, message: Message
    ) -> list[tuple[str, str]]:
        if not exchange.name:
            return [("queue", key)] if key in self.queues else []
        return [
            (binding.kind, binding.name)
            for binding in exchange.bindings
            if matches(exchange.type, binding, key, message.headers)
        ]

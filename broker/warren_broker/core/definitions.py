"""Definitions: which exchanges, queues and bindings survive, as values to store.

Those that are durable, and bindings of which both ends are. What is there from the
start is not stored, but what is bound to it. Virtual hosts, users, permissions and
policies are stored by `Administration`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.arguments.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from warren_broker.core.destination import Destination
    from warren_broker.core.exchange import Binding, Exchange
    from warren_broker.core.named_queue import NamedQueue
    from warren_broker.core.store import Key, Store
    from warren_broker.core.vhost import VHost

VHOST: Final = "vhost"
USER: Final = "user"
PERMISSION: Final = "permission"
POLICY: Final = "policy"
OPERATOR_POLICY: Final = "operator_policy"
EXCHANGE: Final = "exchange"
QUEUE: Final = "queue"
BINDING: Final = "binding"
SCHEDULE: Final = "schedule"
STREAM_OFFSET: Final = "stream-offset"
QUEUE_SOURCE: Final = "queue-source"
"""Kinds of definitions, the first part of each key. The second part is a virtual host,
but for a user."""

_DIGEST_BYTES: Final = 16


@final
class Definitions:
    """Tells the store what is defined in one virtual host."""

    __slots__ = ("_vhost",)

    def __init__(self, vhost: VHost) -> None:
        self._vhost = vhost

    def put_exchange(self, exchange: Exchange) -> None:
        """`exchange` is new, or was changed."""
        store = self._store_for(exchange)
        if store is not None:
            value = {
                "type": exchange.type,
                "auto_delete": exchange.auto_delete,
                "internal": exchange.internal,
                "arguments": exchange.arguments,
            }
            store.define((EXCHANGE, self._vhost.name, exchange.name), value)

    def put_queue(self, queue: NamedQueue) -> None:
        """`queue` is new, or was changed."""
        store = self._store_for(queue)
        if store is not None:
            value = {
                "number": queue.number,
                "auto_delete": queue.auto_delete,
                "arguments": queue.arguments,
            }
            store.define((QUEUE, self._vhost.name, queue.name), value)

    def put_binding(self, source: Exchange, binding: Binding) -> None:
        """`binding` of `source` is new."""
        store = self._store_for(source, binding.destination)
        if store is not None:
            value = {"arguments": binding.arguments}
            store.define(self._binding_key(source, binding), value)

    def put_schedule(self, number: int) -> None:
        """Messages for later are kept under `number`."""
        store = self._vhost.broker.store
        if store is not None:
            store.define((SCHEDULE, self._vhost.name), {"number": number})

    def put_offset(
        self, stream: NamedQueue, reference: str, offset: int | None
    ) -> None:
        """`reference` goes on at `offset` of `stream`; None: it is forgotten."""
        store = self._store_for(stream)
        if store is not None:
            value = None if offset is None else {"offset": offset}
            key = (STREAM_OFFSET, self._vhost.name, stream.name, reference)
            store.define(key, value)

    def put_source(self, queue: NamedQueue, value: Mapping[str, object] | None) -> None:
        """`queue` has come so far in its source; None: it is deleted."""
        store = self._store_for(queue)
        if store is not None:
            store.define((QUEUE_SOURCE, self._vhost.name, queue.name), value)

    def remove(self, gone: Exchange | NamedQueue) -> None:
        """`gone` is deleted."""
        store = self._store_for(gone)
        if store is not None:
            store.define((gone.kind, self._vhost.name, gone.name), None)

    def remove_bindings(self, source: Exchange, bindings: Iterable[Binding]) -> None:
        """`bindings` of `source` are undone."""
        for binding in bindings:
            store = self._store_for(source, binding.destination)
            if store is not None:
                store.define(self._binding_key(source, binding), None)

    def _store_for(self, *ends: Destination) -> Store | None:
        """Return the store if all `ends` are in it, and not gone with their vhost."""
        vhost = self._vhost
        is_kept = not vhost.is_deleted and all(end.durable for end in ends)
        return vhost.broker.store if is_kept else None

    def _binding_key(self, source: Exchange, binding: Binding) -> Key:
        destination = binding.destination
        return (
            BINDING,
            self._vhost.name,
            source.name,
            destination.kind,
            destination.name,
            binding.key,
            _digest(binding.arguments),
        )


def _digest(arguments: object) -> str:
    """Return what tells bindings with other arguments apart."""
    text = repr(canonical(arguments)).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=_DIGEST_BYTES).hexdigest()

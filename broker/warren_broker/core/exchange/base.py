"""What every exchange type shares: its bindings, and the cache of routes.

A binding is told apart by destination, key and arguments together. The base
class keeps the bindings, once by identity and once by destination, so that a
deleted destination costs its own bindings and no others. A type adds its own
index through ``_create_index``, ``_add`` and ``_remove``, and answers ``match`` from
that.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, final

from warren_broker.core.arguments.canonical import Canonical, canonical
from warren_broker.core.destination import Destination
from warren_broker.core.exchange.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from warren_broker.core.deduplication import Deduplication
    from warren_broker.core.message import Header, Message
    from warren_broker.core.named_queue import NamedQueue
    from warren_broker.core.routing import Target

BindingIdentity = tuple[Destination, str, Canonical]


@final
class Binding:
    """One binding of an exchange: to ``destination``, under ``key``."""

    __slots__ = ("arguments", "destination", "key")

    def __init__(
        self, destination: Destination, key: str, arguments: Mapping[str, object]
    ) -> None:
        self.destination: Destination = destination
        self.key: str = key
        self.arguments: dict[str, object] = dict(arguments)


class Exchange(Destination):
    """A named set of bindings with a rule of matching."""

    __slots__ = (
        "_bindings",
        "_by_destination",
        "_surroundings",
        "alternate",
        "arguments",
        "auto_delete",
        "deduplication",
        "deliver_at_header",
        "internal",
        "routes",
        "routes_generation",
    )

    kind: ClassVar[str] = "exchange"
    type: ClassVar[str]
    """The name clients declare it by."""
    is_default: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: Mapping[str, object] | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        super().__init__(name, durable=durable)
        self._surroundings: Surroundings = surroundings or Surroundings()
        self.auto_delete: bool = auto_delete
        self.internal: bool = internal
        self.arguments: dict[str, object] = dict(arguments or {})
        alternate = self.arguments.get("alternate-exchange")
        self.alternate: str | None = alternate if isinstance(alternate, str) else None
        self.deliver_at_header: str | None = None
        """The header that says when a message is to go on; policies set it."""
        self.deduplication: Deduplication | None = None
        """What lets messages pass once only; None lets all pass."""
        self.routes: dict[str, tuple[Target, ...]] = {}
        """Routing key to queues: a cache the vhost fills and clears."""
        self.routes_generation: int = 0
        """The vhost's topology generation at which ``routes`` was begun."""
        self._bindings: dict[BindingIdentity, Binding] = {}
        self._by_destination: dict[Destination, dict[BindingIdentity, Binding]] = {}
        self._create_index()

    def bind(
        self, destination: Destination, key: str, arguments: Mapping[str, object]
    ) -> Binding | None:
        """Add a binding and return it; None if it was there already.

        Raises what ``check_binding`` raises, before anything is changed.
        """
        self.check_binding(key, arguments)
        identity = (destination, key, canonical(arguments))
        if identity in self._bindings:
            return None
        binding = Binding(destination, key, arguments)
        self._add(binding)
        self._bindings[identity] = binding
        self._by_destination.setdefault(destination, {})[identity] = binding
        return binding

    def unbind(
        self, destination: Destination, key: str, arguments: Mapping[str, object]
    ) -> Binding | None:
        """Remove a binding and return it; None if there was none such."""
        identity = (destination, key, canonical(arguments))
        binding = self._bindings.pop(identity, None)
        if binding is None:
            return None
        of_destination = self._by_destination[destination]
        del of_destination[identity]
        if not of_destination:
            del self._by_destination[destination]
        self._remove(binding)
        return binding

    def unbind_destination(self, destination: Destination) -> list[Binding]:
        """Forget every binding to a destination that was deleted.

        Return them; it costs those and no others.
        """
        removed = self._by_destination.pop(destination, {})
        for identity, binding in removed.items():
            del self._bindings[identity]
            self._remove(binding)
        return list(removed.values())

    def bindings(self) -> Iterator[Binding]:
        """Yield every binding, oldest first."""
        yield from self._bindings.values()

    def has_binding(
        self, destination: Destination, key: str, arguments: Mapping[str, object]
    ) -> bool:
        """Return True if this very binding is there."""
        return (destination, key, canonical(arguments)) in self._bindings

    def is_bound_to(self, destination: Destination) -> bool:
        """Return True if any binding leads to ``destination``."""
        return destination in self._by_destination

    @property
    def binding_count(self) -> int:
        """How many bindings there are now."""
        return len(self._bindings)

    @property
    def chooses_one(self) -> bool:
        """True if a message goes to one destination at most: no CC, no BCC."""
        return False

    @property
    def has_fixed_routes(self) -> bool:
        """True if the routing key alone decides: routes may be kept.

        A type of which this is not true is asked about every message, and told of it.
        """
        return True

    def on_message(self, message: Message) -> None:
        """Take note of a message that passes; not told if routes are fixed."""

    def kept_messages(self) -> tuple[Message, ...]:
        """Return the messages that a new binding's destination is to get."""
        return ()

    @property
    def is_used(self) -> bool:
        """True if deleting it would take something from somebody."""
        return bool(self._bindings)

    def owned(self) -> Iterable[NamedQueue]:
        """Return the queues that are parts of it, and go with it."""
        return ()

    def on_deleted(self) -> None:
        """Let go of what is shared with others: nothing will pass any more."""

    def check_binding(self, key: str, arguments: Mapping[str, object]) -> None:
        """Raise PreconditionFailed if this type cannot have such a binding."""

    @abstractmethod
    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return where the type's own rule sends a message; may repeat."""

    @abstractmethod
    def _create_index(self) -> None:
        """Make the type's own index, empty; the constructor's last step."""

    @abstractmethod
    def _add(self, binding: Binding) -> None:
        """Put a new binding into the type's index."""

    @abstractmethod
    def _remove(self, binding: Binding) -> None:
        """Take a binding out of the type's index."""

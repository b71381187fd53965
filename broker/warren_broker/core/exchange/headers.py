"""Headers exchange: the message's headers meet a binding's conditions.

Every binding argument that its mode includes is a condition: a header of that name
with an equal value, or, when the argument is void, with any value. Values are
equal as `canonical` has it.

Bindings are not tried one after the other. Each is filed under one of its
conditions (under all of them when one is enough), and a message looks up its own
headers: it meets only bindings that hold in part already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from warren_broker.core.arguments.canonical import Canonical, canonical
from warren_broker.core.arguments.exchange import parse_match_mode
from warren_broker.core.exchange.base import Binding, Exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Header

_Condition = tuple[str, Canonical | None]
"""A header's name and value; None for any value."""


@final
class _Rule:
    """What one binding demands, and where in the index it is filed."""

    __slots__ = ("conditions", "destination", "needs_all", "places")

    def __init__(self, binding: Binding) -> None:
        mode = parse_match_mode(binding.arguments)
        self.destination: Destination = binding.destination
        self.needs_all: bool = mode.needs_all
        self.conditions: tuple[_Condition, ...] = tuple(
            (key, None if value is None else canonical(value))
            for key, value in binding.arguments.items()
            if mode.includes(key)
        )
        self.places: tuple[_Condition, ...] = self.conditions

    def holds(self, fields: Mapping[str, Canonical]) -> bool:
        """Return True if ``fields`` meet a rule that was looked up by one of them."""
        if not self.needs_all:
            return True
        for key, value in self.conditions:
            if key not in fields:
                return False
            if value is not None and value != fields[key]:
                return False
        return True


@final
class HeadersExchange(Exchange):
    """Routes by the headers of a message; the routing key counts for nothing."""

    __slots__ = ("_index", "_keys", "_rules", "_unconditional")

    type: ClassVar[str] = "headers"

    @property
    def has_fixed_routes(self) -> bool:
        """False: it is the headers that decide."""
        return False

    def check_binding(self, key: str, arguments: Mapping[str, object]) -> None:
        """Raise PreconditionFailed for a value of ``x-match`` that does not exist."""
        parse_match_mode(arguments)

    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return the destinations whose conditions ``header`` meets; may repeat."""
        found = [rule.destination for rule in self._unconditional.values()]
        if not self._index:
            return found
        fields = {
            key: canonical(value)
            for key, value in header.headers().items()
            if key in self._keys
        }
        for key, value in fields.items():
            for place in ((key, value), (key, None)):
                rules = self._index.get(place, {}).values()
                found += [rule.destination for rule in rules if rule.holds(fields)]
        return found

    def _create_index(self) -> None:
        self._rules: dict[Binding, _Rule] = {}
        self._unconditional: dict[Binding, _Rule] = {}
        self._index: dict[_Condition, dict[Binding, _Rule]] = {}
        self._keys: dict[str, int] = {}

    def _add(self, binding: Binding) -> None:
        rule = self._rules[binding] = _Rule(binding)
        for key, _ in rule.conditions:
            self._keys[key] = self._keys.get(key, 0) + 1
        if not rule.conditions:
            if rule.needs_all:
                self._unconditional[binding] = rule
            return
        if rule.needs_all:
            rule.places = (min(rule.conditions, key=self._crowd),)
        for place in rule.places:
            self._index.setdefault(place, {})[binding] = rule

    def _remove(self, binding: Binding) -> None:
        rule = self._rules.pop(binding)
        self._unconditional.pop(binding, None)
        for key, _ in rule.conditions:
            self._keys[key] -= 1
            if not self._keys[key]:
                del self._keys[key]
        for place in rule.places:
            bindings = self._index[place]
            del bindings[binding]
            if not bindings:
                del self._index[place]

    def _crowd(self, condition: _Condition) -> int:
        """Return how many bindings are filed under a condition."""
        return len(self._index.get(condition, ()))

"""The arguments of ``exchange.declare``, and what bindings of some types must be."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs

from warren.errors import PreconditionFailed
from warren_broker.core.arguments.fields import display, resource, term, type_name
from warren_broker.core.arguments.reading import ArgumentReader

if TYPE_CHECKING:
    from collections.abc import Mapping

ALTERNATE_EXCHANGE: Final = "alternate-exchange"
MATCH_MODE: Final = "x-match"

HASH_HEADERS: Final = ("hash-header", "x-hash-on")
"""Two names for one thing, RabbitMQ's and LavinMQ's; the first that is given counts."""
HASH_PROPERTY: Final = "hash-property"
HASH_PROPERTIES: Final = frozenset({"correlation_id", "message_id", "timestamp"})
WEIGHT_MAX: Final = 10_000
"""RabbitMQ's limit for the weight of one binding."""
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)

DELAYED_TYPE: Final = "x-delayed-type"

HISTORY_LENGTH: Final = "x-recent-history-length"
HISTORY_LENGTH_DEFAULT: Final = 20


@attrs.frozen(kw_only=True)
class ExchangeArguments:
    """What the arguments of an exchange ask for."""

    alternate_exchange: str | None = None


def parse_exchange_arguments(
    arguments: Mapping[str, object], name: str, vhost: str
) -> ExchangeArguments:
    """Return what ``arguments`` mean for the exchange ``name``.

    Raises PreconditionFailed for an alternate exchange that is no name.
    """
    reader = ArgumentReader(arguments, resource("exchange", name, vhost))
    return ExchangeArguments(alternate_exchange=reader.find_name(ALTERNATE_EXCHANGE))


class MatchMode(StrEnum):
    """How a binding of a headers exchange compares.

    The ``with-x`` modes look at keys that begin with ``x-`` as well, but for
    ``x-match`` itself.
    """

    ALL = "all"
    ANY = "any"
    ALL_WITH_X = "all-with-x"
    ANY_WITH_X = "any-with-x"

    @property
    def needs_all(self) -> bool:
        """True if every condition must hold, False if one is enough."""
        return self in {MatchMode.ALL, MatchMode.ALL_WITH_X}

    def includes(self, key: str) -> bool:
        """Return True if the argument ``key`` is a condition in this mode."""
        if self in {MatchMode.ALL_WITH_X, MatchMode.ANY_WITH_X}:
            return key != MATCH_MODE
        return not key.startswith("x-")


def parse_match_mode(arguments: Mapping[str, object]) -> MatchMode:
    """Return the mode a binding asks for, ``all`` if it does not say.

    Raises PreconditionFailed for a mode that does not exist.
    """
    value = arguments.get(MATCH_MODE, MatchMode.ALL)
    if not isinstance(value, str):
        raise PreconditionFailed(
            f"Invalid x-match field type {type_name(value)}"
            f" (value {display(value)}); expected longstr"
        )
    try:
        return MatchMode(value)
    except ValueError:
        raise PreconditionFailed(
            f'Invalid x-match field value "{value}"; '
            "expected all, any, all-with-x, or any-with-x"
        ) from None


@attrs.frozen(kw_only=True)
class HashSource:
    """What a consistent-hash exchange hashes: a header, a property, or neither."""

    header_name: str | None = None
    property_name: str | None = None

    @property
    def is_routing_key(self) -> bool:
        """True if it is the routing key, as it is unless something else is named."""
        return self.header_name is None and self.property_name is None


def parse_hash_source(arguments: Mapping[str, object]) -> HashSource:
    """Return what the arguments of a consistent-hash exchange say to hash.

    Raises PreconditionFailed for a name that is no text, both a header and a property,
    or a property that cannot be hashed. Texts: RabbitMQ's
    ``rabbit_exchange_type_consistent_hash.erl``, but for the type, which it does not
    survive.
    """
    headers = [_text(arguments, key) for key in HASH_HEADERS if key in arguments]
    if HASH_PROPERTY not in arguments:
        return HashSource(header_name=headers[0] if headers else None)
    name = _text(arguments, HASH_PROPERTY)
    if headers:
        raise PreconditionFailed("hash-header and hash-property are mutually exclusive")
    if name not in HASH_PROPERTIES:
        raise PreconditionFailed(f"Unsupported property: {name}")
    return HashSource(property_name=name)


def parse_weight(key: str) -> int:
    """Return the weight that a binding key of a consistent-hash exchange means.

    Raises PreconditionFailed unless it is an integer from 1 to ``WEIGHT_MAX``.
    """
    if not _INTEGER.fullmatch(key):
        raise PreconditionFailed(f"The binding key must be an integer: {term(key)}")
    weight = int(key)
    if weight < 1:
        raise PreconditionFailed("The binding key must be greater than 0")
    if weight > WEIGHT_MAX:
        raise PreconditionFailed(f"The binding key must not exceed {WEIGHT_MAX}")
    return weight


def parse_delayed_type(arguments: Mapping[str, object]) -> str:
    """Return the type whose rule an exchange of type ``x-delayed-message`` routes by.

    Raises PreconditionFailed unless it is text, in the words of the plugin's
    ``rabbit_exchange_type_delayed_message.erl``, misspellings aside.
    """
    value = arguments.get(DELAYED_TYPE)
    if isinstance(value, str):
        return value
    raise PreconditionFailed(
        f"Invalid argument, '{DELAYED_TYPE}' must be an existing exchange type"
    )


def parse_history_length(arguments: Mapping[str, object]) -> int:
    """Return how many messages a recent-history exchange keeps.

    Raises PreconditionFailed unless it is a positive integer, in the words of
    RabbitMQ's ``rabbit_exchange_type_recent_history.erl``.
    """
    value = arguments.get(HISTORY_LENGTH, HISTORY_LENGTH_DEFAULT)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise PreconditionFailed(
        f"Invalid argument {term(value)}, '{HISTORY_LENGTH}' must be a positive integer"
    )


def _text(arguments: Mapping[str, object], key: str) -> str:
    value = arguments[key]
    if isinstance(value, str):
        return value
    raise PreconditionFailed(
        f"Invalid {key} field type {type_name(value)}"
        f" (value {display(value)}); expected longstr"
    )

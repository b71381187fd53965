"""The arguments of ``exchange.declare`` and of bindings to a headers exchange."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs

from warren.errors import PreconditionFailed
from warren_broker.core.arguments.fields import display, resource, type_name
from warren_broker.core.arguments.reading import ArgumentReader

if TYPE_CHECKING:
    from collections.abc import Mapping

ALTERNATE_EXCHANGE: Final = "alternate-exchange"
MATCH_MODE: Final = "x-match"


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

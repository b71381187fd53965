"""What the store gives back: fields of a definition, of the types they should have."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


def stored_field(value: Mapping[str, object], name: str, kind: type[T]) -> T:
    """Return the field `name`. Raises KeyError, and TypeError if it is no `kind`."""
    found = value[name]
    if not isinstance(found, kind):
        raise TypeError(f"{name} is {found!r}")
    return found

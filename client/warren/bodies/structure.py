"""Between attrs classes and plain values: maps, lists, numbers, text.

`destructure` goes down to what CBOR and JSON have; `structure` builds what a type
annotation describes, and refuses what does not fit. Understood are attrs classes,
enumerations, ``list set frozenset tuple dict`` of anything understood, unions with None
and of others (the first that fits), and classes whose instances come as they are.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")

SEQUENCES: Final[dict[object, Callable[[Any], Any]]] = {
    list: list,
    set: set,
    frozenset: frozenset,
}

AS_TEXT: Final[dict[type, Callable[[str], Any]]] = {
    datetime: datetime.fromisoformat,
    Decimal: Decimal,
    UUID: UUID,
}
"""What JSON has no type for and writes as text."""


class DoesNotFit(ValueError):
    """A value that is not what a type annotation describes."""


def destructure(value: object) -> Any:  # noqa: ANN401 - whatever it holds
    """Return attrs instances as maps of their fields and enumerations as values."""
    kind: Any = type(value)
    if attrs.has(kind):
        return {
            field.name: destructure(getattr(value, field.name))
            for field in attrs.fields(kind)
            if field.init
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {destructure(key): destructure(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [destructure(each) for each in value]
    if isinstance(value, set | frozenset):
        return {destructure(each) for each in value}
    return value


def structure(value: object, kind: type[Value]) -> Value:
    """Return `value` as `kind`. Raises `DoesNotFit`, with the place in the value."""
    try:
        return cast("Value", _structure(value, kind, "value"))
    except RecursionError:
        raise DoesNotFit("value is nested too deeply") from None


def check_kind(kind: Any) -> None:  # noqa: ANN401
    """Raise `TypeError` for a type annotation of which no values can be made."""
    _check(kind, set())


def _check(kind: Any, seen: set[Any]) -> None:  # noqa: ANN401
    """Go down to the last part of an annotation, which may be part of itself."""
    origin = get_origin(kind)
    container = origin or kind
    if kind in (Any, object, ...) or origin is Literal or container in seen:
        return
    if attrs.has(container):
        seen.add(container)
        for field in attrs.fields(container):
            if field.init:
                _check(_hints(container)[field.name], seen)
    elif origin is None:
        with suppress(DoesNotFit):
            _structure(object(), kind, "value")
    elif origin in (Union, UnionType, tuple, dict, *SEQUENCES):
        for each in get_args(kind):
            _check(each, seen)
    else:
        raise TypeError(f"no values can be made of the annotation {kind!r}")


def _structure(value: Any, kind: Any, place: str) -> Any:  # noqa: ANN401
    origin = get_origin(kind)
    if kind is Any or kind is object:
        return value
    if origin in (Union, UnionType):
        return _one_of(value, get_args(kind), place)
    if origin is Literal:
        return _literal(value, get_args(kind), place)
    container = origin or kind
    if container in SEQUENCES:
        elements = _elements(value, get_args(kind), place)
        return _made(SEQUENCES[container], elements, place)
    if container is tuple:
        return _tuple(value, get_args(kind), place)
    if container is dict:
        return _dict(value, get_args(kind), place)
    if attrs.has(container):
        return _instance(value, container, place)
    return _scalar(value, kind, place)


def _one_of(value: object, kinds: tuple[Any, ...], place: str) -> object:
    if value is None and NoneType in kinds:
        return None
    for kind in kinds:
        try:
            return _structure(value, kind, place)
        except DoesNotFit:
            continue
    raise _misfit(value, " or ".join(map(_name, kinds)), place)


def _literal(value: object, choices: tuple[Any, ...], place: str) -> object:
    if value not in choices:
        raise _misfit(value, " or ".join(map(repr, choices)), place)
    return value


def _elements(value: object, kinds: tuple[Any, ...], place: str) -> list[object]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise _misfit(value, "a sequence", place)
    kind = kinds[0] if kinds else Any
    return [
        _structure(each, kind, f"{place}[{number}]")
        for number, each in enumerate(value)
    ]


def _tuple(value: object, kinds: tuple[Any, ...], place: str) -> tuple[object, ...]:
    if not kinds or kinds[-1] is Ellipsis:
        return tuple(_elements(value, kinds[:1], place))
    if not isinstance(value, list | tuple) or len(value) != len(kinds):
        raise _misfit(value, f"{len(kinds)} values", place)
    return tuple(
        _structure(each, kind, f"{place}[{number}]")
        for number, (each, kind) in enumerate(zip(value, kinds, strict=True))
    )


def _dict(value: object, kinds: tuple[Any, ...], place: str) -> dict[Any, object]:
    if not isinstance(value, dict):
        raise _misfit(value, "a map", place)
    key_kind, value_kind = kinds or (Any, Any)
    pairs = [
        (
            _structure(key, key_kind, f"key of {place}"),
            _structure(each, value_kind, f"{place}[{key!r}]"),
        )
        for key, each in value.items()
    ]
    made: dict[Any, object] = _made(dict, pairs, place)
    return made


def _made(make: Callable[[Any], Any], elements: list[Any], place: str) -> Any:  # noqa: ANN401
    """Make a container, of which some want what can be hashed."""
    try:
        return make(elements)
    except TypeError as error:
        raise DoesNotFit(f"{place}: {error}") from None


def _instance(value: object, kind: type, place: str) -> object:
    """An attrs class of a map. Fields that are not there must have a default."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, dict):
        raise _misfit(value, f"a map for {_name(kind)}", place)
    hints = _hints(kind)
    unknown = value.keys() - hints.keys()
    if unknown:
        raise DoesNotFit(f"{place}: {_name(kind)} has no {min(map(str, unknown))!r}")
    arguments = {}
    for field in attrs.fields(kind):
        if field.init and field.name in value:
            inner = f"{place}.{field.name}"
            arguments[field.alias] = _structure(
                value[field.name], hints[field.name], inner
            )
        elif field.init and field.default is attrs.NOTHING:
            raise DoesNotFit(f"{place}: {_name(kind)} needs {field.name!r}")
    try:
        return kind(**arguments)
    except Exception as error:  # its converters and validators are anybody's
        raise DoesNotFit(f"{place}: {type(error).__name__}: {error}") from error


@cache
def _hints(kind: type) -> dict[str, Any]:
    known = get_type_hints(kind)
    return {field.name: known.get(field.name, Any) for field in attrs.fields(kind)}


def _scalar(value: object, kind: Any, place: str) -> object:  # noqa: ANN401
    if kind is None:
        kind = NoneType
    if not isinstance(kind, type):
        raise TypeError(f"no values can be made of the annotation {kind!r}")
    if issubclass(kind, Enum):
        return _converted(value, kind, kind, place)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return _converted(value, float, kind, place)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    if kind in AS_TEXT and isinstance(value, str):
        return _converted(value, AS_TEXT[kind], kind, place)
    raise _misfit(value, _name(kind), place)


def _converted(
    value: Any,  # noqa: ANN401
    convert: Callable[[Any], object],
    kind: type,
    place: str,
) -> object:
    try:
        return convert(value)
    except Exception:  # noqa: BLE001 - also of an enumeration's own making
        raise _misfit(value, _name(kind), place) from None


def _misfit(value: object, wanted: str, place: str) -> DoesNotFit:
    return DoesNotFit(f"{place}: {type(value).__name__} is not {wanted}")


def _name(kind: Any) -> str:  # noqa: ANN401
    return getattr(kind, "__name__", None) or str(kind)

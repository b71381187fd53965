"""Signature: what the parameters of a handler mean, by their annotations."""

from __future__ import annotations

from inspect import Parameter, iscoroutinefunction, signature
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import attrs

from warren._worker.job import Job
from warren.bodies.structure import check_kind

if TYPE_CHECKING:
    from collections.abc import Callable

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@attrs.frozen
class Signature:
    """How a handler is to be called."""

    kind: Any
    """What the body shall be; None: as it comes."""
    wants: tuple[bool, ...]
    """For each positional parameter whether it is the job, and not the value."""
    is_async: bool

    def arguments(self, job: Job) -> list[object]:
        """Return what to call the handler with."""
        return [job if is_job else job.value for is_job in self.wants]


def read_signature(
    function: Callable[..., object], *, is_batch: bool, has_value: bool = True
) -> Signature:
    """Return the signature of a handler.

    Raises `TypeError` for parameters that nobody could fill, or an annotation of which
    no values can be made.
    """
    hints = _hints(function)
    wants: list[bool] = []
    kind: Any = None
    for parameter in signature(function).parameters.values():
        hint = hints.get(parameter.name)
        is_value = hint is not Job and has_value and all(wants)
        if hint is not Job and not is_value:
            if parameter.default is Parameter.empty and parameter.kind in (
                *POSITIONAL,
                Parameter.KEYWORD_ONLY,
            ):
                raise TypeError(f"{_name(function)}: nobody gives {parameter.name!r}")
            continue
        if parameter.kind not in POSITIONAL:
            raise TypeError(f"{_name(function)}: {parameter.name!r} is not positional")
        wants.append(not is_value)
        kind = hint if is_value else kind
    if is_batch:
        kind = _element(function, kind)
    _check(function, kind)
    return Signature(kind, tuple(wants), _is_async(function))


def _hints(function: Callable[..., object]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except NameError as error:
        raise TypeError(
            f"{_name(function)}: {error.name!r} cannot be found when it runs; annotate"
            " with what is imported, and defined, at the top of a module"
        ) from None
    except TypeError:  # a callable object
        return get_type_hints(type(function).__call__)


def _element(function: Callable[..., object], kind: object) -> object:
    if kind is None or kind is list:
        return None
    if get_origin(kind) is not list:
        raise TypeError(f"{_name(function)}: a batch is a list, and not {kind!r}")
    return get_args(kind)[0]


def _check(function: Callable[..., object], kind: Any) -> None:  # noqa: ANN401
    if kind is None:
        return
    try:
        check_kind(kind)
    except (TypeError, NameError) as error:
        raise TypeError(f"{_name(function)}: {error}") from None


def _is_async(function: Callable[..., object]) -> bool:
    call = getattr(type(function), "__call__", None)  # noqa: B004 - its type's
    return iscoroutinefunction(function) or iscoroutinefunction(call)


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__qualname__", repr(function))

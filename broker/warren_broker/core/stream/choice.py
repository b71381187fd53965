"""Choice: which records a reader wants (`x-stream-filter`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from warren_broker.core.stream.record import Record


@final
class Choice:
    """The filter values that a reader asked for."""

    __slots__ = ("_values",)

    def __init__(self, values: frozenset[str], *, match_unfiltered: bool) -> None:
        """`match_unfiltered`: records without a filter value pass as well."""
        self._values: frozenset[str | None] = values
        if match_unfiltered:
            self._values = frozenset({*values, None})

    def passes(self, record: Record) -> bool:
        """Whether `record` is wanted. Hot: once a record that is read."""
        return record.filter_value in self._values

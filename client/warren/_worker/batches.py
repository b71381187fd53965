"""Batches: which messages are handled in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from warren._worker.job import attempt_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from warren._worker.job import Received

Message = TypeVar("Message", bound="Received")


def parts(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """All that is new together, and what has failed before one by one.

    So a message that makes its batch fail does so once.
    """
    fresh = [each for each in messages if attempt_of(each) == 1]
    if fresh:
        yield fresh
    for each in messages:
        if attempt_of(each) > 1:
            yield [each]

"""Segment size: at how many bytes the log of a stream begins a new segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from warren_broker.core.arguments import QueueArguments

SEGMENT_BYTES: Final = 64 * 1024 * 1024
"""A segment, unless the rules say otherwise..."""
_PARTS: Final = 8
"""... or an eighth of `x-max-length-bytes`: retention works by whole segments."""
SEGMENT_BYTES_MIN: Final = 1024 * 1024
"""At least so much has a segment on a disk, whatever they say."""


def segment_bytes(rules: QueueArguments) -> int:
    """Return how large the segments of a stream with `rules` are."""
    if rules.segment_bytes is not None:
        return rules.segment_bytes
    if rules.max_length_bytes is None:
        return SEGMENT_BYTES
    part = rules.max_length_bytes // _PARTS
    return max(SEGMENT_BYTES_MIN, min(SEGMENT_BYTES, part))

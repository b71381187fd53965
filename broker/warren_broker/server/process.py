"""Process: what the server asks of, and sets in, the process it has to itself."""

from __future__ import annotations

import ctypes
import gc
import resource
from typing import Final

DESCRIPTORS_WANTED: Final = 65_536

CONNECTIONS_SHARE: Final = 0.8
"""Of the descriptors; the rest is for listeners, files and the unforeseen."""

GC_THRESHOLDS: Final = (20_000, 50, 20)
"""Objects before a young collection (a few milliseconds), young ones before a middle
one, middle ones before a full one. Nothing is left for the collector in normal work."""

HEAP_KEPT_BYTES: Final = 64 * 1024 * 1024
"""Freed memory that stays with the process: what is given back at once has to be
fetched again, page by page, for the next large body."""

MAPPED_BYTES_MIN: Final = 1024 * 1024
"""Blocks from this size on are mapped alone, and given back when they are freed."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def raise_descriptor_limit() -> None:
    """Allow this process as many descriptors as it may have and could use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = (
        DESCRIPTORS_WANTED
        if hard == resource.RLIM_INFINITY
        else min(hard, DESCRIPTORS_WANTED)
    )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_by_descriptors(connections_max: int) -> int:
    """Return `connections_max`, or less if the descriptors are too few for it."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections_max
    return min(connections_max, int(soft * CONNECTIONS_SHARE))


def tune_collector() -> None:
    """Keep the cyclic collector away from what is alive.

    Call once, when everything is loaded: modules and classes are frozen and never
    looked at again. A collection costs 175 ns an object, so it is made rare.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def tune_allocator() -> None:
    """Let the C library keep a little of what is freed, if it is one that can."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, HEAP_KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)

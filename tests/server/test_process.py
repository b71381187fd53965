"""Process: descriptors and the collector, as a server leaves them."""

from __future__ import annotations

import gc
import platform
import resource
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from warren_broker.server.process import (
    DESCRIPTORS_WANTED,
    GC_THRESHOLDS,
    connections_by_descriptors,
    raise_descriptor_limit,
    tune_collector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def descriptor_limit(soft: int) -> Iterator[int]:
    """The soft limit for the block; yields the hard one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_connections_leave_descriptors_for_the_rest() -> None:
    with descriptor_limit(1000):
        assert connections_by_descriptors(10_000) == 800
        assert connections_by_descriptors(100) == 100


def test_the_soft_limit_is_raised_as_far_as_it_may() -> None:
    with descriptor_limit(500) as hard:
        raise_descriptor_limit()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == min(hard, DESCRIPTORS_WANTED)
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


def test_the_collector_looks_away_from_what_is_loaded() -> None:
    thresholds = gc.get_threshold()
    try:
        tune_collector()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() == GC_THRESHOLDS
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


BURSTS = """
import resource
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def burst(): return len([bytes(100_000) for _ in range(30)])
burst()
before = faults()
for _ in range(50): burst()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_freed_memory_is_not_fetched_anew() -> None:
    """Without it, bursts of large bodies cost a page fault a page, every time."""
    tune = "from warren_broker.server.process import tune_allocator\ntune_allocator()\n"
    untuned, tuned = (
        int(subprocess.check_output([sys.executable, "-c", script]))
        for script in (BURSTS, tune + BURSTS)
    )
    assert tuned * 10 < untuned

"""Every bad input again and again: nothing may be left of it.

No cycles for the collector, no object more than before, and no more memory than the
list allows: 1 MiB in a thousand repetitions. How often follows hypothesis' profile.
"""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import settings

from tests.amqp.bad_input import Case, Level
from tests.amqp.bad_inputs import CASES
from tests.amqp.scenery import Scenery
from tests.amqp.test_bad_inputs import run
from tests.pairs import random_cuts

if TYPE_CHECKING:
    from collections.abc import Iterator

WARM_UP: Final = 3
GROWTH_MAX_BYTES: Final = 1024  # a repetition
FREE_LISTS_BYTES: Final = 32 * 1024  # what the interpreter itself keeps for later
FORGET_SECONDS: Final = 3600.0


@pytest.fixture(autouse=True, scope="module")
def _only_new_objects() -> Iterator[None]:
    """Let the collector see what the tests make, and collect only when asked."""
    gc.collect()
    gc.freeze()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()
    gc.unfreeze()


def repeat(case: Case, scenery: Scenery, count: int) -> tuple[int, int]:
    """Return how many objects there are afterwards, and how many bytes."""
    world = scenery.world
    cut = random_cuts(seed=2)
    for _ in range(count):
        run(case, world, cut)
        if case.level is Level.OK:
            scenery.witness.arrivals()
            scenery.fill()
        scenery.grant()
        world.broker.take_notices()
    world.advance(FORGET_SECONDS)  # deadlines are forgotten when their time comes
    return len(gc.get_objects()), tracemalloc.get_traced_memory()[0]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_leaves_nothing(case: Case) -> None:
    count = settings().max_examples // (50 if case.is_dear else 10)
    scenery = Scenery(case.limits)
    repeat(case, scenery, WARM_UP)
    gc.collect()
    objects, size = repeat(case, scenery, WARM_UP)
    objects_after, size_after = repeat(case, scenery, count)
    assert gc.collect() == 0
    assert objects_after <= objects
    assert size_after - size <= FREE_LISTS_BYTES + count * GROWTH_MAX_BYTES

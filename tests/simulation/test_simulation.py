"""The whole broker keeps its promises, whenever its power is cut.

And the simulation would notice if it did not: each bug in `BUGS` is planted by itself,
and must be found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.scripts import SCRIPTS
from tests.simulation.seeding import play_seeds, require_found
from tests.simulation.seeds import FOUND
from tests.simulation.story import Story

SEEDS = 240
SEEDS_OF_SCRIPTS = 5
SLICES = 8

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_what_was_found_once(script: Callable[[Story], None]) -> None:
    for seed in range(SEEDS_OF_SCRIPTS):
        script(Story(seed))


@pytest.mark.parametrize("seed", FOUND)
def test_seeds_that_found_something(seed: int) -> None:
    Story(seed).play()


@pytest.mark.parametrize("part", range(SLICES))
def test_promises_are_kept(part: int) -> None:
    play_seeds(Story, range(part, SEEDS, SLICES))


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    require_found(name, Story, SCRIPTS, SEEDS_OF_SCRIPTS)

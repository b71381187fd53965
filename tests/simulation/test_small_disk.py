"""On a disk that gets full nothing is lost, and nobody waits for ever.

And the simulation would notice: each bug in `BUGS` is planted by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.seeding import play_seeds, require_found
from tests.simulation.small_disk.bugs import BUGS
from tests.simulation.small_disk.scripts import SCRIPTS
from tests.simulation.small_disk.story import SmallStory

SEEDS = 60
SEEDS_OF_SCRIPTS = 3
SLICES = 4

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_what_is_seldom(script: Callable[[SmallStory], None]) -> None:
    for seed in range(SEEDS_OF_SCRIPTS):
        script(SmallStory(seed))


@pytest.mark.parametrize("part", range(SLICES))
def test_promises_are_kept(part: int) -> None:
    play_seeds(SmallStory, range(part, SEEDS, SLICES))


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    require_found(name, SmallStory, SCRIPTS, SEEDS_OF_SCRIPTS)

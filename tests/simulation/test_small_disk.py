"""On a disk that gets full nothing is lost, and nobody waits for ever.

And the simulation would notice: each bug in `BUGS` is planted by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.small_disk.bugs import BUGS
from tests.simulation.small_disk.scripts import SCRIPTS
from tests.simulation.small_disk.story import SmallStory

SEEDS = 60
SEEDS_OF_SCRIPTS = 3
SEEDS_FOR_A_BUG = 400
SLICES = 4

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_what_is_seldom(script: Callable[[SmallStory], None]) -> None:
    for seed in range(SEEDS_OF_SCRIPTS):
        script(SmallStory(seed))


@pytest.mark.parametrize("part", range(SLICES))
def test_promises_are_kept(part: int) -> None:
    for seed in range(part, SEEDS, SLICES):
        try:
            SmallStory(seed).play()
        except Exception as error:
            error.add_note(f"seed {seed}, on a small disk")
            raise


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    stories = [(script, seed) for script in SCRIPTS for seed in range(SEEDS_OF_SCRIPTS)]
    stories += [(SmallStory.play, seed) for seed in range(SEEDS_FOR_A_BUG)]
    for play, seed in stories:
        try:
            play(SmallStory(seed))
        except Exception:  # noqa: BLE001 - found, in whatever way
            return
    pytest.fail(f"{name}: not found by {SEEDS_FOR_A_BUG} seeds")

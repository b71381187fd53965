"""Streams keep their promises, whenever the power is cut; bugs in them are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.streams.bugs import BUGS
from tests.simulation.streams.scripts import SCRIPTS
from tests.simulation.streams.story import StreamStory

SEEDS = 120
SEEDS_OF_SCRIPTS = 3
SEEDS_FOR_A_BUG = 400
SLICES = 4


if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_what_is_seldom(script: Callable[[StreamStory], None]) -> None:
    for seed in range(SEEDS_OF_SCRIPTS):
        script(StreamStory(seed))


@pytest.mark.parametrize("part", range(SLICES))
def test_promises_are_kept(part: int) -> None:
    for seed in range(part, SEEDS, SLICES):
        try:
            StreamStory(seed).play()
        except Exception as error:
            error.add_note(f"seed {seed}, with streams")
            raise


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    stories = [(script, seed) for script in SCRIPTS for seed in range(SEEDS_OF_SCRIPTS)]
    stories += [(StreamStory.play, seed) for seed in range(SEEDS_FOR_A_BUG)]
    for play, seed in stories:
        try:
            play(StreamStory(seed))
        except Exception:  # noqa: BLE001 - found, in whatever way
            return
    pytest.fail(f"{name}: not found by {SEEDS_FOR_A_BUG} seeds")

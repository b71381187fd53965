"""Streams keep their promises, whenever the power is cut; bugs in them are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.seeding import play_seeds, require_found
from tests.simulation.streams.bugs import BUGS
from tests.simulation.streams.scripts import SCRIPTS
from tests.simulation.streams.story import StreamStory

SEEDS = 120
SEEDS_OF_SCRIPTS = 3
SLICES = 4


if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_what_is_seldom(script: Callable[[StreamStory], None]) -> None:
    for seed in range(SEEDS_OF_SCRIPTS):
        script(StreamStory(seed))


@pytest.mark.parametrize("part", range(SLICES))
def test_promises_are_kept(part: int) -> None:
    play_seeds(StreamStory, range(part, SEEDS, SLICES))


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    require_found(name, StreamStory, SCRIPTS, SEEDS_OF_SCRIPTS)

"""Seeding: how the tests of every kind of story go through seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.simulation.story import Story

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SEEDS_FOR_A_BUG = 400

Kind = TypeVar("Kind", bound=Story)


def play_seeds(kind: type[Story], seeds: Iterable[int]) -> None:
    """Play a story of each seed; a failure tells which one it was."""
    for seed in seeds:
        try:
            kind(seed).play()
        except Exception as error:
            error.add_note(f"seed {seed} of {kind.__name__}")
            raise


def require_found(
    bug: str, kind: type[Kind], scripts: Iterable[Callable[[Kind], None]], count: int
) -> None:
    """Fail unless `bug`, which is planted, is found.

    First by the scripts, each with `count` seeds, then by stories.
    """
    stories = [(script, seed) for script in scripts for seed in range(count)]
    stories += [(kind.play, seed) for seed in range(SEEDS_FOR_A_BUG)]
    for play, seed in stories:
        try:
            play(kind(seed))
        except Exception:  # noqa: BLE001 - found, in whatever way
            return
    pytest.fail(f"{bug}: not found by {SEEDS_FOR_A_BUG} seeds")

"""Every crash of many histories of a stream."""

from __future__ import annotations

import pytest

from tests.storage.stream_explorer import StreamExplorer

STEPS = 30


@pytest.mark.parametrize("seed", range(3))
def test_no_crash_breaks_a_promise_of_streams(seed: int) -> None:
    explorer = StreamExplorer(seed)
    explorer.run(STEPS)
    assert explorer.states > 700

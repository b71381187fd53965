"""A broker process killed under load a few times; `make torture-client`: many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.serving import warrens_own
from tests.torture.reconnect import torture

if TYPE_CHECKING:
    from pathlib import Path


@warrens_own
@pytest.mark.parametrize("unconfirmed", ["raise", "resend"])
def test_nothing_confirmed_is_lost(tmp_path: Path, unconfirmed: str) -> None:
    figures = torture(tmp_path / "data", 3, unconfirmed)
    assert figures.restarts == 3
    assert figures.reconnects >= 3

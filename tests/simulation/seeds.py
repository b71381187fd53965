"""Seeds that have found something; they are played always."""

from __future__ import annotations

from typing import Final

FOUND: Final[tuple[int, ...]] = (2344,)
"""A change of the stories makes others of them: what they found is in `scripts`."""

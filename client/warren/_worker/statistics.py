"""Statistics: what the workers of one queue have done in this process."""

from __future__ import annotations

import attrs


@attrs.define
class Counts:
    """The messages of one pool, counted as it happens."""

    queue: str
    handled: int = 0
    """Done, and acknowledged."""
    failed: int = 0
    """Attempts that ended with an error; those of invalid messages too."""
    dead: int = 0
    """Given up."""
    stale: int = 0
    """Handled when the message was ours no more: it comes again."""
    running: int = 0
    """Taken, and neither done nor given back."""

    def copy(self) -> Counts:
        """Return what they are now."""
        return attrs.evolve(self)

"""The time that goodbyes are given."""

from __future__ import annotations

from typing import Final

import trio

CLOSE_TIMEOUT_SECONDS: Final = 5.0
"""How long a goodbye may take, at most; then the socket is just closed."""


def closing_scope() -> trio.CancelScope:
    """Return a scope for goodbyes: also said when cancelled, and not for long."""
    deadline = trio.current_time() + CLOSE_TIMEOUT_SECONDS
    return trio.CancelScope(shield=True, deadline=deadline)

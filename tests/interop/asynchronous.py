"""Tests written as coroutines for asyncio."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

TIMEOUT_SECONDS = 20


def asynchronous(
    test: Callable[..., Coroutine[None, None, None]],
) -> Callable[..., None]:
    """Run the coroutine in a loop of its own, for 20 seconds at the most."""

    @functools.wraps(test)
    def run(**fixtures: object) -> None:
        asyncio.run(asyncio.wait_for(test(**fixtures), TIMEOUT_SECONDS))

    return run
